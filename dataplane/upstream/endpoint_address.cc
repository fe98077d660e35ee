#include "dataplane/upstream/endpoint_address.h"

#include "dataplane/net/address.h"

namespace ringway::upstream {

std::expected<EndpointAddress, std::string> parse_endpoint(std::string_view address,
                                                           uint32_t port) {
  EndpointAddress out;
  if (address.starts_with("unix:/") || address.starts_with("unix:@")) {
    auto parsed = net::parse_address(address);
    if (!parsed) return std::unexpected(std::move(parsed.error()));
    out.address = *parsed;
  } else {
    if (port == 0 || port > 65535)
      return std::unexpected("port " + std::to_string(port) + " is not in 1..65535");
    if (!net::parse_ip(address, static_cast<uint16_t>(port), out.address)) {
      return std::unexpected("\"" + std::string(address) + "\" is not an IP address");
    }
  }
  out.text = net::to_string(out.address);
  return out;
}

}  // namespace ringway::upstream
