// The annotations of ingress-nginx by name, so that a report can tell "not supported" from
// "misspelt".
#pragma once

#include <string>
#include <string_view>

namespace ringway::translate {

// The message for an annotation of the prefix that is not read.
std::string why_unsupported(std::string_view name);

}  // namespace ringway::translate
