// A request in the steady state allocates nothing: parse, forward, answer, on both codecs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/forwarding.h"
#include "dataplane/http/hop_by_hop.h"

namespace {
uint64_t allocations = 0;
}  // namespace

// Not inlined: g++ would see free() of what new gave.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace ringway::http::testing {
namespace {

// What stands between the codecs in the proxy, without routing.
class Relay final : public ServerSink, public ClientSink {
 public:
  RequestHead* new_request_head(StreamId) override { return &request_; }
  void on_request_head(StreamId, RequestHead& head, bool end) override {
    remove_hop_by_hop(head);
    const Forwarding forwarding{.peer = "10.0.0.7",
                                .scheme = "http",
                                .host = head.authority,
                                .port = "80",
                                .request_id = "id"};
    CHECK(set_forwarding_fields(head, forwarding, pool_));
    upstream_.open();
    upstream_.send_head(0, head, end);
  }
  void on_request_body(StreamId, io::Slice data, bool end) override {
    upstream_.send_body(0, std::move(data), end);
  }
  void on_request_trailers(StreamId, const HeaderList& trailers) override {
    upstream_.send_trailers(0, trailers);
  }
  void on_request_error(StreamId, Error) override { ++errors_; }
  void on_writable(StreamId) override {}

  ResponseHead* new_response_head(StreamId) override { return &response_; }
  void on_interim_response(StreamId, ResponseHead&) override {}
  void on_response_head(StreamId, ResponseHead& head, bool end) override {
    remove_hop_by_hop(head);
    downstream_.send_head(0, head, end, false);
  }
  void on_response_body(StreamId, io::Slice data, bool end) override {
    downstream_.send_body(0, std::move(data), end);
    if (end) downstream_.finish(0);
  }
  void on_response_trailers(StreamId, const HeaderList& trailers) override {
    downstream_.send_trailers(0, trailers);
    downstream_.finish(0);
  }
  void on_response_error(StreamId, Error) override { ++errors_; }

  void serve(std::string_view request, std::string_view response) {
    downstream_.feed(slice_of(receive_pool_, request));
    CHECK(to_upstream_.size() > 0);
    to_upstream_.clear();
    upstream_.feed(slice_of(receive_pool_, response));
    CHECK(to_client_.size() > 0);
    to_client_.clear();
    request_.reset();
    response_.reset();
    CHECK(errors_ == 0 && downstream_.idle() && upstream_.reusable());
    CHECK(pool_.in_use() == 0 && receive_pool_.in_use() == 0);
  }

 private:
  io::BufferPool pool_{{.buffer_bytes = 4096, .buffers = 8, .buffers_max = 8}};
  io::BufferPool receive_pool_{{.buffer_bytes = 4096, .buffers = 8, .buffers_max = 8}};
  io::SliceQueue to_client_, to_upstream_;
  Limits limits_;
  RequestHead request_;
  ResponseHead response_;
  uint32_t errors_ = 0;
  H1ServerCodec downstream_{*this, to_client_, pool_, limits_};
  H1ClientCodec upstream_{*this, to_upstream_, pool_, limits_};
};

TEST(Allocations, NoneForARequestInTheSteadyState) {
  struct {
    std::string_view request, response;
  } const kCases[] = {
      {"GET /a/b?c HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nX-Forwarded-For: 1.1.1.1\r\nConnection: "
       "keep-alive\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi"},
      {"POST /a/../%62 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
      {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: "
       "y\r\n\r\n",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGrpc-Status: 0\r\n\r\n"},
  };
  Relay relay;
  for (const auto& c : kCases) relay.serve(c.request, c.response);
  const uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) {
    for (const auto& c : kCases) relay.serve(c.request, c.response);
  }
  EXPECT_EQ(allocations - before, 0u);
}

}  // namespace
}  // namespace ringway::http::testing
