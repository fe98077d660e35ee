#include "controlplane/translate/stream_services.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "controlplane/model/manifest.h"
#include "controlplane/translate/listeners.h"
#include "controlplane/translate/report.h"

namespace ringway::translate {
namespace {

using model::quote;
using model::Reason;

constexpr char kForm[] =
    "must be \"namespace/service:port\", with \":PROXY\" behind it as needed, is ";

std::optional<uint32_t> parse_port(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool plain =
      error == std::errc() && end == text.data() + text.size() && !text.starts_with('0');
  if (!plain || value == 0 || value > 65535) return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t colon = text.find(':');
    parts.push_back(text.substr(0, colon));
    if (colon == std::string_view::npos) return parts;
    text = text.substr(colon + 1);
  }
}

bool read_flag(std::string_view word, bool& flag) {
  flag = word == "PROXY" || word == "proxy";
  return flag || word.empty();
}

bool read_value(std::string_view text, StreamFact& fact) {
  const auto parts = split(text);
  if (parts.size() < 2 || parts.size() > 4) return false;
  const auto backend = parse_backend_option(std::string(parts[0]) + ":" + std::string(parts[1]));
  if (!backend) return false;
  fact.ns = backend->ns;
  fact.backend.service = backend->service;
  fact.backend.port_name = backend->port_name;
  fact.backend.port_number = backend->port_number;
  return (parts.size() < 3 || read_flag(parts[2], fact.accept_proxy)) &&
         (parts.size() < 4 || read_flag(parts[3], fact.send_proxy));
}

// The ports of the listeners for HTTP; a datagram's port is another thing.
bool taken_by_http(uint32_t port, const Options& options) {
  const std::string end = ":" + std::to_string(port);
  const auto ends = [&](const std::string& address) { return address.ends_with(end); };
  return std::ranges::any_of(options.http_addresses, ends) ||
         std::ranges::any_of(options.https_addresses, ends);
}

}  // namespace

std::vector<StreamFact> read_stream_services(const model::Object& object, StreamKind kind,
                                             const Options& options,
                                             std::vector<model::Problem>& problems) {
  Report report(object.key, object.location, problems);
  std::map<uint32_t, StreamFact> facts;
  for (const auto& [key, text] : std::get<kubernetes::ConfigMap>(object.body).data()) {
    const std::string field = "data[" + key + "]";
    const auto port = parse_port(key);
    if (!port) {
      report.error(field, Reason::kInvalidValue, "the key must be a port from 1 to 65535");
      continue;
    }
    StreamFact fact{.kind = kind, .port = *port, .key = object.key, .location = object.location};
    fact.backend.field = field;
    if (!read_value(text, fact)) {
      report.error(field, Reason::kInvalidValue, kForm + quote(text));
      continue;
    }
    if (kind == StreamKind::kUdp && (fact.accept_proxy || fact.send_proxy)) {
      report.warning(field, Reason::kInvalidValue,
                     "the PROXY protocol is not spoken over UDP; PROXY is ignored");
      fact.accept_proxy = fact.send_proxy = false;
    }
    if (kind == StreamKind::kTcp && taken_by_http(*port, options)) {
      report.error(field, Reason::kConflict,
                   "the port belongs to the listener for HTTP or HTTPS; choose another");
      continue;
    }
    facts.emplace(*port, std::move(fact));
  }
  std::vector<StreamFact> out;
  for (auto& [port, fact] : facts) out.push_back(std::move(fact));
  return out;
}

v1::Resource stream_listener(const StreamFact& fact, const std::string& cluster,
                             const Options& options, const v1::StreamOptions& stream) {
  const bool udp = fact.kind == StreamKind::kUdp;
  const std::string port = std::to_string(fact.port);
  v1::Resource resource;
  resource.set_name((udp ? "udp-" : "tcp-") + port);
  v1::Listener& listener = *resource.mutable_listener();
  for (const std::string& host : options.stream_hosts) listener.add_addresses(host + ":" + port);
  listener.set_protocol(udp ? v1::LISTENER_PROTOCOL_UDP : v1::LISTENER_PROTOCOL_TCP);
  listener.set_public_port(fact.port);
  listener.set_tcp_cluster(cluster);
  if (stream.ByteSizeLong() > 0) *listener.mutable_stream() = stream;
  // Version 1 is what nginx sends, and what every receiver reads.
  if (fact.send_proxy)
    listener.mutable_stream()->set_send_proxy_protocol(v1::PROXY_PROTOCOL_VERSION_1);
  if (fact.accept_proxy) set_proxy_protocol(options, listener);
  return resource;
}

}  // namespace ringway::translate
