// Field blocks of HTTP/2: what is refused (rows 29, 30, 31 and 34 of the table of attacks), what
// becomes of the rest, and what is written.
#include "dataplane/http/h2_fields.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "dataplane/http/codec_testing.h"
#include "dataplane/http/h2_memory.h"
#include "dataplane/http/stream_table.h"

namespace ringway::http {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

const Fields kGet = {
    {":method", "GET"}, {":scheme", "https"}, {":authority", "a.test"}, {":path", "/"}};

Fields with(Fields fields, const Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}
Fields replaced(Fields fields, std::string_view name, const std::string& value) {
  for (auto& field : fields) {
    if (field.first == name) field.second = value;
  }
  return fields;
}
Fields without(Fields fields, std::string_view name) {
  std::erase_if(fields, [name](const auto& field) { return field.first == name; });
  return fields;
}

struct Bench {
  io::BufferPool pool{{.buffer_bytes = 4096, .buffers = 4, .buffers_max = 64}};
  Limits limits;
  Random random{7};
  H2FieldReader reader;
  RequestHead head;
  bool far_over = false;

  H2Refusal request(const Fields& fields, bool end = true) {
    reader.begin(H2FieldReader::Kind::kRequest, limits, pool);
    for (const auto& [name, value] : fields) {
      if (!reader.add(name, value)) {
        far_over = true;
        reader.drop();
        return {Error::kHeadersTooLarge, false};
      }
    }
    return reader.finish_request(head, end, random);
  }
};

std::string value_of(const HeaderList& headers, std::string_view name) {
  const Header* header = headers.find(name);
  return header == nullptr ? "(none)" : std::string(header->value());
}

TEST(H2Fields, ARequestIsReadIntoTheMessageModel) {
  Bench bench;
  const H2Refusal refusal = bench.request(
      with({{":method", "POST"},
            {":scheme", "https"},
            {":authority", "a.test:8443"},
            {":path", "/a/../b%41?q=1"}},
           {{"user-agent", "x"}, {"content-length", "5"}, {"x-mine", "  y"}, {"te", "trailers"}}),
      false);
  EXPECT_EQ(refusal.error, Error::kBadHeader);  // "  y": leading space.
  ASSERT_FALSE(bench.request(
      with({{":method", "POST"},
            {":scheme", "https"},
            {":authority", "a.test:8443"},
            {":path", "/a/../b%41?q=1"}},
           {{"user-agent", "x"}, {"content-length", "5"}, {"x-mine", "y z"}, {"te", "trailers"}}),
      false));
  const RequestHead& head = bench.head;
  EXPECT_EQ(head.version, Version::k2);
  EXPECT_EQ(head.method, Method::kPost);
  EXPECT_EQ(head.authority, "a.test:8443");
  EXPECT_EQ(head.target, "/a/../b%41?q=1");
  EXPECT_EQ(head.path, "/bA");
  EXPECT_EQ(head.query, "?q=1");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_EQ(head.body.kind, BodyKind::kKnown);
  EXPECT_EQ(head.body.bytes, 5u);
  EXPECT_EQ(value_of(head.headers, "X-Mine"), "y z");
  EXPECT_EQ(value_of(head.headers, "user-agent"), "x");
  EXPECT_EQ(head.headers.size(), 4u);
}

struct Refused {
  const char* name;
  Fields fields;
  bool end = true;
};

// Rows 29, 30, 31: each is malformed, a stream error, and never forwarded.
TEST(H2Fields, WhatIsMalformedIsNeverForwarded) {
  const std::string nul("a\0b", 3);
  const Refused cases[] = {
      // 29: framing
      {"transfer-encoding", with(kGet, {{"transfer-encoding", "chunked"}})},
      {"connection", with(kGet, {{"connection", "keep-alive"}})},
      {"keep-alive", with(kGet, {{"keep-alive", "timeout=5"}})},
      {"proxy-connection", with(kGet, {{"proxy-connection", "x"}})},
      {"upgrade", with(kGet, {{"upgrade", "websocket"}})},
      {"te gzip", with(kGet, {{"te", "gzip"}})},
      {"te list", with(kGet, {{"te", "trailers, deflate"}})},
      {"length with END_STREAM", with(kGet, {{"content-length", "30"}})},
      {"two lengths", with(kGet, {{"content-length", "5"}, {"content-length", "5"}}), false},
      {"length list", with(kGet, {{"content-length", "5, 5"}}), false},
      {"length sign", with(kGet, {{"content-length", "+5"}}), false},
      {"length empty", with(kGet, {{"content-length", ""}}), false},
      // 30: injection
      {"CR in value", with(kGet, {{"x", "a\rb"}})},
      {"LF in value", with(kGet, {{"x", "a\nb"}})},
      {"CRLF in value", with(kGet, {{"x", "a\r\ntransfer-encoding: chunked"}})},
      {"NUL in value", with(kGet, {{"x", nul}})},
      {"space before value", with(kGet, {{"x", " a"}})},
      {"tab behind value", with(kGet, {{"x", "a\t"}})},
      {"upper case name", with(kGet, {{"X-Y", "a"}})},
      {"colon in name", with(kGet, {{"x:y", "a"}})},
      {"space in name", with(kGet, {{"x y", "a"}})},
      {"CRLF in name", with(kGet, {{"x\r\ny", "a"}})},
      {"NUL in name", with(kGet, {{nul, "a"}})},
      {"empty name", with(kGet, {{"", "a"}})},
      {"space in method", replaced(kGet, ":method", "GET / HTTP/1.1")},
      {"CRLF in method", replaced(kGet, ":method", "GET\r\nx: y")},
      {"empty method", replaced(kGet, ":method", "")},
      {"space in path", replaced(kGet, ":path", "/ HTTP/1.1")},
      {"CRLF in path", replaced(kGet, ":path", "/\r\nx: y")},
      {"empty path", replaced(kGet, ":path", "")},
      {"absolute path", replaced(kGet, ":path", "http://b.test/")},
      {"path of no slash", replaced(kGet, ":path", "x")},
      {"asterisk of GET", replaced(kGet, ":path", "*")},
      {"CRLF in authority", replaced(kGet, ":authority", "a\r\nx: y")},
      {"space in authority", replaced(kGet, ":authority", "a b")},
      // 31: pseudo-headers
      {"two methods", with({{":method", "GET"}}, kGet)},
      {"two paths", with({{":path", "/"}}, kGet)},
      {"two authorities", with({{":authority", "a.test"}}, kGet)},
      {"pseudo behind a field",
       with({{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"x", "y"}},
            {{":authority", "a"}})},
      {"no method", without(kGet, ":method")},
      {"no scheme", without(kGet, ":scheme")},
      {"no path", without(kGet, ":path")},
      {"unknown pseudo", with({{":x", "y"}}, kGet)},
      {"response pseudo", with({{":status", "200"}}, kGet)},
      {"protocol without CONNECT", with({{":protocol", "websocket"}}, kGet)},
      {"host is another", with(kGet, {{"host", "b.test"}})},
      {"two hosts", with(without(kGet, ":authority"), {{"host", "a"}, {"host", "a"}})},
      {"comma in authority", replaced(kGet, ":authority", "a.test,b.test")},
      {"userinfo in authority", replaced(kGet, ":authority", "u@a.test")},
      {"empty authority", replaced(kGet, ":authority", "")},
      {"bad host", with(without(kGet, ":authority"), {{"host", "a/b"}})},
      {"CONNECT with a path",
       with({{":method", "CONNECT"}, {":authority", "a:1"}}, {{":path", "/"}})},
      {"CONNECT without authority", {{":method", "CONNECT"}}},
  };
  for (const Refused& c : cases) {
    SCOPED_TRACE(c.name);
    Bench bench;
    const H2Refusal refusal = bench.request(c.fields, c.end);
    EXPECT_TRUE(refusal) << "accepted";
    EXPECT_TRUE(refusal.malformed) << error_name(refusal.error);
    EXPECT_EQ(bench.head.headers.size(), 0u);
    EXPECT_EQ(bench.pool.in_use(), 0u);
  }
}

TEST(H2Fields, WhatIsWellFormedButNotServedIsAnswered) {
  struct Case {
    const char* name;
    Fields fields;
    uint16_t status;
  };
  const Case cases[] = {
      {"bad escape", replaced(kGet, ":path", "/%zz"), 400},
      {"NUL escape", replaced(kGet, ":path", "/%00"), 400},
      {"no host at all", without(kGet, ":authority"), 400},
      {"CONNECT", {{":method", "CONNECT"}, {":authority", "a.test:443"}}, 405},
      {"TRACE", replaced(kGet, ":method", "TRACE"), 405},
      {"scheme", replaced(kGet, ":scheme", "ftp"), 400},
      {"long path", replaced(kGet, ":path", "/" + std::string(9000, 'a')), 414},
      {"expectation", with(kGet, {{"expect", "x"}}), 417},
      {"long field", with(kGet, {{"x", std::string(17000, 'a')}}), 431},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Bench bench;
    const H2Refusal refusal = bench.request(c.fields);
    EXPECT_TRUE(refusal);
    EXPECT_FALSE(refusal.malformed);
    EXPECT_EQ(status_of(refusal.error), c.status) << error_name(refusal.error);
  }
}

// Row 34: both limits, crumbs included, and an end to the decoding far beyond them.
TEST(H2Fields, ManyFieldsOfFewBytesAreCounted) {
  Bench bench;
  Fields fields = kGet;
  for (int i = 0; i < 100; ++i) fields.push_back({"cookie", "a"});
  EXPECT_FALSE(bench.request(fields));
  fields.push_back({"cookie", "a"});
  EXPECT_EQ(bench.request(fields).error, Error::kHeadersTooLarge);
  EXPECT_FALSE(bench.far_over);
  for (int i = 0; i < 800; ++i) fields.push_back({"cookie", ""});
  EXPECT_EQ(bench.request(fields).error, Error::kHeadersTooLarge);
  EXPECT_TRUE(bench.far_over);
  EXPECT_EQ(bench.pool.in_use(), 0u);
}

TEST(H2Fields, DecodedBytesAreCountedWithTheirOverhead) {
  Bench bench;
  bench.limits.headers_bytes_max = 1000;
  Fields fields = kGet;
  const auto field = [](size_t i) {
    return std::pair<std::string, std::string>{"x", std::string(i, 'v')};
  };
  size_t base = 0;
  for (const auto& [name, value] : fields) base += name.size() + value.size() + 32;
  fields.push_back(field(1000 - base - 33));
  EXPECT_FALSE(bench.request(fields));
  fields.back().second += "v";
  EXPECT_EQ(bench.request(fields).error, Error::kHeadersTooLarge);
}

TEST(H2Fields, CookieCrumbsAreOneFieldAgain) {
  Bench bench;
  ASSERT_FALSE(bench.request(
      with(kGet,
           {{"cookie", "a=b"}, {"x", "y"}, {"cookie", "c=d"}, {"cookie", ""}, {"cookie", "e=f"}})));
  EXPECT_EQ(value_of(bench.head.headers, "cookie"), "a=b; c=d; ; e=f");
  EXPECT_EQ(bench.head.headers.size(), 2u);
  // Enough to outgrow the first block while they are joined.
  Fields fields = kGet;
  std::string all;
  for (int i = 0; i < 90; ++i) {
    const std::string crumb = "c" + std::to_string(i) + "=" + std::string(200, 'v');
    fields.push_back({"cookie", crumb});
    all += (i == 0 ? "" : "; ") + crumb;
  }
  ASSERT_FALSE(bench.request(fields));
  EXPECT_EQ(value_of(bench.head.headers, "cookie"), all);
  EXPECT_EQ(bench.head.path, "/");
}

TEST(H2Fields, UnderscoresAreDroppedAndCountedOrRefused) {
  Bench bench;
  ASSERT_FALSE(bench.request(with(kGet, {{"x_y", "z"}})));
  EXPECT_EQ(bench.head.headers.size(), 0u);
  EXPECT_EQ(bench.head.underscore_fields, 1u);
  bench.limits.reject_underscores = true;
  EXPECT_EQ(bench.request(with(kGet, {{"x_y", "z"}})).error, Error::kUnderscoreHeader);
}

TEST(H2Fields, ExtendedConnectIsAnUpgrade) {
  Bench bench;
  const Fields connect = {{":method", "CONNECT"}, {":protocol", "websocket"},
                          {":scheme", "https"},   {":authority", "a.test"},
                          {":path", "/chat"},     {"sec-websocket-version", "13"}};
  ASSERT_FALSE(bench.request(connect, false));
  EXPECT_TRUE(bench.head.upgrade);
  EXPECT_EQ(bench.head.upgrade_protocol, "websocket");
  EXPECT_EQ(bench.head.method_text, "GET");
  EXPECT_EQ(bench.head.body.kind, BodyKind::kNone);
  EXPECT_EQ(value_of(bench.head.headers, "sec-websocket-key").size(), 24u);
  EXPECT_EQ(bench.request(replaced(connect, ":protocol", "x"), false).error, Error::kBadUpgrade);
  EXPECT_TRUE(bench.request(with(connect, {{"content-length", "0"}}), false).malformed);

  H2FieldWriter writer;
  ASSERT_FALSE(bench.request(connect, false));
  writer.request(bench.head, "https", std::nullopt);
  std::string text;
  for (size_t i = 0; i < writer.size(); ++i) {
    const nghttp2_nv& nv = writer.data()[i];
    text.append(reinterpret_cast<const char*>(nv.name), nv.namelen)
        .append("=")
        .append(reinterpret_cast<const char*>(nv.value), nv.valuelen)
        .append("|");
  }
  EXPECT_EQ(text,
            ":method=CONNECT|:protocol=websocket|:scheme=https|:authority=a.test|:path=/"
            "chat|sec-websocket-version=13|");
}

// What the writer says, through HPACK and back.
TEST(H2Fields, AResponseGoesThroughHpack) {
  HeaderList headers;
  headers.add(HeaderName::kContentType, "Content-Type", "text/plain");
  headers.add(HeaderName::kConnection, "Connection", "close");
  headers.add(HeaderName::kTransferEncoding, "Transfer-Encoding", "chunked");
  headers.add(HeaderName::kContentLength, "Content-Length", "7");
  headers.add(HeaderName::kOther, "X-Upper-Case", "Value");
  H2FieldWriter writer;
  writer.response(204, headers, 42);
  nghttp2_hd_deflater* deflater = nullptr;
  nghttp2_hd_inflater* inflater = nullptr;
  ASSERT_EQ(nghttp2_hd_deflate_new2(&deflater, 4096, h2_memory()), 0);
  ASSERT_EQ(nghttp2_hd_inflate_new2(&inflater, h2_memory()), 0);
  uint8_t block[1024];
  // As nghttp2_submit_response does: names are copied in lower case there; here they are by hand.
  std::vector<nghttp2_nv> list(writer.data(), writer.data() + writer.size());
  const ssize_t bytes =
      nghttp2_hd_deflate_hd(deflater, block, sizeof block, list.data(), list.size());
  ASSERT_GT(bytes, 0);
  Bench bench;
  ResponseHead head;
  bench.reader.begin(H2FieldReader::Kind::kResponse, bench.limits, bench.pool);
  size_t at = 0;
  for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
    nghttp2_nv nv;
    const ssize_t taken = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, block + at,
                                                 static_cast<size_t>(bytes) - at, 1);
    ASSERT_GE(taken, 0);
    at += static_cast<size_t>(taken);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0) continue;
    std::string name(reinterpret_cast<const char*>(nv.name), nv.namelen);
    if (name == "X-Upper-Case") name = "x-upper-case";
    ASSERT_TRUE(bench.reader.add(name, {reinterpret_cast<const char*>(nv.value), nv.valuelen}));
  }
  ASSERT_FALSE(bench.reader.finish_response(head));
  EXPECT_EQ(head.status, 204);
  EXPECT_EQ(testing::describe(head.headers), testing::describe([] {
              HeaderList expected;
              expected.add(HeaderName::kContentType, "Content-Type", "text/plain");
              expected.add(HeaderName::kOther, "x-upper-case", "Value");
              expected.add(HeaderName::kContentLength, "Content-Length", "42");
              return expected;
            }()));
  nghttp2_hd_deflate_del(deflater);
  nghttp2_hd_inflate_del(inflater);
}

