#include "dataplane/proxy/local_response.h"

#include <array>
#include <string>
#include <vector>

namespace ringway::proxy {
namespace {

constexpr uint16_t kFirst = 300, kLast = 599;

// Made once; a response body refers to it by copy only.
const std::vector<std::string>& bodies() {
  static const std::vector<std::string>* const made = [] {
    auto* texts = new std::vector<std::string>(kLast - kFirst + 1);
    for (uint16_t status = kFirst; status <= kLast; ++status) {
      const std::string_view reason = http::reason_phrase(status);
      std::string& text = (*texts)[status - kFirst];
      text = std::to_string(status);
      if (!reason.empty()) text.append(" ").append(reason);
      text.append("\n");
    }
    return texts;
  }();
  return *made;
}

}  // namespace

std::string_view local_body(uint16_t status) {
  if (status < kFirst || status > kLast || status == 304) return {};  // RFC 9110 section 15.4.5: 304 has no content.
  return bodies()[status - kFirst];
}

void fill_local_response(http::ResponseHead& head, uint16_t status, std::string_view location, std::string_view body,
                         std::string_view date) {
  head.reset();
  head.status = status;
  head.body = {body.empty() ? http::BodyKind::kNone : http::BodyKind::kKnown, body.size()};
  if (body.empty() && status >= 200 && status != 204 && status != 304) head.body = {http::BodyKind::kKnown, 0};
  head.headers.add(http::HeaderName::kDate, date);
  if (!location.empty()) head.headers.add(http::HeaderName::kLocation, location);
  if (!body.empty()) {
    head.headers.add(http::HeaderName::kContentType, "text/plain; charset=utf-8");
    head.headers.add(http::HeaderName::kXContentTypeOptions, "nosniff");
  }
}

}  // namespace ringway::proxy
