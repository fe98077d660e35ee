#include "controlplane/translate/listeners.h"

#include "controlplane/translate/routes.h"

namespace ringway::translate {

void set_proxy_protocol(const Options& options, v1::Listener& listener) {
  v1::ProxyProtocolOptions& proxy = *listener.mutable_proxy_protocol();
  for (const std::string& range : options.proxy_real_ip_cidrs) proxy.add_trusted_cidrs(range);
  proxy.set_timeout_ms(options.proxy_protocol_timeout_ms);
}

std::vector<v1::Resource> translate_listeners(const Options& options, const GlobalSettings& global,
                                              const std::string& default_cluster) {
  std::vector<v1::Resource> out;
  const auto add = [&](const char* name, v1::ListenerProtocol protocol, uint32_t public_port,
                       const std::vector<std::string>& addresses) -> v1::Listener& {
    v1::Resource& resource = out.emplace_back();
    resource.set_name(name);
    v1::Listener& listener = *resource.mutable_listener();
    for (const std::string& address : addresses) listener.add_addresses(address);
    listener.set_protocol(protocol);
    listener.set_route_set(kRouteSet);
    listener.set_public_port(public_port);
    listener.set_default_cluster(default_cluster);
    if (options.use_proxy_protocol) set_proxy_protocol(options, listener);
    if (global.http.ByteSizeLong() > 0) *listener.mutable_http() = global.http;
    return listener;
  };
  if (!options.http_addresses.empty()) {
    v1::Listener& listener =
        add("http", v1::LISTENER_PROTOCOL_HTTP, options.http_public_port, options.http_addresses);
    listener.set_redirect_https_port(options.redirect_https_port);
    if (global.http.hsts()) {  // RFC 6797 section 7.2: not by clear text.
      listener.mutable_http()->clear_hsts();
      listener.mutable_http()->clear_hsts_max_age_seconds();
      listener.mutable_http()->clear_hsts_include_subdomains();
      if (listener.http().ByteSizeLong() == 0) listener.clear_http();
    }
  }
  if (!options.https_addresses.empty()) {
    v1::TlsOptions& tls = *add("https", v1::LISTENER_PROTOCOL_HTTPS, options.https_public_port,
                               options.https_addresses)
                               .mutable_tls();
    tls.set_default_certificate(options.default_certificate);
    tls.set_version_min(global.tls_version_min);
  }
  return out;
}

}  // namespace ringway::translate
