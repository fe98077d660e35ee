// How much of what is cheap for a client and dear for us one HTTP/2 connection may do (RFC 9113
// section 10.5). Token buckets, so that a burst that a browser or a gRPC client makes is nothing,
// and a flood of it ends within milliseconds.
//
// Resets have a bucket each way: what a client resets (Rapid Reset) and what it makes us reset
// (MadeYouReset). All other kinds share one, into which useful work pays: every request, and every
// DATA frame that we send, since clients answer those with PING and WINDOW_UPDATE.
//
// Thread rule: the connection's.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "dataplane/http/h2_server_codec.h"

namespace ringway::proxy {

class H2Budget {
 public:
  static constexpr double kResetsBurst = 200;
  static constexpr double kResetsPerSecond = 20;
  static constexpr double kFramesBurst = 2000;
  static constexpr double kFramesPerSecond = 200;
  static constexpr double kFramesPerRequest = 8;
  static constexpr double kFramesPerDataFrame = 4;

  explicit H2Budget(uint64_t now_ns)
      : client_resets_(kResetsBurst, now_ns),
        server_resets_(kResetsBurst, now_ns),
        frames_(kFramesBurst, now_ns) {}

  // False: it is spent.
  bool spend(http::H2Glitch kind, uint64_t now_ns) {
    switch (kind) {
      case http::H2Glitch::kClientReset:
        return client_resets_.take(now_ns, kResetsBurst, kResetsPerSecond);
      case http::H2Glitch::kServerReset:
        return server_resets_.take(now_ns, kResetsBurst, kResetsPerSecond);
      default:
        return frames_.take(now_ns, kFramesBurst, kFramesPerSecond);
    }
  }
  void earn_request() {
    frames_.tokens = std::min(kFramesBurst, frames_.tokens + kFramesPerRequest);
  }
  void earn_data_frames(uint64_t frames) {
    frames_.tokens =
        std::min(kFramesBurst, frames_.tokens + kFramesPerDataFrame * static_cast<double>(frames));
  }

 private:
  struct Bucket {
    double tokens;
    uint64_t at_ns;
    Bucket(double burst, uint64_t now_ns) : tokens(burst), at_ns(now_ns) {}
    bool take(uint64_t now_ns, double burst, double per_second) {
      tokens = std::min(burst, tokens + per_second * static_cast<double>(now_ns - at_ns) /
                                            static_cast<double>(kNsPerSecond));
      at_ns = now_ns;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    }
  };
  Bucket client_resets_, server_resets_, frames_;
};

}  // namespace ringway::proxy
