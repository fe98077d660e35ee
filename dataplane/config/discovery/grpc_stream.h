// One bidirectional gRPC call over one HTTP/2 connection, client side (RFC 9113 by nghttp2;
// grpc/doc/PROTOCOL-HTTP2.md). No sockets, no clock: bytes in, bytes out.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/config/discovery/grpc_frame.h"

namespace ringway::config {

// Printable ASCII only, others as '?', at most 300 bytes: for log lines and for proto3 strings
// (UTF-8).
std::string printable(std::string_view text);

class GrpcStream {
 public:
  // Called from feed(). The owner must not destroy the stream in them.
  class Owner {
   public:
    virtual void on_settings() = 0;  // The peer speaks HTTP/2.
    virtual bool on_message(
        std::string_view message) = 0;  // false: stop reading; fail() of the owner follows.
   protected:
    ~Owner() = default;
  };

  struct Call {
    std::string scheme;  // "http" or "https"
    std::string authority;
    std::string path;  // "/ringway.v1.Discovery/Connect"
    std::string user_agent;
  };

  GrpcStream(Owner& owner, const Call& call, uint32_t message_bytes_max);
  GrpcStream(const GrpcStream&) = delete;
  GrpcStream& operator=(const GrpcStream&) = delete;

  // Takes bytes of the peer. Whether the stream goes on is known after the next take_output(): see
  // end_reason().
  void feed(std::string_view bytes);
  void send(std::string_view message);  // Queues one message.
  void ping();
  // Appends what is to be written to the peer now.
  void take_output(std::string& out);

  // Why the stream is over; "" while it is not.
  const std::string& end_reason() const { return end_reason_; }
  bool mid_message() const {
    return decoder_.mid_message();
  }  // A message has begun and is not complete.
  bool asked_for_calm() const {
    return asked_for_calm_;
  }  // GOAWAY ENHANCE_YOUR_CALM: too many PINGs.

 private:
  struct Callbacks;
  struct SessionDeleter {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };
  void end(std::string reason);
  void on_header(std::string_view name, std::string_view value);
  void on_headers_end(bool end_stream);
  bool on_data(std::string_view bytes);
  void on_stream_close(uint32_t error_code);
  ssize_t read_body(uint8_t* into, size_t length, uint32_t* flags);

  Owner& owner_;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  int32_t stream_id_ = -1;
  GrpcFrameDecoder decoder_;
  std::string body_;  // Framed messages that flow control has not let out.
  size_t body_sent_ = 0;
  bool body_deferred_ = false;
  bool settings_seen_ = false;
  bool head_seen_ = false;
  bool asked_for_calm_ = false;
  std::string status_;  // :status
  std::string content_type_;
  std::string grpc_status_;
  std::string grpc_message_;
  std::string complaint_;  // nghttp2's words for what was wrong.
  std::string end_reason_;
};

}  // namespace ringway::config
