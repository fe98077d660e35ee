// ringway probe: asks a URL until it answers as wanted. For `helm test` and health checks of images
// without a shell.
#include <curl/curl.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/flags.h"

namespace ringway::cli {
namespace {

constexpr int kPauseMs = 500;         // Between two tries.
constexpr long kTryMs = 5000;         // For one try.
constexpr size_t kBodyMax = 1 << 20;  // More is not read.

struct EasyFree {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

size_t count_bytes(char*, size_t size, size_t count, void* to) {
  size_t& total = *static_cast<size_t*>(to);
  total += size * count;
  return total > kBodyMax ? 0 : size * count;  // 0 ends the transfer.
}

struct Answer {
  long status = 0;  // 0: none.
  size_t bytes = 0;
  std::string problem;  // Why there is none.
};

Answer ask(const std::string& url, long timeout_ms) {
  Answer answer;
  const std::unique_ptr<CURL, EasyFree> curl(curl_easy_init());
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl.get(), CURLOPT_PROXY,
                   "");  // What is asked is near; http_proxy is not for it.
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, timeout_ms);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, count_bytes);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.bytes);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code == CURLE_OK) {
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  } else {
    answer.problem = curl_easy_strerror(code);
  }
  return answer;
}

}  // namespace

int probe_command(const std::vector<std::string>& arguments) {
  std::string status = "200", within = "0";
  const Command command = {
      .synopsis = "ringway probe URL [--status N] [--within SECONDS]",
      .description = "Requests http://… and succeeds when the answer has the wanted status.\n",
      .argument = "URL",
      .flags = {{"--status", "N", "the status that is wanted; default 200",
                 [&](auto value) { return take_number(value, status, 100, 599); }},
                {"--within", "SECONDS", "try again for so long; default 0, one try",
                 [&](auto value) { return take_number(value, within, 0, 3600); }}},
      .epilogue = "Exit code: 0 answered as wanted, 1 not, 2 wrong usage.\n"};
  const auto parsed = parse(command, arguments);
  if (!parsed) return usage_error("probe", parsed.error());
  if (parsed->help) {
    std::fputs(help_text(command).c_str(), stdout);
    return kExitGood;
  }
  const std::string& url = parsed->argument;
  if (!url.starts_with("http://")) return usage_error("probe", "\"" + url + "\" is no http:// URL");
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const long wanted = std::stol(status);
  const uint64_t deadline_ns = monotonic_ns() + std::stoull(within) * kNsPerSecond;
  while (true) {
    const uint64_t now_ns = monotonic_ns();
    const long left_ms =
        static_cast<long>((deadline_ns - std::min(now_ns, deadline_ns)) / kNsPerMs);
    const Answer answer = ask(url, std::clamp(left_ms, 1000L, kTryMs));
    if (answer.status == wanted) {
      std::printf("%s: answered %ld, %zu bytes\n", url.c_str(), answer.status, answer.bytes);
      return kExitGood;
    }
    if (monotonic_ns() + kPauseMs * kNsPerMs >= deadline_ns) {
      if (answer.status == 0) {
        std::fprintf(stderr, "ringway probe: %s: %s\n", url.c_str(), answer.problem.c_str());
      } else {
        std::fprintf(stderr, "ringway probe: %s: answered %ld, wanted is %ld\n", url.c_str(),
                     answer.status, wanted);
      }
      return kExitFailed;
    }
    ::poll(nullptr, 0, kPauseMs);
  }
}

}  // namespace ringway::cli
