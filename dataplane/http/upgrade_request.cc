#include "dataplane/http/upgrade_request.h"

#include "dataplane/http/connection_options.h"
#include "dataplane/http/text.h"

namespace ringway::http {

UpgradeRequest::UpgradeRequest(const RequestHead& head)
    : protocol_(head.upgrade_protocol),
      websocket_(equals_ignoring_case(head.upgrade_protocol, "websocket")) {
  DCHECK(head.upgrade);
  const Header* key = head.headers.find(HeaderName::kSecWebsocketKey);
  if (websocket_) accept_ = websocket_accept(key == nullptr ? std::string_view() : key->value());
}

bool UpgradeRequest::answered_by(const ResponseHead& head) const {
  if (head.version != Version::k11 || !connection_options(head.headers).upgrade) return false;
  const std::string_view protocol = single_upgrade(head.headers);
  if (protocol.empty() || !equals_ignoring_case(protocol, protocol_)) return false;
  if (!websocket_) return true;
  uint32_t proofs = 0;
  for (const Header& header : head.headers) {
    if (header.id != HeaderName::kSecWebsocketAccept) continue;
    if (++proofs > 1 || header.value() != std::string_view(accept_.data(), accept_.size()))
      return false;
  }
  return proofs == 1;
}

}  // namespace ringway::http
