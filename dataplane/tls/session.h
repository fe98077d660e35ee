// One TLS connection over slices: ciphertext in, plaintext out, and back. No socket, no clock.
//
// Thread rule: one worker. Invariant: between calls a session holds no slice, only what BoringSSL
// keeps itself (of an incomplete record up to 16 KiB, of a complete one nothing). End of stream
// without close_notify is the socket's owner to see: state() is still kOpen then, and the end of a
// message that ends with the stream is not to be trusted.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/io/buffer_pool.h"
#include "dataplane/io/slice.h"

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace ringway::tls {

class ClientContext;
class ResumableSession;
class ServerContext;

enum class SessionState : uint8_t {
  kHandshaking,
  kOpen,
  kClosed,  // close_notify received.
  kFailed,
};

class Session {
 public:
  // A server side session. `context` is kept until the session ends: an exchanged certificate does
  // not touch it.
  static std::unique_ptr<Session> accept(std::shared_ptr<ServerContext> context,
                                         io::BufferPool& output_pool);
  // A client side session. `resumable`: of that peer, used and kept up to date; nullptr: none.
  // `alpn`: offered instead of the context's protocols; "": those.
  static std::unique_ptr<Session> connect(std::shared_ptr<const ClientContext> context,
                                          io::BufferPool& output_pool, ResumableSession* resumable,
                                          std::string_view alpn = {});
  ~Session();

  // A client's first flight to `cipher_out`; nothing for a server. Once, before anything else.
  void start(io::SliceQueue& cipher_out);

  // Takes ciphertext; appends decrypted bytes to `plain` and what the handshake (or an alert) wants
  // sent to `cipher_out`. Consumes all of `data`. Returns the state after it; kFailed: send
  // cipher_out (an alert), then close.
  SessionState receive(io::Slice data, io::SliceQueue& plain, io::SliceQueue& cipher_out);
  // Encrypts all of `plain` into `cipher_out`. REQUIRES: state() != kHandshaking, and no shutdown()
  // before. After kClosed the other way is still open (RFC 8446, section 6.1). False: failed.
  bool send(io::SliceQueue& plain, io::SliceQueue& cipher_out);
  // close_notify; nothing when the session is not open. Once.
  void shutdown(io::SliceQueue& cipher_out);

  SessionState state() const { return state_; }
  std::string_view server_name() const;  // SNI, "" when none. Valid once open.
  std::string_view alpn() const;         // "" when none.
  std::string_view version() const;      // "TLSv1.3"
  bool resumed() const;
  // Static short reason for logs and a metric: "no_shared_cipher", ... (failure.cc); "" when none.
  // "http_request": plain HTTP on the port of HTTPS, without an alert, so that an answer in plain
  // text can be given.
  std::string_view failure() const;

  static int on_new_session(ssl_st* ssl, ssl_session_st* session);  // For ClientContext.

 private:
  Session() = default;
  static std::unique_ptr<Session> make(ssl_ctx_st* native, std::shared_ptr<const void> context,
                                       io::BufferPool& output_pool);
  struct Bio;
  void handshake();
  void read_plain(io::SliceQueue& plain);
  void fail();

  SessionState state_ = SessionState::kHandshaking;
  std::shared_ptr<const void> context_;  // Of either side.
  ResumableSession* resumable_ = nullptr;
  bool client_ = false;
  ssl_st* ssl_ = nullptr;
  io::BufferPool* output_pool_ = nullptr;
  io::SliceQueue incoming_;             // Ciphertext for BoringSSL to take; empty between calls.
  io::SliceQueue* outgoing_ = nullptr;  // Where the BIO writes during a call.
  std::string_view failure_;
};

}  // namespace ringway::tls
