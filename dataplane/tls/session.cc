#include "dataplane/tls/session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <string>

#include "base/check.h"
#include "dataplane/tls/client_context.h"
#include "dataplane/tls/failure.h"
#include "dataplane/tls/server_context.h"

namespace ringway::tls {
namespace {

constexpr size_t kRecordBytesMax = SSL3_RT_MAX_PLAIN_LENGTH;  // 16 KiB: RFC 8446, section 5.1.

// Several slices as one record: a head and the start of its body leave in one, not in two with
// twice the overhead.
std::string_view gather(const io::SliceQueue& queue) {
  static thread_local std::array<char, kRecordBytesMax> scratch;
  size_t bytes = 0;
  queue.for_each([&](const io::Slice& slice) {
    const size_t part = std::min<size_t>(slice.size(), scratch.size() - bytes);
    std::memcpy(scratch.data() + bytes, slice.data(), part);
    bytes += part;
    return bytes < scratch.size();
  });
  return {scratch.data(), bytes};
}

}  // namespace

// BoringSSL's way to the bytes: reads take from incoming_, writes go into slices of the output
// pool.
struct Session::Bio {
  static Session& session_of(BIO* bio) { return *static_cast<Session*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* out, int length) {
    Session& session = session_of(bio);
    BIO_clear_retry_flags(bio);
    if (session.incoming_.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const io::Slice& first = session.incoming_.front();
    const size_t bytes = std::min<size_t>(first.size(), static_cast<size_t>(length));
    std::memcpy(out, first.data(), bytes);
    session.incoming_.consume(bytes);
    return static_cast<int>(bytes);
  }

  static int write(BIO* bio, const char* data, int length) {
    Session& session = session_of(bio);
    BIO_clear_retry_flags(bio);
    CHECK(session.outgoing_ != nullptr);
    session.outgoing_->append_copy(*session.output_pool_, {data, static_cast<size_t>(length)});
    return length;
  }

  static long control(BIO*, int command, long,
                      void*) {  // NOLINT(google-runtime-int): BIO_METHOD's type.
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "slices");
      CHECK(method != nullptr);
      BIO_meth_set_read(method, read);
      BIO_meth_set_write(method, write);
      BIO_meth_set_ctrl(method, control);
      return method;
    }();
    return made;
  }
};

std::unique_ptr<Session> Session::make(ssl_ctx_st* native, std::shared_ptr<const void> context,
                                       io::BufferPool& output_pool) {
  std::unique_ptr<Session> session(new Session);
  session->ssl_ = SSL_new(native);
  session->context_ = std::move(context);
  session->output_pool_ = &output_pool;
  BIO* bio = BIO_new(Bio::method());
  CHECK(session->ssl_ != nullptr && bio != nullptr);
  BIO_set_data(bio, session.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(session->ssl_, bio, bio);  // Takes the one reference for both ways.
  // Configuration goes when the handshake is over: the certificates, sigalgs and lists copied from
  // the context.
  SSL_set_shed_handshake_config(session->ssl_, 1);
  return session;
}

std::unique_ptr<Session> Session::accept(std::shared_ptr<ServerContext> context,
                                         io::BufferPool& output_pool) {
  ssl_ctx_st* const native = context->native();
  auto session = make(native, std::move(context), output_pool);
  SSL_set_accept_state(session->ssl_);
  return session;
}

std::unique_ptr<Session> Session::connect(std::shared_ptr<const ClientContext> context,
                                          io::BufferPool& output_pool, ResumableSession* resumable,
                                          std::string_view alpn) {
  const ClientContext& from = *context;
  auto session = make(from.native(), std::move(context), output_pool);
  session->client_ = true;
  session->resumable_ = resumable;
  SSL_set_connect_state(session->ssl_);
  if (!from.server_name().empty()) {
    CHECK(SSL_set_tlsext_host_name(session->ssl_, from.server_name().c_str()) == 1);
  }
  if (!alpn.empty()) {
    CHECK(alpn.size() < 256);
    const std::string protocols = std::string(1, static_cast<char>(alpn.size())).append(alpn);
    CHECK(SSL_set_alpn_protos(session->ssl_, reinterpret_cast<const uint8_t*>(protocols.data()),
                              static_cast<unsigned>(protocols.size())) == 0);
  }
  if (resumable != nullptr && resumable->newest() != nullptr) {
    SSL_set_session(session->ssl_, resumable->newest());
  }
  return session;
}

void Session::start(io::SliceQueue& cipher_out) {
  if (!client_) return;
  outgoing_ = &cipher_out;
  ERR_clear_error();
  handshake();
  outgoing_ = nullptr;
}

// 1: the reference is ours.
int Session::on_new_session(ssl_st* ssl, ssl_session_st* session) {
  Session& self = Bio::session_of(SSL_get_rbio(ssl));
  if (self.resumable_ == nullptr) return 0;
  self.resumable_->keep(session);
  return 1;
}

Session::~Session() { SSL_free(ssl_); }

SessionState Session::receive(io::Slice data, io::SliceQueue& plain, io::SliceQueue& cipher_out) {
  if (state_ == SessionState::kClosed || state_ == SessionState::kFailed) return state_;
  incoming_.push(std::move(data));
  outgoing_ = &cipher_out;
  ERR_clear_error();
  if (state_ == SessionState::kHandshaking) handshake();
  if (state_ == SessionState::kOpen) read_plain(plain);
  outgoing_ = nullptr;
  // BoringSSL copies incomplete records out of the slices, so that a client that dribbles holds one
  // buffer of its own and none of the ring's. What is left follows a close_notify or a failure.
  incoming_.clear();
  return state_;
}

void Session::handshake() {
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    state_ = SessionState::kOpen;
  } else if (SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ) {
    fail();
  }
}

