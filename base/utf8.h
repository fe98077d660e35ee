// Text that may stand in a protobuf `string`: peers refuse a message with anything else as a whole.
#pragma once

#include <string_view>

namespace ringway {

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace ringway
