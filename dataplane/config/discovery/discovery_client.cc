#include "dataplane/config/discovery/discovery_client.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "dataplane/config/discovery/discovery_session.h"

namespace ringway::config {

std::string_view discovery_state_name(DiscoveryState state) {
  switch (state) {
    case DiscoveryState::kStopped:
      return "stopped";
    case DiscoveryState::kResolving:
      return "resolving";
    case DiscoveryState::kConnecting:
      return "connecting";
    case DiscoveryState::kConnected:
      return "connected";
    case DiscoveryState::kClosing:
      return "closing";
    case DiscoveryState::kBackoff:
      return "backoff";
  }
  return "unknown";
}

std::expected<void, std::string> DiscoveryClient::check(const DiscoveryOptions& options) {
  const auto address = parse_controller_address(options.address);
  if (!address) return std::unexpected(address.error());
  if (options.node_id.empty()) return std::unexpected("node id is empty");
  if (printable(options.node_id) != options.node_id)
    return std::unexpected("node id is not printable ASCII of at most 300 bytes");
  if (!options.tls) return {};
  const DiscoveryTls& tls = *options.tls;
  if (address->local)
    return std::unexpected("TLS files are given, but the controller address is a Unix socket");
  if (tls.ca_file.empty()) return std::unexpected("TLS to the controller needs a CA file");
  if (tls.certificate_file.empty() != tls.key_file.empty()) {
    return std::unexpected(
        "certificate and key for the controller belong together: one of them is missing");
  }
  for (const std::string& file : {tls.ca_file, tls.certificate_file, tls.key_file}) {
    if (!file.empty() && ::access(file.c_str(), R_OK) != 0)
      return std::unexpected(file + ": " + std::strerror(errno));
  }
  return {};
}

DiscoveryClient::DiscoveryClient(io::Ring& ring, io::TimerWheel& wheel, Random& random,
                                 DiscoveryOptions options, ResourceSet held, TransactionSink& sink)
    : session_(std::make_unique<Session>(ring, wheel, random, std::move(options), std::move(held),
                                         sink)) {}

DiscoveryClient::~DiscoveryClient() = default;

void DiscoveryClient::start() { session_->start(); }
void DiscoveryClient::stop() { session_->stop(); }
bool DiscoveryClient::stopped() const { return session_->status.state == DiscoveryState::kStopped; }

void DiscoveryClient::subscribe(v1::ResourceType type, const std::vector<std::string>& names) {
  session_->subscribe(type, names, true);
}
void DiscoveryClient::unsubscribe(v1::ResourceType type, const std::vector<std::string>& names) {
  session_->subscribe(type, names, false);
}

const ResourceSet& DiscoveryClient::resources() const { return session_->set; }
const DiscoveryStatus& DiscoveryClient::status() const { return session_->status; }

}  // namespace ringway::config
