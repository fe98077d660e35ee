#include "controlplane/identity/names.h"

#include <string_view>

namespace ringway::identity {
namespace {

bool is_or_is_below(std::string_view name, std::string_view uri) {
  return name.starts_with(uri) && (name.size() == uri.size() || name[uri.size()] == '/');
}

}  // namespace

std::expected<void, std::string> authenticate(const serve::PeerIdentity& peer,
                                              const v1::Hello& hello) {
  if (!peer.tls) return {};  // A Unix socket or loopback: permissions decide.
  bool controller = false, bound = false;
  for (const std::string_view name : peer.names) {
    controller = controller || is_or_is_below(name, kControllerUri);
    if (!is_or_is_below(name, kProxyUri)) continue;
    const std::string_view node = name.substr(sizeof kProxyUri - 1);
    if (node.size() <= 1 || node.substr(1) == hello.node_id()) return {};
    bound = true;
  }
  if (bound) return std::unexpected("the certificate is for another node id");
  if (controller) return std::unexpected("the certificate is a controller's, not a proxy's");
  return {};
}

}  // namespace ringway::identity
