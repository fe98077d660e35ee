// A client's bytes against Session::receive. The first byte of the input says how the rest is cut
// into slices.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "dataplane/io/buffer_pool.h"
#include "dataplane/tls/server_context.h"
#include "dataplane/tls/session.h"

namespace ringway {
namespace {

std::shared_ptr<tls::ServerContext> context() {
  static const auto made =
      tls::ServerContext::make({.alpn = {"h2", "http/1.1"}},
                               {{"a.example.com", tls::Certificate::self_signed()},
                                {"*.example.com", tls::Certificate::self_signed()}},
                               tls::Certificate::self_signed());
  return made;
}

void run(const uint8_t* data, size_t size) {
  io::BufferPool input({4096, 4, 4});
  io::BufferPool output({4096, 8, 1024});
  io::SliceQueue plain, cipher;
  const size_t slice_bytes = size == 0 || data[0] == 0 ? 4096 : data[0];
  auto session = tls::Session::accept(context(), output);
  tls::SessionState before = session->state();
  for (size_t at = std::min<size_t>(size, 1); at < size;) {
    io::Slice slice = input.take();
    const size_t bytes = std::min(slice_bytes, size - at);
    std::memcpy(slice.tail().data(), data + at, bytes);
    slice.extend(static_cast<uint32_t>(bytes));
    at += bytes;
    const tls::SessionState state = session->receive(std::move(slice), plain, cipher);
    CHECK(input.in_use() == 0);
    CHECK(plain.empty());  // Nobody without our key share completes a handshake.
    CHECK(before != tls::SessionState::kFailed || state == tls::SessionState::kFailed);
    CHECK((state == tls::SessionState::kFailed) == !session->failure().empty());
    before = state;
  }
  CHECK(session->server_name().size() <= 255);
  session->alpn();
  session->shutdown(cipher);
}

}  // namespace
}  // namespace ringway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringway::run(data, size);
  return 0;
}
