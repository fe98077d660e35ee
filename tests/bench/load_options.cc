#include "tests/bench/load_options.h"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string_view>

namespace ringway::bench {
namespace {

[[noreturn]] void usage(FILE* to, int code) {
  fprintf(to,
          "usage: bench_load --port N [--address A] [--authority HOST] [--hosts N] [--path P] "
          "[--header 'K: V']...\n"
          "                  [--fields N] [--upload BYTES] [--sources N] [--tls 1] [--tls-resume "
          "1] [--connections N]\n"
          "                  [--seconds S] [--requests N] [--rate R] [--per-connection N] "
          "[--status CODE]\n"
          "                  [--body-bytes N] [--hold S]\n");
  exit(code);
}

}  // namespace

LoadOptions parse_load_options(int argc, char** argv) {
  LoadOptions o;
  const auto whole = [](auto& out) {
    return [&out](const char* v) {
      out = static_cast<std::decay_t<decltype(out)>>(strtoll(v, nullptr, 10));
    };
  };
  const auto text = [](std::string& out) { return [&out](const char* v) { out = v; }; };
  const auto real = [](double& out) { return [&out](const char* v) { out = atof(v); }; };
  const auto flag = [](bool& out) {
    return [&out](const char* v) { out = std::string_view(v) == "1"; };
  };
  const std::map<std::string_view, std::function<void(const char*)>> setters = {
      {"--port", whole(o.port)},
      {"--address", text(o.address)},
      {"--authority", text(o.authority)},
      {"--hosts", whole(o.hosts)},
      {"--path", text(o.path)},
      {"--header", [&o](const char* v) { o.headers.emplace_back(v); }},
      {"--fields", whole(o.fields)},
      {"--upload", whole(o.upload)},
      {"--sources", whole(o.sources)},
      {"--tls", flag(o.tls)},
      {"--tls-resume", flag(o.tls_resume)},
      {"--connections", whole(o.connections)},
      {"--seconds", real(o.seconds)},
      {"--requests", whole(o.requests)},
      {"--rate", real(o.rate)},
      {"--per-connection", whole(o.per_connection)},
      {"--status", whole(o.status)},
      {"--body-bytes", whole(o.body_bytes)},
      {"--hold", real(o.hold)},
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--help") usage(stdout, 0);
    const auto setter = setters.find(name);
    if (i + 1 >= argc || setter == setters.end()) usage(stderr, 2);
    setter->second(argv[i + 1]);
  }
  if (o.port == 0 || o.connections <= 0 || o.hosts == 0 || o.sources == 0) usage(stderr, 2);
  return o;
}

}  // namespace ringway::bench