TEST(H2Fields, AMalformedResponseIsRefused) {
  for (const Fields& fields :
       {Fields{}, Fields{{":status", "20"}}, Fields{{":status", "101"}}, Fields{{":status", "2x0"}},
        Fields{{":status", "200"}, {":path", "/"}},
        Fields{{":status", "200"}, {"connection", "close"}},
        Fields{{"x", "y"}, {":status", "200"}}}) {
    Bench bench;
    ResponseHead head;
    bench.reader.begin(H2FieldReader::Kind::kResponse, bench.limits, bench.pool);
    for (const auto& [name, value] : fields) bench.reader.add(name, value);
    EXPECT_TRUE(bench.reader.finish_response(head).malformed);
  }
}

TEST(H2Fields, TrailersHaveNoPseudoHeadersAndLoseForbiddenFields) {
  Bench bench;
  HeaderList trailers;
  io::Slice memory;
  bench.reader.begin(H2FieldReader::Kind::kTrailers, bench.limits, bench.pool);
  bench.reader.add("grpc-status", "0");
  bench.reader.add("content-length", "5");
  ASSERT_FALSE(bench.reader.finish_trailers(trailers, memory));
  EXPECT_EQ(trailers.size(), 1u);
  EXPECT_EQ(value_of(trailers, "grpc-status"), "0");
  bench.reader.begin(H2FieldReader::Kind::kTrailers, bench.limits, bench.pool);
  bench.reader.add(":path", "/");
  EXPECT_TRUE(bench.reader.finish_trailers(trailers, memory).malformed);
}

