// A call of gRPC-Web allocates nothing of its own in the steady state, nor does counting a call by
// its method. What the codecs do is in dataplane/http/allocation_test.cc.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "dataplane/observe/grpc_method_stats.h"
#include "dataplane/proxy/grpc_web.h"

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

namespace ringway::proxy {
namespace {

class WebCall {
 public:
  void run(std::string_view type, std::string_view accept, std::string_view body,
           std::string_view message) {
    request_.method = http::Method::kPost;
    request_.headers.add(http::HeaderName::kContentType, type);
    request_.headers.add(http::HeaderName::kAccept, accept);
    request_.body = {http::BodyKind::kKnown, body.size()};
    CHECK(web_.begin(request_));
    if (web_.decodes()) CHECK(web_.decode(body, true, to_upstream_, pool_));
    response_.status = 200;
    response_.headers.add(http::HeaderName::kContentType, "application/grpc+proto");
    web_.translate(response_, false);
    trailers_.add(http::HeaderName::kGrpcStatus, "0");
    trailers_.add(http::HeaderName::kOther, "grpc-message", "all is well");
    const std::string_view frame = GrpcWeb::trailers_frame(trailers_);
    for (const std::string_view part : {message, frame}) {
      web_.encodes() ? GrpcWeb::encode(part, to_client_, pool_)
                     : to_client_.append_copy(pool_, part);
    }
    CHECK(to_client_.size() > message.size());
    to_client_.clear();
    to_upstream_.clear();
    trailers_.clear();
    request_.reset();
    response_.reset();
    web_.reset();
    CHECK(pool_.in_use() == 0);
  }

 private:
  io::BufferPool pool_{{.buffer_bytes = 4096, .buffers = 16, .buffers_max = 16}};
  io::SliceQueue to_client_, to_upstream_;
  http::RequestHead request_;
  http::ResponseHead response_;
  http::HeaderList trailers_;
  GrpcWeb web_;
};

TEST(Allocations, NoneForACallOfGrpcWebInTheSteadyState) {
  const std::string body(4000, 'A'), message(4001, '\xA5');
  WebCall call;
  const auto round = [&] {
    call.run("application/grpc-web-text+proto", "application/grpc-web-text", body, message);
    call.run("application/grpc-web+proto", "application/grpc-web", body, message);
  };
  round();
  const uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) round();
  EXPECT_EQ(allocations - before, 0u);
}

TEST(Allocations, NoneForACallThatIsCountedByItsMethod) {
  observe::GrpcMethodStats stats;
  stats.set_limit(2);
  const auto round = [&] {
    stats.record("/shop.Cart/Add", 0, true, 1'000);
    stats.record("/shop.Cart/Add", 14, false, 1'000);
    stats.record("/shop.Cart/Get", 5, true, 1'000);
    stats.record("/shop.Cart/Beyond", 0, true, 1'000);
    stats.record("/made.Up/Name", 12, true, 1'000);
    stats.record("no method", observe::kGrpcNone, false, 1'000);
  };
  round();
  const uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) round();
  EXPECT_EQ(allocations - before, 0u);
}

}  // namespace
}  // namespace ringway::proxy