void Session::read_plain(io::SliceQueue& plain) {
  io::Slice filling;
  while (true) {
    if (filling.tail().empty()) {
      plain.push(std::move(filling));
      filling = output_pool_->take();
    }
    const std::span<std::byte> room = filling.tail();
    const int result =
        SSL_read(ssl_, room.data(), static_cast<int>(std::min<size_t>(room.size(), INT_MAX)));
    if (result > 0) {
      filling.extend(static_cast<uint32_t>(result));
      continue;
    }
    const int error = SSL_get_error(ssl_, result);
    if (error == SSL_ERROR_ZERO_RETURN) {
      state_ = SessionState::kClosed;
    } else if (error != SSL_ERROR_WANT_READ) {
      fail();
    }
    break;
  }
  plain.push(std::move(filling));
}

bool Session::send(io::SliceQueue& plain, io::SliceQueue& cipher_out) {
  if (state_ == SessionState::kFailed) return false;
  CHECK(state_ != SessionState::kHandshaking);
  outgoing_ = &cipher_out;
  ERR_clear_error();
  while (!plain.empty()) {
    const io::Slice& first = plain.front();
    const bool alone = first.size() >= kRecordBytesMax || plain.slices() == 1;
    std::string_view bytes = alone ? first.view() : gather(plain);
    if (bytes.size() > kRecordBytesMax && plain.slices() > 1) {
      // Whole records only: the odd rest of this slice shares a record with the next slice.
      bytes = bytes.substr(0, bytes.size() / kRecordBytesMax * kRecordBytesMax);
    }
    const int result = SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
    if (result <= 0) {
      fail();
      break;
    }
    plain.consume(static_cast<size_t>(result));
  }
  outgoing_ = nullptr;
  return state_ != SessionState::kFailed;
}

void Session::shutdown(io::SliceQueue& cipher_out) {
  if (state_ == SessionState::kHandshaking || state_ == SessionState::kFailed) return;
  outgoing_ = &cipher_out;
  ERR_clear_error();
  SSL_shutdown(ssl_);  // 0: ours is written, the client's has not come. Nothing waits for that one.
  outgoing_ = nullptr;
}

void Session::fail() {
  // The first word of libssl is the reason; libcrypto's before it is a detail ("bad decrypt"),
  // those after it follow from it.
  uint32_t reason = ERR_peek_error();
  while (const uint32_t error = ERR_get_error()) {
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) continue;
    reason = error;
    break;
  }
  failure_ = failure_reason(reason);
  ERR_clear_error();
  state_ = SessionState::kFailed;
}

std::string_view Session::server_name() const {
  const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? std::string_view{} : name;
}

std::string_view Session::alpn() const {
  const uint8_t* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_, &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

std::string_view Session::version() const { return SSL_get_version(ssl_); }
bool Session::resumed() const { return SSL_session_reused(ssl_) == 1; }
std::string_view Session::failure() const { return failure_; }

}  // namespace ringway::tls
