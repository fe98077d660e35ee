#include "dataplane/proxy/grpc_web.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringway::proxy {
namespace {

struct Buffers {
  io::BufferPool pool{{.buffer_bytes = 64, .buffers = 4, .buffers_max = 65536}};
  io::SliceQueue queue;
  std::string take() {
    std::string out;
    while (!queue.empty()) out += queue.pop().view();
    return out;
  }
};

http::RequestHead request(std::string_view type, std::string_view accept = "") {
  http::RequestHead head;
  head.method = http::Method::kPost;
  head.headers.add(http::HeaderName::kContentType, type);
  if (!accept.empty()) head.headers.add(http::HeaderName::kAccept, accept);
  head.headers.add(http::HeaderName::kContentLength, "8");
  head.body = {http::BodyKind::kKnown, 8};
  return head;
}

std::string type_of(const http::HeaderList& headers) {
  const http::Header* type = headers.find(http::HeaderName::kContentType);
  return type == nullptr ? "" : std::string(type->value());
}

http::ResponseHead response(std::string_view type) {
  http::ResponseHead head;
  head.status = 200;
  head.headers.add(http::HeaderName::kContentType, type);
  head.body = {http::BodyKind::kKnown, 5};
  return head;
}

TEST(GrpcWeb, TypesBothWays) {
  struct Case {
    const char *type, *accept, *up, *down, *back;
    bool text_up, text_down;
  };
  const Case cases[] = {
      {"application/grpc-web", "", "application/grpc", "application/grpc", "application/grpc-web",
       false, false},
      {"application/grpc-web+proto", "", "application/grpc+proto", "application/grpc+proto",
       "application/grpc-web+proto", false, false},
      {"Application/gRPC-Web-Text+proto", "", "application/grpc+proto", "application/grpc",
       "application/grpc-web-text", true, true},
      {"application/grpc-web+proto", "application/grpc-web-text", "application/grpc+proto",
       "application/grpc+proto", "application/grpc-web-text+proto", false, true},
      {"application/grpc-web-text", "*/*", "application/grpc", "application/grpc; x=1",
       "application/grpc-web-text; x=1", true, true},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.type);
    GrpcWeb web;
    http::RequestHead head = request(c.type, c.accept);
    ASSERT_TRUE(web.begin(head));
    EXPECT_EQ(type_of(head.headers), c.up);
    EXPECT_FALSE(head.headers.has(http::HeaderName::kAccept));
    EXPECT_EQ(head.body.kind == http::BodyKind::kChunked, c.text_up);
    EXPECT_EQ(head.headers.has(http::HeaderName::kContentLength), !c.text_up);
    EXPECT_EQ(web.decodes(), c.text_up);
    EXPECT_EQ(web.encodes(), c.text_down);
    http::ResponseHead answer = response(c.down);
    web.translate(answer, false);
    EXPECT_EQ(type_of(answer.headers), c.back);
    EXPECT_EQ(answer.body.kind, http::BodyKind::kChunked);
  }
}

TEST(GrpcWeb, WhatIsNoneStaysAsItIs) {
  for (const char* type :
       {"application/grpc", "application/grpc-webx", "application/grpc-web-texts", "text/plain", "",
        "application/grpc-web+0123456789012345678901234567890123456789"}) {
    GrpcWeb web;
    http::RequestHead head = request(type);
    EXPECT_FALSE(web.begin(head)) << type;
    EXPECT_EQ(type_of(head.headers), type);
    EXPECT_FALSE(web.active() || web.decodes() || web.encodes());
  }
  GrpcWeb web;
  http::RequestHead get = request("application/grpc-web");
  get.method = http::Method::kOptions;  // A CORS preflight.
  EXPECT_FALSE(web.begin(get));
}

