#include "dataplane/config/test_resources.h"

namespace ringway::config::testing_resources {

v1::Resource listener(const std::string& name, const std::string& address, bool https) {
  v1::Resource out;
  out.set_name(name);
  out.mutable_listener()->add_addresses(address);
  out.mutable_listener()->set_protocol(https ? v1::LISTENER_PROTOCOL_HTTPS
                                             : v1::LISTENER_PROTOCOL_HTTP);
  return out;
}

v1::Resource table(const std::string& host,
                   const std::vector<std::pair<std::string, std::string>>& routes) {
  v1::Resource out;
  out.set_name("ingress/" + host);
  out.mutable_route_table()->set_set("ingress");
  out.mutable_route_table()->set_host(host);
  for (const auto& [path, cluster] : routes) {
    v1::Route& route = *out.mutable_route_table()->add_routes();
    route.set_name("default/" + host + "#" + path);
    route.mutable_path()->set_prefix(path);
    route.mutable_backend()->add_clusters()->set_cluster(cluster);
  }
  return out;
}

v1::Resource cluster(const std::string& name) {
  v1::Resource out;
  out.set_name(name);
  out.mutable_cluster()->set_protocol(v1::UPSTREAM_PROTOCOL_HTTP1);
  return out;
}

v1::Resource endpoints(const std::string& cluster, const std::vector<std::string>& addresses) {
  v1::Resource out;
  out.set_name(cluster);
  out.mutable_endpoints();
  for (const std::string& address : addresses) {
    v1::Endpoint& endpoint = *out.mutable_endpoints()->add_endpoints();
    endpoint.set_address(address);
    endpoint.set_port(8080);
    endpoint.set_ready(true);
    endpoint.set_serving(true);
    endpoint.set_pod("pod-" + address);
  }
  return out;
}

v1::Resource certificate(const std::string& name, const std::vector<std::string>& hosts,
                         tls::test::KeyKind kind) {
  v1::Resource out;
  out.set_name(name);
  const tls::test::Pem pem = tls::test::make_pem(kind);
  v1::Certificate& certificate = *out.mutable_certificate();
  for (const std::string& host : hosts) certificate.add_hosts(host);
  certificate.set_chain_pem(pem.chain);
  certificate.set_private_key_pem(pem.key);
  return out;
}

}  // namespace ringway::config::testing_resources
