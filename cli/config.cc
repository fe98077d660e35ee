// ringway config: GET /config of a proxy's admin endpoint.
#include <curl/curl.h>

#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "cli/flags.h"

namespace ringway::cli {
namespace {

size_t append(char* data, size_t size, size_t count, void* to) {
  static_cast<std::string*>(to)->append(data, size * count);
  return size * count;
}

struct EasyFree {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

}  // namespace

int config_command(const std::vector<std::string>& arguments) {
  std::string admin = "127.0.0.1:10254";
  const Command command = {
      .synopsis = "ringway config [--admin HOST:PORT]",
      .description =
          "Prints, as JSON, what a running proxy is configured with: listeners, routes,\n"
          "clusters, endpoints and certificates. Private keys are left out.\n",
      .flags = {{"--admin", "HOST:PORT", "the proxy's admin endpoint; default 127.0.0.1:10254",
                 [&](auto value) -> std::optional<std::string> {
                   const bool good =
                       value.find(':') != value.npos && value.find_first_of("/@?# ") == value.npos;
                   if (!good) return "must be HOST:PORT";
                   admin = value;
                   return std::nullopt;
                 }}},
      .epilogue = "Exit code: 0 printed, 1 no answer, 2 wrong usage.\n"};
  const auto parsed = parse(command, arguments);
  if (!parsed) return usage_error("config", parsed.error());
  if (parsed->help) {
    std::fputs(help_text(command).c_str(), stdout);
    return kExitGood;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, EasyFree> curl(curl_easy_init());
  const std::string url = "http://" + admin + "/config";
  std::string body;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl.get(), CURLOPT_PROXY,
                   "");  // The endpoint is near; http_proxy is not for it.
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, 3000L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, 30'000L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    std::fprintf(stderr, "ringway config: %s: %s\n", url.c_str(), curl_easy_strerror(code));
    return kExitFailed;
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    std::fprintf(stderr, "ringway config: %s: answered %ld\n", url.c_str(), status);
    return kExitFailed;
  }
  if (!body.ends_with('\n')) body += '\n';
  std::fwrite(body.data(), 1, body.size(), stdout);
  return kExitGood;
}

}  // namespace ringway::cli
