#include "controlplane/controller_flags.h"

#include <unistd.h>

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
  std::vector<std::string> http_addresses, https_addresses, stream_hosts, proxy_cidrs;
  bool without_class = false;
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
  options.kubernetes = value == "kubernetes";
  if (options.kubernetes) return {};
  if (!value.starts_with("dir:") || value.size() == 4) return wrong("dir:DIRECTORY or kubernetes");
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

Taken take_config_map(std::string& to, std::string_view value) {
  if (!translate::valid_name_option(value)) return wrong("namespace/name");
  to = value;
  return {};
}

Taken take_cidr(Flags& flags, const std::string& value) {
  if (!translate::valid_cidr(value)) return wrong("a range of addresses, as 10.0.0.0/8");
  flags.proxy_cidrs.push_back(value);
  return {};
}

Taken take_stream_host(Flags& flags, const std::string& value) {
  // The port comes from the ConfigMap.
  const bool v6 = value.starts_with('[') && value.ends_with(']');
  const std::string bare = v6 ? value.substr(1, value.size() - 2) : value;
  if (!translate::valid_cidr(bare) || bare.find('/') != std::string::npos ||
      v6 != (bare.find(':') != std::string::npos)) {
    return wrong("an IP address without port, IPv6 in brackets");
  }
  flags.stream_hosts.push_back(value);
  return {};
}

Taken take_hold(ControllerOptions& options, std::string_view value) {
  const auto ms = number(value, 3'600'000);
  if (!ms) return wrong("milliseconds, 0 to 3600000");
  options.guard.hold_ns = *ms * kNsPerMs;
  return {};
}

Taken take_on_off(bool& target, std::string_view value) {
  if (value != "on" && value != "off") return wrong("on or off");
  target = value == "on";
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
  if (auto taken = take_kube_flag(options.kube, options.translate, name, value)) return *taken;
  if (name == "--source") return take_source(options, value);
  if (name == "--default-backend") return take_backend(options, value);
  if (name == "--default-certificate") return take_certificate(options, value);
  if (name == "--nginx-metrics") return take_on_off(options.nginx_metrics.on, value);
  if (name == "--removal-hold-ms") return take_hold(options, value);
  if (name == "--tcp-services-configmap")
    return take_config_map(options.translate.tcp_services, value);
  if (name == "--udp-services-configmap")
    return take_config_map(options.translate.udp_services, value);
  if (name == "--stream-address") return take_stream_host(flags, value);
  if (name == "--proxy-real-ip-cidr") return take_cidr(flags, value);
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
      {"--metrics-namespace", &options.nginx_metrics.controller_namespace},
      {"--metrics-pod", &options.nginx_metrics.controller_pod},
      {"--ingress-class", &options.translate.class_name},
  };
  const auto found = texts.find(name);
  known = found != texts.end();
  if (!known) return take_cluster_flag(options.cluster, name, value, known);
  if (value.empty()) return wrong("a value");
  *found->second = value;
  return {};
}

// Flags that are on when they stand there, or with "=true"; "=false" as ingress-nginx has it too.
// nullopt: none of these.
std::optional<Taken> take_switch(ControllerOptions& options, Flags& flags,
                                 std::string_view argument) {
  const size_t equals = std::min(argument.find('='), argument.size());
  const std::string_view name = argument.substr(0, equals);
  const std::string_view value = argument.substr(equals);
  const bool on = value != "=false";
  bool* target = nullptr;
  if (name == "--watch-ingress-without-class") target = &flags.without_class;
  if (name == "--external-names" || name == "--disable-svc-external-name")
    target = &options.translate.external_names;
  if (name == "--ingress-class-by-name") target = &options.translate.class_by_name;
  if (name == "--enable-ssl-passthrough") target = &options.translate.ssl_passthrough;
  if (name == "--use-proxy-protocol") target = &options.translate.use_proxy_protocol;
  if (target == nullptr) return std::nullopt;
  if (!value.empty() && value != "=true" && value != "=false") return wrong("true or false");
  *target = name == "--disable-svc-external-name" ? !on : on;
  return Taken();
}

// What a source of objects means for the rest.
void complete_for_source(ControllerOptions& options, const Flags& flags) {
  translate::Options& out = options.translate;
  // A directory is written by whoever owns the machine: addresses of this machine are meant, and
  // nobody writes an IngressClass for a try.
  out.loopback_endpoints = !options.kubernetes;
  out.classless = flags.without_class  ? translate::Classless::kServed
                  : options.kubernetes ? translate::Classless::kIgnored
                                       : translate::Classless::kServedWithoutClasses;
  // In directory mode clients see the ports that are bound; in a cluster a Service stands in front.
  out.redirect_https_port =
      flags.redirect_https_port.value_or(options.kubernetes ? 443 : flags.https_port.value_or(443));
  if (out.redirect_https_port == 0) out.redirect_https_port = 443;
}

std::string host_name() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

Taken check_listen(const ControllerOptions& options) {
  const bool local = options.server.listen.starts_with("unix:");
  if (local && !options.cluster.link_ns.empty() && options.cluster.webhook_service_name.empty())
    return std::unexpected("--link-secrets is for a TCP address");
  if (local || options.cluster.link_ns.empty())
    return serve::DiscoveryServer::check(options.server);
  if (!options.server.tls_certificate.empty() || !options.server.tls_key.empty() ||
      !options.server.tls_client_ca.empty()) {
    return std::unexpected("--link-secrets and TLS files exclude each other");
  }
  // The certificates come when the API server answers; until then something that can be read.
  serve::ServerOptions later = options.server;
  later.tls_certificate = later.tls_key = later.tls_client_ca = "/dev/null";
  return serve::DiscoveryServer::check(later);
}

