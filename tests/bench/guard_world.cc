#include "tests/bench/guard_world.h"

#include <arpa/inet.h>

#include <string>
#include <vector>

namespace ringway::bench {

std::shared_ptr<const config::Snapshot> guard_snapshot(const io::SocketAddress& endpoint) {
  auto state = std::make_shared<upstream::EndpointState>();
  state->slot = 0;
  state->uid = 1;
  state->address = endpoint;
  state->text = "10.0.0.1:80";
  auto cluster = std::make_shared<upstream::Cluster>();
  cluster->name = "default/guard:80";
  cluster->uid = 1;
  cluster->revision = 1;
  cluster->endpoints.push_back({.state = std::move(state)});
  auto route = std::make_shared<route::Route>();
  route->name = "default/guard#0";
  route->clusters = {{0, 1, 0}};
  route->weight_total = 1;
  route->request_body_bytes_max = ~uint64_t{0};
  std::vector<std::string> problems;
  auto table = std::make_shared<route::RouteTable>(
      std::vector<route::PathRule>{{route::PathKind::kPrefix, "/", 0, route}}, problems);
  auto listener = std::make_shared<config::Listener>();
  listener->name = "http";
  listener->addresses = {"guard"};
  listener->route_set = "ingress";
  listener->public_port = 80;
  auto policy = std::make_shared<config::HttpPolicy>();
  policy->keep_alive_requests_max = 1'000'000;
  listener->http = std::move(policy);
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->generation = 1;
  snapshot->listeners = {listener};
  snapshot->route_sets = {
      {"ingress", std::make_shared<route::RouteSet>()->with({{"bench.test", table}})}};
  auto chunk = std::make_shared<config::Snapshot::ClusterChunk>();
  (*chunk)[0] = cluster;
  snapshot->cluster_chunks = {chunk};
  snapshot->default_route = std::make_shared<route::Route>();
  return snapshot;
}

io::SocketAddress guard_address(uint16_t port, uint32_t ip) {
  io::SocketAddress out;
  out.v4.sin_family = AF_INET;
  out.v4.sin_addr.s_addr = htonl(ip);
  out.v4.sin_port = htons(port);
  out.length = sizeof(sockaddr_in);
  return out;
}

}  // namespace ringway::bench
