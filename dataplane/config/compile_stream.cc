#include "dataplane/config/compile_stream.h"

#include <algorithm>

#include "base/clock.h"
#include "dataplane/config/compile_route.h"

namespace ringway::config {
namespace {

constexpr uint32_t kTriesMax = 8;  // TcpRelay::kTriedMax: more are cut.

void set_ns(uint64_t& field, uint32_t ms) {
  if (ms != 0) field = ms * kNsPerMs;
}

}  // namespace

std::expected<std::shared_ptr<const StreamPolicy>, std::string> compile_stream(
    const v1::Listener& listener, ListenerKind kind, StreamSource source) {
  const v1::StreamOptions& in = listener.stream();
  auto out = std::make_shared<StreamPolicy>();
  out->source = source;
  if (kind == ListenerKind::kUdp) out->idle_timeout_ns = 30 * kNsPerSecond;
  set_ns(out->connect_timeout_ns, in.connect_timeout_ms());
  set_ns(out->idle_timeout_ns, in.idle_timeout_ms());
  set_ns(out->tries_timeout_ns, in.tries_timeout_ms());
  set_ns(out->tls_handshake_timeout_ns, listener.tls().handshake_timeout_ms());
  if (in.tries() != 0) out->tries = std::min(in.tries(), kTriesMax);
  if (in.connections_max() != 0) out->connections_max = in.connections_max();
  out->connections_per_address_max = in.connections_per_address_max();
  out->udp_responses = in.udp_responses();
  switch (in.send_proxy_protocol()) {
    case v1::PROXY_PROTOCOL_VERSION_UNSPECIFIED:
      break;
    case v1::PROXY_PROTOCOL_VERSION_1:
      out->send_proxy = net::ProxyVersion::kV1;
      break;
    case v1::PROXY_PROTOCOL_VERSION_2:
      out->send_proxy = net::ProxyVersion::kV2;
      break;
    default:
      return std::unexpected("PROXY protocol version " + std::to_string(in.send_proxy_protocol()) +
                             " is not one that this proxy speaks");
  }
  if (kind == ListenerKind::kUdp && out->send_proxy != net::ProxyVersion::kNone)
    return std::unexpected("the PROXY protocol is not spoken over UDP");
  return out;
}

std::expected<std::shared_ptr<const PreludePolicy>, std::string> compile_prelude(
    const v1::Listener& in, ListenerKind kind) {
  const bool hello = kind == ListenerKind::kTlsPassthrough || in.passthrough_size() != 0;
  if (!in.has_proxy_protocol() && !hello) return nullptr;
  auto out = std::make_shared<PreludePolicy>();
  set_ns(out->timeout_ns, in.tls().handshake_timeout_ms());
  if (!in.has_proxy_protocol()) return out;
  out->proxy_protocol = true;
  set_ns(out->timeout_ns, in.proxy_protocol().timeout_ms());
  for (const std::string& text : in.proxy_protocol().trusted_cidrs()) {
    auto range = net::Cidr::parse(text);
    if (!range) return std::unexpected(std::move(range.error()));
    out->trusted.push_back(*range);
  }
  return out;
}

std::expected<void, std::string> check_kind(const v1::Listener& in, ListenerKind kind) {
  const bool https = kind == ListenerKind::kHttps;
  if (in.passthrough_size() != 0 && !https && kind != ListenerKind::kTlsPassthrough)
    return std::unexpected("only HTTPS and TLS_PASSTHROUGH listeners pass server names through");
  if (in.has_proxy_protocol() && kind == ListenerKind::kUdp)
    return std::unexpected("the PROXY protocol is not spoken over UDP");
  if (!in.tcp_cluster().empty() && (https || kind == ListenerKind::kHttp))
    return std::unexpected("tcp_cluster is not for listeners that speak HTTP");
  for (const v1::PassthroughHost& host : in.passthrough()) {
    if (host.host() == "*" || !is_route_host(host.host()))
      return std::unexpected("\"" + host.host() + "\" is not a host name in lower case");
  }
  return {};
}

}  // namespace ringway::config
