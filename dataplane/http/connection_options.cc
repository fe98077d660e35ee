#include "dataplane/http/connection_options.h"

#include "dataplane/http/text.h"

namespace ringway::http {

ConnectionOptions connection_options(const HeaderList& headers) {
  ConnectionOptions options;
  if (!headers.has(HeaderName::kConnection)) return options;
  uint32_t count = 0;
  for (const Header& header : headers) {
    if (header.id != HeaderName::kConnection) continue;
    for_each_element(header.value(), [&](std::string_view option) {
      if (++count > kConnectionOptionsMax) options.too_many = true;
      if (equals_ignoring_case(option, "close")) options.close = true;
      if (equals_ignoring_case(option, "keep-alive")) options.keep_alive = true;
      if (equals_ignoring_case(option, "upgrade")) options.upgrade = true;
      return !options.too_many;
    });
  }
  return options;
}

std::string_view single_upgrade(const HeaderList& headers) {
  std::string_view protocol;
  uint32_t fields = 0;
  for (const Header& header : headers) {
    if (header.id != HeaderName::kUpgrade) continue;
    ++fields;
    protocol = header.value();
  }
  // protocol-name ["/" protocol-version] (RFC 9110 section 7.8).
  const size_t slash = protocol.find('/');
  if (fields != 1 || !is_token(protocol.substr(0, slash))) return {};
  if (slash != std::string_view::npos && !is_token(protocol.substr(slash + 1))) return {};
  return protocol;
}

}  // namespace ringway::http
