// A plain reader of HTTP/1.1 messages for the simulated peers: trusting, unlike the proxy's, and written apart from it on purpose.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringway::sim {

class MessageReader {
 public:
  enum class Kind : uint8_t { kRequest, kResponse };
  explicit MessageReader(Kind kind) : kind_(kind) {}

  struct Message {
    std::string start_line;
    std::string head;          // With the start line.
    std::string body;          // So far.
    bool head_complete = false;
    bool complete = false;
  };

  // Takes bytes; after each call look at message(). A complete message is taken away by next().
  void feed(std::string_view bytes);
  void end_of_input();                       // A body until close is complete now.
  const Message& message() const { return message_; }
  // REQUIRES: message().complete. Reads on in what came behind. `no_body`: the next one answers HEAD.
  void next(bool no_body = false);
  void expect_no_body() { no_body_ = true; } // The first response answers HEAD.
  bool malformed() const { return malformed_; }
  bool anything() const { return message_.head_complete || !buffer_.empty(); }

  static std::optional<std::string> header(const std::string& head, std::string_view name);

 private:
  void parse();
  bool parse_head();
  bool parse_chunk();

  Kind kind_;
  std::string buffer_;
  Message message_;
  bool chunked_ = false;
  bool until_close_ = false;
  bool no_body_ = false;
  bool malformed_ = false;
  uint64_t left_ = 0;
};

}  // namespace ringway::sim