// An endpoint's type may be of any length: what does not fit is left out.
TEST(GrpcWeb, ATypeOfAnyLengthIsTranslated) {
  for (size_t length = 1; length < 100; ++length) {
    const std::string suffix = "+" + std::string(length - 1, 'x');
    GrpcWeb web;
    http::RequestHead head = request("application/grpc-web-text");
    ASSERT_TRUE(web.begin(head));
    const std::string type = "application/grpc" + suffix;
    http::ResponseHead answer = response(type);
    web.translate(answer, false);
    EXPECT_EQ(type_of(answer.headers), "application/grpc-web-text" + (length < 40 ? suffix : ""));
  }
}

TEST(GrpcWeb, AnAnswerThatIsNotGrpcPasses) {
  GrpcWeb web;
  http::RequestHead head = request("application/grpc-web-text");
  ASSERT_TRUE(web.begin(head));
  http::ResponseHead page = response("text/html");
  web.translate(page, false);
  EXPECT_EQ(type_of(page.headers), "text/html");
  EXPECT_EQ(page.body.kind, http::BodyKind::kKnown);
  EXPECT_FALSE(web.active() || web.encodes());
  EXPECT_TRUE(web.decodes());  // Its request may still be coming.
}

// Every length, through every cut, padded anywhere.
TEST(GrpcWeb, Base64ThereAndBack) {
  Buffers buffers;
  std::string bytes;
  for (int length = 0; length < 300; ++length) {
    GrpcWeb::encode(bytes, buffers.queue, buffers.pool);
    const std::string text = buffers.take();
    EXPECT_EQ(text.size(), (bytes.size() + 2) / 3 * 4);
    for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}}) {
      GrpcWeb web;
      for (size_t at = 0; at < text.size(); at += step) {
        ASSERT_TRUE(web.decode(std::string_view(text).substr(at, step), at + step >= text.size(),
                               buffers.queue, buffers.pool));
      }
      EXPECT_EQ(buffers.take(), bytes);
    }
    bytes += static_cast<char>(length * 37);
  }
  GrpcWeb web;
  ASSERT_TRUE(web.decode("Zg==Zm8=Zm9vZg==", true, buffers.queue, buffers.pool));
  EXPECT_EQ(buffers.take(), "ffofoof");
  const std::string large(100'000, '\xA5');
  GrpcWeb::encode(large, buffers.queue, buffers.pool);
  const std::string text = buffers.take();
  ASSERT_TRUE(web.decode(text, true, buffers.queue, buffers.pool));
  EXPECT_EQ(buffers.take(), large);
  EXPECT_EQ(buffers.pool.in_use(), 0u);
}

TEST(GrpcWeb, MalformedBase64IsRefused) {
  for (const char* text : {"=", "A=", "A===", "AA=A", "AA=A==", "====", "AAA==", "AAAA=", "AA A",
                           "AAA\n", "AA-_", "A", "AA", "AAA", "AA=", "Zm9vA", "\x80" "AAA"}) {
    Buffers buffers;
    GrpcWeb web;
    EXPECT_FALSE(web.decode(text, true, buffers.queue, buffers.pool)) << text;
    GrpcWeb bytewise;
    bool good = true;
    for (const char* c = text; *c != '\0'; ++c)
      good = good && bytewise.decode({c, 1}, c[1] == '\0', buffers.queue, buffers.pool);
    EXPECT_FALSE(good) << text;
  }
}

TEST(GrpcWeb, TrailersAreAFrame) {
  http::HeaderList trailers;
  trailers.add(http::HeaderName::kGrpcStatus, "Grpc-Status", "5");
  trailers.add(http::HeaderName::kOther, "grpc-message", "no such");
  const std::string_view frame = GrpcWeb::trailers_frame(trailers);
  const std::string text = "grpc-status: 5\r\ngrpc-message: no such\r\n";
  EXPECT_EQ(frame.substr(0, 5), (std::string{'\x80', 0, 0, 0, static_cast<char>(text.size())}));
  EXPECT_EQ(frame.substr(5), text);
  trailers.clear();
  EXPECT_EQ(GrpcWeb::trailers_frame(trailers), (std::string{'\x80', 0, 0, 0, 0}));
}

}  // namespace
}  // namespace ringway::proxy
