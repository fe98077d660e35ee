#include "controlplane/kube/token.h"

#include <fstream>

#include "base/clock.h"
#include "base/log.h"

namespace ringway::kube {
namespace {

constexpr uint64_t kReadEveryNs = 60 * kNsPerSecond;
constexpr size_t kBytesMax = 64u << 10;

}  // namespace

const std::string& Token::at(uint64_t now_ns) {
  if (file_.empty() || (fresh_ && now_ns - read_at_ns_ < kReadEveryNs)) return token_;
  fresh_ = true;
  read_at_ns_ = now_ns;
  std::ifstream in(file_, std::ios::binary);
  std::string text(kBytesMax, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  // Only what may stand in a header: anything else would be a second header line.
  const size_t end = text.find_first_not_of(
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=:");
  const bool clean =
      end == std::string::npos || text.find_first_not_of(" \t\r\n", end) == std::string::npos;
  text.resize(std::min(end, text.size()));
  if (text.empty() || !clean) {
    static LogLimiter limiter(1);
    log_limited(limiter, now_ns, LogLevel::kWarning,
                "the token file {} cannot be read or has no token; the one before is used", file_);
  } else {
    token_ = std::move(text);
  }
  return token_;
}

bool Token::expire() {
  if (file_.empty()) return false;
  fresh_ = false;
  return true;
}

}  // namespace ringway::kube
