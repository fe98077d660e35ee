#include "controlplane/controller_flags.h"

#include <charconv>
#include <map>
#include <optional>
#include <string_view>

#include "base/clock.h"

namespace ringway {
namespace {

// What the flags say; turned into options when all are read, since some depend on others.
struct Flags {
  std::optional<uint16_t> http_port, https_port, redirect_https_port;
  std::vector<std::string> http_addresses, https_addresses;
};

using Taken = std::expected<void, std::string>;
Taken wrong(const char* want) { return std::unexpected(std::string("want ") + want); }

std::optional<uint32_t> number(std::string_view text, uint32_t most) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

template <typename Target>
Taken take_port(Target& target, std::string_view value) {
  const auto port = number(value, 65535);
  if (!port) return wrong("a port, 0 to 65535");
  target = static_cast<uint16_t>(*port);
  return {};
}

Taken take_source(ControllerOptions& options, std::string_view value) {
  if (!value.starts_with("dir:") || value.size() == 4) return wrong("dir:DIRECTORY");
  options.directory = value.substr(4);
  return {};
}

Taken take_backend(ControllerOptions& options, std::string_view value) {
  if (!translate::parse_backend_option(value)) return wrong("namespace/service:port");
  options.translate.default_backend = value;
  return {};
}

Taken take_certificate(ControllerOptions& options, std::string_view value) {
  if (!translate::valid_name_option(value)) return wrong("namespace/secret");
  options.translate.default_certificate = value;
  return {};
}

Taken take_hold(ControllerOptions& options, std::string_view value) {
  const auto ms = number(value, 3'600'000);
  if (!ms) return wrong("milliseconds, 0 to 3600000");
  options.guard.hold_ns = *ms * kNsPerMs;
  return {};
}

Taken take_level(ControllerOptions& options, std::string_view value) {
  const auto level = parse_log_level(value);
  if (!level) return wrong("debug, info, warn, error or off");
  options.log_level = *level;
  return {};
}

Taken take_format(ControllerOptions& options, std::string_view value) {
  const auto format = parse_log_format(value);
  if (!format) return wrong("text or json");
  options.log_format = *format;
  return {};
}

// Flags with a value. false: no such flag.
Taken take(ControllerOptions& options, Flags& flags, std::string_view name,
           const std::string& value, bool& known) {
  known = true;
  if (name == "--source") return take_source(options, value);
  if (name == "--default-backend") return take_backend(options, value);
  if (name == "--default-certificate") return take_certificate(options, value);
  if (name == "--removal-hold-ms") return take_hold(options, value);
  if (name == "--log-level") return take_level(options, value);
  if (name == "--log-format") return take_format(options, value);
  if (name == "--http-port") return take_port(flags.http_port, value);
  if (name == "--https-port") return take_port(flags.https_port, value);
  if (name == "--http-public-port") return take_port(options.translate.http_public_port, value);
  if (name == "--https-public-port") return take_port(options.translate.https_public_port, value);
  if (name == "--redirect-https-port") return take_port(flags.redirect_https_port, value);
  if (name == "--http-address") return flags.http_addresses.push_back(value), Taken();
  if (name == "--https-address") return flags.https_addresses.push_back(value), Taken();
  const std::map<std::string_view, std::string*> texts = {
      {"--listen", &options.server.listen},
      {"--tls-cert", &options.server.tls_certificate},
      {"--tls-key", &options.server.tls_key},
      {"--tls-ca", &options.server.tls_client_ca},
      {"--admin", &options.admin},
      {"--proxy-class", &options.server.config_class},
      {"--controller-name", &options.translate.controller_name},
      {"--ingress-class", &options.translate.class_name},
      {"--annotation-prefix", &options.translate.annotation_prefix},
  };
  const auto found = texts.find(name);
  known = found != texts.end();
  if (!known) return {};
  if (value.empty()) return wrong("a value");
  *found->second = value;
  return {};
}

std::expected<ControllerOptions, std::string> complete(ControllerOptions options,
                                                       const Flags& flags) {
  if (options.directory.empty()) return std::unexpected("--source is missing: dir:DIRECTORY");
  if (options.server.listen.empty())
    return std::unexpected("--listen is missing: unix:/path or host:port");
  if (auto checked = serve::DiscoveryServer::check(options.server); !checked)
    return std::unexpected("--listen: " + checked.error());
  if (options.admin != "off" && options.admin.find(':') == std::string::npos)
    return std::unexpected("--admin: want host:port or off");
  translate::Options& out = options.translate;
  const auto addresses = [](const std::vector<std::string>& named, uint16_t port) {
    if (!named.empty() || port == 0) return named;
    return std::vector<std::string>{"0.0.0.0:" + std::to_string(port)};
  };
  out.http_addresses = addresses(flags.http_addresses, flags.http_port.value_or(80));
  out.https_addresses = addresses(flags.https_addresses, flags.https_port.value_or(443));
  // In directory mode clients see the ports that are bound; in a cluster a Service stands in front.
  out.redirect_https_port = flags.redirect_https_port.value_or(flags.https_port.value_or(443));
  if (out.redirect_https_port == 0) out.redirect_https_port = 443;
  return options;
}

}  // namespace

std::expected<ControllerOptions, std::string> parse_controller_flags(int argc, char** argv) {
  ControllerOptions options;
  Flags flags;
  // A directory is written by whoever owns the machine: addresses of this machine are meant, and
  // nobody writes an IngressClass for a try.
  options.translate.loopback_endpoints = true;
  options.translate.classless = translate::Classless::kServedWithoutClasses;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (argument == "--version") {
      options.version = true;
      return options;
    }
    if (argument == "--watch-ingress-without-class") {
      options.translate.classless = translate::Classless::kServed;
      continue;
    }
    if (argument == "--external-names") {
      options.translate.external_names = true;
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name(argument.substr(0, equals));
    const bool split = equals == std::string_view::npos;
    if (split && i + 1 >= argc) {
      bool known = name.starts_with("--");
      if (known) (void)take(options, flags, name, "", known);
      return std::unexpected(known ? name + ": value is missing"
                                   : "unknown flag \"" + name + "\"; see --help");
    }
    const std::string value(split ? std::string_view(argv[i + 1]) : argument.substr(equals + 1));
    bool known = false;
    if (auto taken = take(options, flags, name, value, known); !taken) {
      return std::unexpected(name + " \"" + value + "\": " + taken.error());
    }
    if (!known) return std::unexpected("unknown flag \"" + name + "\"; see --help");
    if (split) ++i;
  }
  return complete(std::move(options), flags);
}

std::string controller_usage() {
  return R"(ringway-controller: reads Kubernetes objects and configures proxies

Usage: ringway-controller --source dir:DIR --listen unix:/run/ringway/controller [flags]

Objects
  --source dir:DIR                Manifests (YAML or JSON) in DIR, followed as they change. Required.
  --controller-name NAME          IngressClass spec.controller that is served (ringway.dev/ingress).
  --ingress-class NAME            Value of the annotation kubernetes.io/ingress.class that is served (ringway).
  --watch-ingress-without-class   Serve Ingresses that name no class. Without it: only while there is no IngressClass.
  --annotation-prefix PREFIX      Prefix of the annotations that are read (nginx.ingress.kubernetes.io/).
  --external-names                Allow Services of type ExternalName.
  --default-backend NS/NAME:PORT  Where requests go that match no Ingress (404 by the proxy).
  --default-certificate NS/NAME   Secret for TLS clients that ask for an unknown host (self-signed by the proxy).
  --removal-hold-ms N             Hold back a change that removes more than half of everything for N ms (2000; 0 = off).

Proxies connect here
  --listen unix:/path             Unix socket, readable by its owner only.
  --listen HOST:PORT              TCP with mutual TLS; without TLS on loopback only.
  --tls-cert, --tls-key FILE      The controller's certificate and key (PEM); read again when they change.
  --tls-ca FILE                   CA that signs the proxies' certificates.
  --proxy-class NAME              Class that proxies may ask for, beside none.

Listeners of the proxies
  --http-port N, --https-port N   Ports on 0.0.0.0 (80, 443; 0 = no such listener).
  --http-address HOST:PORT        Instead of the port, as often as needed; --https-address likewise.
  --http-public-port N, --https-public-port N   Port that clients see, if it is another (X-Forwarded-Port).
  --redirect-https-port N         Port put into redirects to HTTPS (the HTTPS port; 443 is left out of the URL).

Watching it
  --admin HOST:PORT               /healthz, /readyz, /metrics, /proxies (off).
  --log-level LEVEL               debug, info, warn, error, off (info).
  --log-format FORMAT             text, json (text).
  --version, --help

SIGTERM and SIGINT end it; proxies go on with what they have. A wrong flag is one line and exit code 2.
)";
}

}  // namespace ringway