std::expected<ControllerOptions, std::string> complete(ControllerOptions options,
                                                       const Flags& flags) {
  if (options.directory.empty() && !options.kubernetes)
    return std::unexpected("--source is missing: dir:DIRECTORY or kubernetes");
  if (auto checked = check_kube_flags(options.kube); !checked)
    return std::unexpected(checked.error());
  if (options.server.listen.empty())
    return std::unexpected("--listen is missing: unix:/path or host:port");
  if (auto checked = check_listen(options); !checked)
    return std::unexpected("--listen: " + checked.error());
  if (options.admin != "off" && options.admin.find(':') == std::string::npos)
    return std::unexpected("--admin: want host:port or off");
  if (options.nginx_metrics.controller_pod.empty())
    options.nginx_metrics.controller_pod = host_name();
  if (!options.translate.controller_names.empty())
    options.nginx_metrics.controller_class = options.translate.controller_names.front();
  if (auto checked = check_cluster_options(options.cluster); !checked)
    return std::unexpected(checked.error());
  options.cluster.api = options.kube.api;
  options.cluster.writes_back = options.kubernetes || options.cluster.publish.any();
  translate::Options& out = options.translate;
  const auto addresses = [](const std::vector<std::string>& named, uint16_t port) {
    if (!named.empty() || port == 0) return named;
    return std::vector<std::string>{"0.0.0.0:" + std::to_string(port)};
  };
  out.http_addresses = addresses(flags.http_addresses, flags.http_port.value_or(80));
  out.https_addresses = addresses(flags.https_addresses, flags.https_port.value_or(443));
  for (const std::string& name : {out.tcp_services, out.udp_services}) {
    if (!name.empty()) options.kube.source.configmaps.push_back(name);
  }
  if (!flags.stream_hosts.empty()) out.stream_hosts = flags.stream_hosts;
  if (!flags.proxy_cidrs.empty()) out.proxy_real_ip_cidrs = flags.proxy_cidrs;
  complete_for_source(options, flags);
  return options;
}

}  // namespace

std::expected<ControllerOptions, std::string> parse_controller_flags(int argc, char** argv) {
  ControllerOptions options;
  Flags flags;
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
    if (take_cluster_switch(options.cluster, argument)) continue;
    if (const auto taken = take_switch(options, flags, argument)) {
      if (!*taken) return std::unexpected(std::string(argument) + ": " + taken->error());
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
  return std::string(R"(ringway-controller: reads Kubernetes objects and configures proxies

Usage: ringway-controller --source dir:DIR|kubernetes --listen unix:/run/ringway/controller [flags]

Objects
  --source dir:DIR                Manifests (YAML or JSON) in DIR, followed as they change.
  --source kubernetes             Objects of a cluster, followed by watches. One of the two is required.
  --controller-class NAME         IngressClass spec.controller that is served (ringway.dev/ingress); may be given
                                  several times, e.g. k8s.io/ingress-nginx too. --controller-name is the same.
  --ingress-class NAME            Value of the annotation kubernetes.io/ingress.class that is served (ringway).
  --ingress-class-by-name         Serve the IngressClass of that name too, whatever its controller.
  --watch-ingress-without-class   Serve Ingresses that name no class. A directory without an IngressClass: always.
  --annotation-prefix PREFIX      Prefix of the annotations that are read (nginx.ingress.kubernetes.io/).
  --external-names                Allow Services of type ExternalName (--disable-svc-external-name: not; the default).
  --default-backend NS/NAME:PORT  Where requests go that match no Ingress (404 by the proxy).
  --default-certificate NS/NAME   Secret for TLS clients that ask for an unknown host (self-signed by the proxy).
  --removal-hold-ms N             Hold back a change that removes more than half of everything for N ms (2000; 0 = off).
)") + kKubeUsage +
         R"(
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
  --tcp-services-configmap NS/NAME   ConfigMap of TCP ports: "9000": "namespace/service:port", :PROXY[:PROXY] behind it.
  --udp-services-configmap NS/NAME   The same for UDP.
  --stream-address HOST           Where those ports are bound, as often as needed (0.0.0.0; [::] for IPv6).
  --enable-ssl-passthrough        The annotation ssl-passthrough counts: TLS of such hosts goes on unopened.
  --use-proxy-protocol            Clients of HTTP and HTTPS are load balancers that send PROXY headers.
  --proxy-real-ip-cidr CIDR       Whose PROXY headers are believed, as often as needed (0.0.0.0/0 and ::/0).

)" + cluster_usage() +
         R"(
Watching it
  --admin HOST:PORT               /healthz, /readyz, /metrics, /proxies (off).
  --nginx-metrics on|off          ingress-nginx's metrics of certificates and Ingresses beside ours (on).
  --metrics-namespace NS, --metrics-pod NAME    Their labels controller_namespace, controller_pod (none, the host name).
  --log-level LEVEL               debug, info, warn, error, off (info).
  --log-format FORMAT             text, json (text).
  --version, --help

SIGTERM and SIGINT end it; proxies go on with what they have. A wrong flag is one line and exit code 2.
)";
}

}  // namespace ringway
