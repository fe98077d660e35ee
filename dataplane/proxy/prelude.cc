#include "dataplane/proxy/prelude.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/tls/server_name.h"

namespace ringway::proxy {
namespace {

using observe::StreamFailure;

// A little more than the longer of the two: the last receive may bring what lies behind.
constexpr size_t kGatherBytesMax = tls::kHelloBytesMax + net::kProxyV2BytesMax;
constexpr uint32_t kCopyMax = 1024;

}  // namespace

Prelude::Prelude(Context& context, PreludeOwner& owner,
                 std::shared_ptr<const config::Listener> listener)
    : context_(context),
      owner_(owner),
      listener_(std::move(listener)),
      header_wanted_(listener_->prelude->proxy_protocol) {
  io::bind<&Prelude::on_recv>(recv_, *this);
  io::bind<&Prelude::on_close>(close_, *this);
  timer_.bind<&Prelude::on_timer>(*this);
}

void Prelude::start(io::Socket socket, const Client& client) {
  socket_ = socket;
  client_ = client;
  ++context_.stats.connections_active;
  context_.timers.arm(timer_, context_.now_ns() + listener_->prelude->timeout_ns);
  receive();
}

void Prelude::receive() { context_.ring.recv(recv_, socket_, io::RecvMode::kOnce); }

void Prelude::on_recv(io::Completion&& completion) {
  if (state_ == State::kDraining) {
    completion.data.reset();
    return context_.ring.close(close_, socket_);
  }
  if (completion.result <= 0) {
    // A connection without a byte is how load balancers look whether the port is there.
    return bytes_.empty() ? drain() : fail();
  }
  if (completion.data.size() <= kCopyMax) {
    bytes_.append_copy(context_.ring.output_pool(), completion.data.view());
    completion.data.reset();
  } else {
    bytes_.push(std::move(completion.data));
  }
  read_on();
}

// The bytes so far in one piece; no longer than what could be looked at.
std::span<const std::byte> Prelude::gathered() {
  if (bytes_.slices() <= 1)
    return bytes_.empty() ? std::span<const std::byte>() : bytes_.front().bytes();
  static thread_local std::array<std::byte, kGatherBytesMax> scratch;
  size_t size = 0;
  bytes_.for_each([&](const io::Slice& slice) {
    const size_t part = std::min<size_t>(slice.size(), scratch.size() - size);
    std::memcpy(scratch.data() + size, slice.data(), part);
    size += part;
    return size < scratch.size();
  });
  return {scratch.data(), size};
}

void Prelude::read_on() {
  if (header_wanted_ && !read_header()) return;
  if (!listener_->reads_hello()) return hand_over({});
  tls::ServerName name;
  const bool only_passes = listener_->kind == config::ListenerKind::kTlsPassthrough;
  switch (tls::read_server_name(gathered(), name)) {
    case tls::HelloParse::kIncomplete:
      return receive();
    case tls::HelloParse::kMalformed:
      // Where TLS is terminated too, the handshake refuses it, with the alert that is due.
      return only_passes ? fail() : hand_over({});
    case tls::HelloParse::kNoName:
      return hand_over({});
    case tls::HelloParse::kName:
      return hand_over(name.view());
  }
}

bool Prelude::read_header() {
  net::ProxyHeader header;
  switch (net::parse_proxy_header(gathered(), header)) {
    case net::ProxyParse::kIncomplete:
      receive();
      return false;
    case net::ProxyParse::kMalformed:
      fail();
      return false;
    case net::ProxyParse::kLocal:
      break;
    case net::ProxyParse::kAddresses:
      if (net::contains(listener_->prelude->trusted, client_.peer)) {
        client_.peer = header.source;
        client_.local = header.destination;
      } else {
        ++context_.stats.stream.proxy_headers_untrusted;
      }
      break;
  }
  ++context_.stats.stream.proxy_headers;
  header_wanted_ = false;
  bytes_.consume(header.bytes);
  if (!bytes_.empty() || !listener_->reads_hello()) return true;
  receive();
  return false;
}

void Prelude::hand_over(std::string_view server_name) {
  CHECK(!recv_.in_flight);
  timer_.cancel();
  --context_.stats.connections_active;  // Counted again by whoever takes it.
  if (owner_.on_prelude_read(*this, socket_, client_, server_name, bytes_)) return;  // Freed *this.
  ++context_.stats.connections_active;
  ++context_.stats.stream.failures[static_cast<size_t>(StreamFailure::kNoHost)];
  drain();
}

void Prelude::fail() {
  const StreamFailure failure =
      header_wanted_ ? StreamFailure::kProxyHeader : StreamFailure::kHello;
  ++context_.stats.stream.failures[static_cast<size_t>(failure)];
  drain();
}

void Prelude::on_timer() {
  ++context_.stats.timeouts_handshake;
  fail();
}

void Prelude::drain() {
  if (state_ == State::kDraining) return;
  state_ = State::kDraining;
  timer_.cancel();
  if (recv_.in_flight) return context_.ring.cancel(recv_);  // Goes on in on_recv.
  context_.ring.close(close_, socket_);
}

void Prelude::on_close(io::Completion&&) {
  --context_.stats.connections_active;
  owner_.on_accepted_closed(*this);  // Frees *this.
}

}  // namespace ringway::proxy
