// What a session costs: bytes held while idle, allocations while bytes flow. Counts every
// allocation of the program by its operator new, and those of BoringSSL by its hooks.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "dataplane/tls/test_client.h"
#include "dataplane/tls/test_keys.h"

namespace {

struct Counter {
  int64_t live_bytes = 0;  // As malloc rounds them.
  uint64_t allocations = 0;

  void* add(size_t bytes) {
    void* memory =
        std::malloc(bytes == 0 ? 1 : bytes);  // TSan says 1 for the size of an empty block.
    if (memory == nullptr) std::abort();
    live_bytes += static_cast<int64_t>(malloc_usable_size(memory) + sizeof(size_t));
    ++allocations;
    return memory;
  }
  void remove(void* memory) {
    if (memory == nullptr) return;
    live_bytes -= static_cast<int64_t>(malloc_usable_size(memory) + sizeof(size_t));
    std::free(memory);
  }
};
thread_local Counter cxx;
thread_local Counter boringssl;

}  // namespace

void* operator new(size_t bytes) { return cxx.add(bytes); }
void operator delete(void* memory) noexcept { cxx.remove(memory); }
void operator delete(void* memory, size_t) noexcept { cxx.remove(memory); }

// Weak in libcrypto: with these three it allocates through us (openssl/mem.h).
extern "C" {
void* OPENSSL_memory_alloc(size_t bytes) { return boringssl.add(bytes); }
void OPENSSL_memory_free(void* memory) { boringssl.remove(memory); }
size_t OPENSSL_memory_get_size(void* memory) { return malloc_usable_size(memory); }
}

namespace ringway::tls {
namespace {

using test::Client;
using test::connect;
using test::KeyKind;

constexpr int64_t kIdleBytesMax = 8 * 1024;

void answer_one_request(Client& client, Session& session, io::BufferPool& input,
                        io::SliceQueue& plain, io::SliceQueue& cipher) {
  client.write("GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
  session.receive(test::slice_of(input, client.take_output()), plain, cipher);
  ASSERT_TRUE(session.send(plain, cipher));
  client.feed(test::take_all(cipher));
  client.read();
}

// A session after its handshake and one request; its client is gone.
std::unique_ptr<Session> idle_session(uint16_t version,
                                      const std::shared_ptr<ServerContext>& context,
                                      io::BufferPool& input, io::BufferPool& output) {
  io::SliceQueue plain, cipher;
  Client client({.alpn = {"http/1.1"}, .version_min = version, .version_max = version});
  std::unique_ptr<Session> session = Session::accept(context, output);
  for (int flight = 0; flight < 3; ++flight) {
    client.handshake();
    const std::string bytes = client.take_output();
    if (!bytes.empty()) session->receive(test::slice_of(input, bytes), plain, cipher);
    client.feed(test::take_all(cipher));
  }
  EXPECT_EQ(session->state(), SessionState::kOpen);
  answer_one_request(client, *session, input, plain, cipher);
  EXPECT_EQ(input.in_use() + output.in_use(), 0u);
  return session;
}

// Two measures: the counted allocations, and all of malloc (BoringSSL's record buffers come from it
// directly). The second is 0 under a sanitizer, which brings its own malloc.
TEST(MemoryTest, AnIdleSessionIsSmall) {
  const auto context = ServerContext::make(
      {}, {{"a.example.com", test::make_certificate(KeyKind::kP256, {"a.example.com"})}},
      Certificate::self_signed());
  constexpr int kSessions = 100;
  io::BufferPool input({16384, 8, 8});
  io::BufferPool output({4096, 64, 64});
  for (uint16_t version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    std::vector<std::unique_ptr<Session>> sessions(kSessions);
    idle_session(version, context, input,
                 output);  // What is made once, such as method tables and spare slice nodes.
    const int64_t counted_before = cxx.live_bytes + boringssl.live_bytes;
    const auto malloc_before = static_cast<int64_t>(mallinfo2().uordblks);
    for (auto& session : sessions) session = idle_session(version, context, input, output);
    const int64_t counted = (cxx.live_bytes + boringssl.live_bytes - counted_before) / kSessions;
    const int64_t all = (static_cast<int64_t>(mallinfo2().uordblks) - malloc_before) / kSessions;
    std::printf("idle session, %s: %ld bytes counted, %ld of malloc\n",
                version == TLS1_2_VERSION ? "TLS 1.2" : "TLS 1.3", static_cast<long>(counted),
                static_cast<long>(all));
    EXPECT_GT(counted, 0);
    EXPECT_LE(counted, kIdleBytesMax);
    EXPECT_LE(all, kIdleBytesMax);
  }
}

TEST(MemoryTest, BytesFlowWithoutAllocationsOfOurs) {
  const auto context =
      ServerContext::make({}, {}, test::make_certificate(KeyKind::kP256, {"a.example.com"}));
  test::Server server(context);
  Client client({});
  ASSERT_TRUE(connect(client, server));
  io::BufferPool bodies({4096, 16, 16});
  const std::string text(4096, 'x');
  uint64_t ours = 0;
  constexpr int kRounds = 100;
  for (int round = -10; round < kRounds; ++round) {        // The first rounds fill the free lists.
    client.write(std::string_view(text).substr(0, 4000));  // Its record fits a buffer.
    io::Slice in = test::slice_of(server.input, client.take_output());
    io::SliceQueue body;
    for (int i = 0; i < 6; ++i) body.push(test::slice_of(bodies, text));
    const uint64_t ours_before = cxx.allocations;
    server.session->receive(std::move(in), server.plain, server.cipher_out);
    server.plain.clear();
    ASSERT_TRUE(server.session->send(body, server.cipher_out));
    server.cipher_out.clear();
    if (round >= 0) {
      ours += cxx.allocations - ours_before;
    }
    ASSERT_EQ(server.session->state(), SessionState::kOpen);
  }
  EXPECT_EQ(ours, 0u);
}

}  // namespace
}  // namespace ringway::tls
