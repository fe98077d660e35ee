// A peer that speaks HTTP/2 byte by byte as a test wants it: broken, hostile, or slow. Unix socket,
// one connection after the other, each played the same script.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace ringway::config::testing {

struct Script {
  std::string bytes;   // Sent when the client has said something.
  bool close = false;  // Close afterwards; else stay until the client leaves.
  std::string drip;    // Sent again and again, every 50 ms.
};

class HostileServer {
 public:
  HostileServer(const std::string& path, Script script);
  ~HostileServer();

 private:
  void run();
  void play(int fd);
  const Script script_;
  int listener_ = -1;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

// HTTP/2 frames (RFC 9113 section 4.1).
std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
std::string settings();  // Empty SETTINGS and the ACK of the client's.
std::string headers(const std::vector<std::pair<std::string, std::string>>& fields,
                    bool end_stream = false);
std::string response_head();  // 200, application/grpc
std::string data_frames(std::string_view bytes, bool end_stream = false);
std::string grpc(std::string_view message);  // With its five bytes.

}  // namespace ringway::config::testing
