#include "tests/bench/response_reader.h"

#include <gtest/gtest.h>

namespace ringway::bench {
namespace {

struct Case {
  std::string_view text;
  bool valid;
  bool complete;
  int status;
  uint64_t body_bytes;
  bool wants_close;
};

constexpr Case kCases[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", true, true, 200, 3, false},
    {"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nConnection: close\r\n\r\nab", true, false, 200, 2, true},
    {"HTTP/1.1 204 No Content\r\n\r\n", true, true, 204, 0, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n", true, true, 200, 3, false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", true, true, 503, 0, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", false, true, 200, 1, false},
    {"HTTP/1.1 200 OK\r\n\r\n", false, false, 200, 0, false},
    {"SSH-2.0-OpenSSH_9.2p1 x\r\n\r\n", false, false, 0, 0, false},
};

TEST(ResponseReader, ReadsWholeAndByteByByte) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.text);
    for (const size_t step : {c.text.size(), size_t{1}}) {
      ResponseReader reader;
      bool valid = true;
      for (size_t at = 0; at < c.text.size() && valid; at += step) valid = reader.feed(c.text.substr(at, step));
      EXPECT_EQ(valid, c.valid);
      EXPECT_EQ(reader.complete(), c.complete);
      EXPECT_EQ(reader.status(), c.status);
      EXPECT_EQ(reader.body_bytes(), c.body_bytes);
      EXPECT_EQ(reader.wants_close(), c.wants_close);
    }
  }
}

}  // namespace
}  // namespace ringway::bench
