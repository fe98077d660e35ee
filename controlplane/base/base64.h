// Base64 of RFC 4648 §4, as Kubernetes writes Secret data.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ringway {

// Line breaks and spaces are skipped (YAML block scalars keep them). nullopt: any other character
// outside the alphabet, wrong padding, or bits set that belong to no byte.
std::optional<std::string> base64_decode(std::string_view text);

std::string base64_encode(std::string_view bytes);

}  // namespace ringway
