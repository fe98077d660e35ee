#include "controlplane/translate/listeners.h"

#include "controlplane/translate/routes.h"

namespace ringway::translate {

std::vector<v1::Resource> translate_listeners(const Options& options,
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
    return listener;
  };
  if (!options.http_addresses.empty()) {
    add("http", v1::LISTENER_PROTOCOL_HTTP, options.http_public_port, options.http_addresses)
        .set_redirect_https_port(options.redirect_https_port);
  }
  if (!options.https_addresses.empty()) {
    add("https", v1::LISTENER_PROTOCOL_HTTPS, options.https_public_port, options.https_addresses)
        .mutable_tls()
        ->set_default_certificate(options.default_certificate);
  }
  return out;
}

}  // namespace ringway::translate
