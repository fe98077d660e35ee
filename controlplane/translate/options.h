// What the translation takes besides objects: the controller's flags.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::translate {

// Whether an Ingress that names no class and has no default class is served.
enum class Classless : uint8_t {
  kIgnored,
  kServedWithoutClasses,  // Only while there is no IngressClass object at all (directory mode).
  kServed,                // watch-ingress-without-class of ingress-nginx.
};

struct Options {
  std::vector<std::string> http_addresses{
      "0.0.0.0:80"};  // Listener.addresses; empty = no such listener.
  std::vector<std::string> https_addresses{"0.0.0.0:443"};
  uint32_t http_public_port = 0;  // Listener.public_port; 0 = the bound port.
  uint32_t https_public_port = 0;
  uint32_t redirect_https_port = 0;                     // Listener.redirect_https_port; 0 = 443.
  // IngressClass spec.controller that is ours.
  std::vector<std::string> controller_names{"ringway.dev/ingress"};
  std::string class_name = "ringway";  // Value of kubernetes.io/ingress.class that is ours.
  bool class_by_name = false;  // An IngressClass called class_name is ours, whatever its controller.
  Classless classless = Classless::kIgnored;
  std::string annotation_prefix = "nginx.ingress.kubernetes.io/";
  std::string default_backend;      // "namespace/service:port"; "" = 404 by the proxy.
  std::string default_certificate;  // "namespace/secret"; "" = self-signed by the proxy.
  bool loopback_endpoints =
      false;                    // Endpoints in 127.0.0.0/8 and ::1 are allowed (directory mode).
  bool external_names = false;  // Services of type ExternalName are allowed (addresses only).
  std::string config_map;  // "namespace/name" of the controller's own: config_map.h; "" = none.
  std::string tcp_services;     // "namespace/name" of a ConfigMap: stream_services.h; "" = none.
  std::string udp_services;
  std::vector<std::string> stream_hosts{"0.0.0.0"};  // Where the ports of those are bound; "[::]".
  bool ssl_passthrough = false;  // enable-ssl-passthrough: the annotation ssl-passthrough counts.
  bool use_proxy_protocol = false;  // On the listeners for HTTP and HTTPS (use-proxy-protocol).
  uint32_t proxy_protocol_timeout_ms = 0;  // ProxyProtocolOptions.timeout_ms
  std::vector<std::string> proxy_real_ip_cidrs{"0.0.0.0/0", "::/0"};  // Whose PROXY headers are believed.
};

// Options.default_backend, read.
struct BackendOption {
  std::string ns;
  std::string service;
  std::string port_name;  // "" when the port is a number.
  uint32_t port_number = 0;
};

// "namespace/service:port"; nullopt for anything else. For flags and for the translation.
std::optional<BackendOption> parse_backend_option(std::string_view text);

// Whether `text` is "namespace/name" (Options.default_certificate).
bool valid_name_option(std::string_view text);
// Whether `text` is a range of addresses, "10.0.0.0/8", or one address.
bool valid_cidr(std::string_view text);

// A certificate that was accepted earlier, by "namespace/secret".
struct KeyPair {
  std::string chain_pem;
  std::string private_key_pem;
  bool operator==(const KeyPair&) const = default;
};
using LastGood = std::map<std::string, KeyPair>;

}  // namespace ringway::translate
