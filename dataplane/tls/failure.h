// Why a session failed, as a short static text: few values, fit for a metric's label.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringway::tls {

// `error` is a packed error of BoringSSL's queue; 0 when there was none. Reasons that are not worth
// a name of their own are "protocol_error", alerts of the client "alert_other".
std::string_view failure_reason(uint32_t error);

}  // namespace ringway::tls
