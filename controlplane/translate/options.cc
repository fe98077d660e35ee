#include "controlplane/translate/options.h"

#include <arpa/inet.h>

#include <charconv>
#include <string>

#include "controlplane/model/manifest.h"

namespace ringway::translate {

bool valid_name_option(std::string_view text) {
  const size_t slash = text.find('/');
  return slash != std::string_view::npos && model::valid_name(text.substr(0, slash)) &&
         model::valid_name(text.substr(slash + 1));
}

bool valid_cidr(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string host(text.substr(0, slash));
  in_addr v4{};
  in6_addr v6{};
  const bool is_v4 = inet_pton(AF_INET, host.c_str(), &v4) == 1;
  if (!is_v4 && inet_pton(AF_INET6, host.c_str(), &v6) != 1) return false;
  if (slash == std::string_view::npos) return true;
  const std::string_view digits = text.substr(slash + 1);
  uint32_t bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  return error == std::errc() && end == digits.data() + digits.size() && bits <= (is_v4 ? 32u : 128u);
}

std::optional<BackendOption> parse_backend_option(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !valid_name_option(text.substr(0, colon))) {
    return std::nullopt;
  }
  const size_t slash = text.find('/');
  BackendOption out;
  out.ns = text.substr(0, slash);
  out.service = text.substr(slash + 1, colon - slash - 1);
  const std::string_view port = text.substr(colon + 1);
  uint32_t number = 0;
  const auto [at, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error == std::errc() && at == port.data() + port.size()) {
    if (number == 0 || number > 65535) return std::nullopt;
    out.port_number = number;
  } else if (model::valid_name(port)) {
    out.port_name = port;
  } else {
    return std::nullopt;
  }
  return out;
}

}  // namespace ringway::translate
