#include "dataplane/config/compile_listener.h"

#include <set>

#include "base/clock.h"
#include "dataplane/config/compile_stream.h"
#include "dataplane/net/address.h"

namespace ringway::config {
namespace {

constexpr uint32_t kHttp2StreamsMax = 1000;
constexpr uint32_t kBytesMax = 1 << 20;  // Of any limit on a head: above it a head is not one.

void set_ns(uint64_t& field, uint32_t ms) {
  if (ms != 0) field = ms * kNsPerMs;
}

template <typename Field>
void set_number(Field& field, uint32_t value) {
  if (value != 0) field = static_cast<Field>(value);
}

std::expected<std::shared_ptr<const HttpPolicy>, std::string> compile_http(
    const v1::HttpOptions& in, const v1::TlsOptions& tls) {
  auto out = std::make_shared<HttpPolicy>();
  if (in.headers_max() > http::HeaderList::kHeadersMax)
    return std::unexpected("headers_max is above 128");
  for (const uint32_t bytes :
       {in.request_line_bytes_max(), in.headers_bytes_max(), in.header_bytes_max(),
        in.trailers_bytes_max(), in.chunk_extension_bytes_max()}) {
    if (bytes > kBytesMax) return std::unexpected("a limit of the head is above 1 MiB");
  }
  http::Limits& limits = out->limits;
  set_number(limits.request_line_bytes_max, in.request_line_bytes_max());
  set_number(limits.headers_bytes_max, in.headers_bytes_max());
  set_number(limits.header_bytes_max, in.header_bytes_max());
  set_number(limits.headers_max, in.headers_max());
  set_number(limits.trailers_bytes_max, in.trailers_bytes_max());
  set_number(limits.chunk_extension_bytes_max, in.chunk_extension_bytes_max());
  limits.reject_underscores = in.reject_underscores();
  set_ns(out->header_timeout_ns, in.header_timeout_ms());
  set_ns(out->body_timeout_ns, in.body_timeout_ms());
  set_ns(out->idle_timeout_ns, in.idle_timeout_ms());
  set_ns(out->write_stall_timeout_ns, in.write_stall_timeout_ms());
  set_ns(out->tunnel_idle_timeout_ns, in.tunnel_idle_timeout_ms());
  set_ns(out->tls_handshake_timeout_ns, tls.handshake_timeout_ms());
  set_number(out->keep_alive_requests_max, in.keep_alive_requests_max());
  set_number(out->connections_max, in.connections_max());
  out->connections_per_address_max = in.connections_per_address_max();
  out->body_rate_bytes_per_second_min = in.body_rate_bytes_per_second_min();
  out->trust_forwarded = in.trust_forwarded();
  out->http2 = !in.http2_disabled();
  if (in.http2_streams_max() > kHttp2StreamsMax)
    return std::unexpected("http2_streams_max is above 1000");
  set_number(out->http2_streams_max, in.http2_streams_max());
  if (in.hsts()) {
    const uint32_t age = in.hsts_max_age_seconds() == 0 ? 31536000 : in.hsts_max_age_seconds();
    out->hsts = "max-age=" + std::to_string(age) +
                (in.hsts_include_subdomains() ? "; includeSubDomains" : "");
  }
  return out;
}

}  // namespace

std::expected<tls::ServerPolicy, std::string> compile_tls_policy(const v1::TlsOptions& in,
                                                                 bool http2, ListenerKind kind) {
  tls::ServerPolicy out;
  const bool http = kind == ListenerKind::kHttps;
  if (!http) {
    out.alpn.clear();
    out.ticket_scope = "stream";  // What resumes there was not promised to speak HTTP.
  }
  switch (in.version_min()) {
    case v1::TLS_VERSION_UNSPECIFIED:
    case v1::TLS_VERSION_1_2:
      out.version_min = 0x0303;
      break;
    case v1::TLS_VERSION_1_3:
      out.version_min = 0x0304;
      break;
    default:
      return std::unexpected("TLS version " + std::to_string(in.version_min()) + " is not known");
  }
  if (http2) out.alpn = {"h2", "http/1.1"};
  if (in.alpn_size() != 0) out.alpn.assign(in.alpn().begin(), in.alpn().end());
  for (const std::string& protocol : out.alpn) {
    if (http && protocol != "http/1.1" && protocol != "h2")
      return std::unexpected("ALPN protocol \"" + protocol + "\" is not spoken here");
  }
  return out;
}

std::string socket_address(const v1::Listener& in, const std::string& address) {
  return in.protocol() == v1::LISTENER_PROTOCOL_UDP ? std::string(net::kUdpPrefix) + address
                                                    : address;
}

std::expected<Listener, std::string> compile_listener(const std::string& name,
                                                      const v1::Listener& in, StreamSource source) {
  Listener out;
  out.name = name;
  switch (in.protocol()) {
    case v1::LISTENER_PROTOCOL_UNSPECIFIED:
    case v1::LISTENER_PROTOCOL_HTTP:
      out.kind = ListenerKind::kHttp;
      break;
    case v1::LISTENER_PROTOCOL_HTTPS:
      out.kind = ListenerKind::kHttps;
      break;
    case v1::LISTENER_PROTOCOL_TCP:
      out.kind = ListenerKind::kTcp;
      break;
    case v1::LISTENER_PROTOCOL_TLS:
      out.kind = ListenerKind::kTls;
      break;
    case v1::LISTENER_PROTOCOL_TLS_PASSTHROUGH:
      out.kind = ListenerKind::kTlsPassthrough;
      break;
    case v1::LISTENER_PROTOCOL_UDP:
      out.kind = ListenerKind::kUdp;
      break;
    default:
      return std::unexpected("protocol " + std::to_string(in.protocol()) +
                             " is not one that this proxy serves");
  }
  if (auto fits = check_kind(in, out.kind); !fits) return std::unexpected(std::move(fits.error()));
  if (in.addresses().empty()) return std::unexpected("there is no address");
  std::set<std::string> seen;
  for (const std::string& address : in.addresses()) {
    const auto parsed = net::parse_address(address);
    if (!parsed) return std::unexpected(parsed.error());
    if (!seen.insert(net::to_string(*parsed)).second)
      return std::unexpected("address " + address + " is there twice");
    out.addresses.push_back(socket_address(in, address));
  }
  if (in.public_port() > 65535 || in.redirect_https_port() > 65535)
    return std::unexpected("a port is above 65535");
  out.route_set = in.route_set().empty() ? kDefaultRouteSet : in.route_set();
  out.public_port = static_cast<uint16_t>(in.public_port());
  if (out.public_port == 0) out.public_port = net::port_of(*net::parse_address(in.addresses(0)));
  set_number(out.redirect_https_port, in.redirect_https_port());
  if (out.is_http()) {
    auto http = compile_http(in.http(), in.tls());
    if (!http) return std::unexpected(std::move(http.error()));
    out.http = *std::move(http);
  }
  if (!out.is_http() || in.passthrough_size() != 0) {
    auto stream = compile_stream(in, out.kind, source);
    if (!stream) return std::unexpected(std::move(stream.error()));
    out.stream = *std::move(stream);
  }
  auto prelude = compile_prelude(in, out.kind);
  if (!prelude) return std::unexpected(std::move(prelude.error()));
  out.prelude = *std::move(prelude);
  return out;
}

}  // namespace ringway::config
