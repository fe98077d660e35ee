// Keys of ingress-nginx's ConfigMap that are not read here, and what to say about them.
#pragma once

#include <string>
#include <string_view>

namespace ringway::translate {

// "" when there is nothing to say: the chart reads it, or the value asks for what is so anyway.
// Completes "data[key]: …".
std::string why_unused(std::string_view key, std::string_view value);

}  // namespace ringway::translate