TEST(H2Memory, GivesBackWhatItTookAndReusesIt) {
  nghttp2_mem* memory = h2_memory();
  const H2MemoryStats before = h2_memory_stats();
  for (const size_t bytes : {1u, 32u, 33u, 100u, 4096u, 18000u, 49152u, 49153u, 200000u}) {
    auto* block = static_cast<unsigned char*>(memory->malloc(bytes, nullptr));
    std::memset(block, 1, bytes);
    block = static_cast<unsigned char*>(memory->realloc(block, bytes * 3, nullptr));
    EXPECT_EQ(block[bytes - 1], 1);
    memory->free(block, nullptr);
    block = static_cast<unsigned char*>(memory->calloc(bytes, 1, nullptr));
    EXPECT_EQ(block[0] | block[bytes - 1], 0);
    memory->free(block, nullptr);
  }
  EXPECT_EQ(h2_memory_stats().in_use_bytes, before.in_use_bytes);
  const uint64_t from_malloc = h2_memory_stats().from_malloc;
  for (int i = 0; i < 100; ++i) memory->free(memory->malloc(333, nullptr), nullptr);
  EXPECT_LE(h2_memory_stats().from_malloc, from_malloc + 1);
  memory->free(nullptr, nullptr);
}

TEST(StreamTable, AgainstAMap) {
  Random random(3);
  StreamTable<int> table;
  std::map<uint32_t, int*> model;
  int value = 0;
  for (int i = 0; i < 20000; ++i) {
    const uint32_t stream = random.below(300) * 2 + 1;
    if (random.chance(50) && model.size() < 128) {
      if (model.emplace(stream, &value).second) table.insert(stream, &value);
    } else {
      EXPECT_EQ(table.remove(stream) != nullptr, model.erase(stream) != 0);
    }
    const uint32_t asked = random.below(300) * 2 + 1;
    ASSERT_EQ(table.find(asked) != nullptr, model.contains(asked));
    ASSERT_EQ(table.size(), model.size());
  }
}

}  // namespace
}  // namespace ringway::http
