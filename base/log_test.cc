#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace ringway {
namespace {

class LogTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK), 0); }
  void TearDown() override {
    setup_log({});
    close(pipe_[0]);
    close(pipe_[1]);
  }
  void setup(LogFormat format, LogLevel level = LogLevel::kInfo) {
    setup_log({.level = level, .format = format, .program = "test", .fd = pipe_[1]});
  }
  std::string read_all() {
    std::string text;
    char piece[8192];
    for (ssize_t n; (n = read(pipe_[0], piece, sizeof piece)) > 0;) text.append(piece, static_cast<size_t>(n));
    return text;
  }
  int pipe_[2];
};

TEST_F(LogTest, TextLineIsOneLineWhateverTheMessage) {
  setup(LogFormat::kText);
  log_info("peer {} said {}", "10.0.0.1", "a\r\nb\x1b[31m\x7f");
  const std::string text = read_all();
  EXPECT_TRUE(text.ends_with(" test info: peer 10.0.0.1 said a\\x0d\\x0ab\\x1b[31m\\x7f\n")) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST_F(LogTest, JsonLineParses) {
  setup(LogFormat::kJson);
  spdlog::warn("quote \" backslash \\ newline \n \xc3\xa9 broken \xff grin \xf0\x9f\x98\x80");
  const std::string text = read_all();
  const auto line = nlohmann::json::parse(text);
  EXPECT_EQ(line["level"], "warn");
  EXPECT_EQ(line["program"], "test");
  EXPECT_EQ(line["message"], "quote \" backslash \\ newline \n \xc3\xa9 broken \xef\xbf\xbd grin \xf0\x9f\x98\x80");
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f));
}

TEST_F(LogTest, LongLinesAreCutToOnePipeWrite) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    setup(format);
    log_error("{}", std::string(100'000, '\x01'));
    const std::string text = read_all();
    EXPECT_LE(text.size(), 4096u);
    EXPECT_EQ(text.back(), '\n');
  }
}

TEST_F(LogTest, LevelDecides) {
  setup(LogFormat::kText, LogLevel::kWarning);
  log_info("no");
  log_warning("yes");
  EXPECT_TRUE(log_enabled(LogLevel::kError));
  EXPECT_FALSE(log_enabled(LogLevel::kDebug));
  const std::string text = read_all();
  EXPECT_EQ(text.find("no"), std::string::npos);
  EXPECT_NE(text.find("yes"), std::string::npos);
}

TEST_F(LogTest, FullPipeDropsAndNeverBlocks) {
  setup(LogFormat::kText);
  fcntl(pipe_[1], F_SETFL, 0);  // A blocking pipe: only the check before the write saves the caller.
  const uint64_t before = log_lines_dropped();
  for (int i = 0; i < 100; ++i) log_info("{}", std::string(3000, 'x'));
  EXPECT_GT(log_lines_dropped(), before);
  const std::string text = read_all();
  EXPECT_EQ(text.back(), '\n');
}

TEST_F(LogTest, LimiterLetsABurstThroughAndSaysHowManyWereNotShown) {
  setup(LogFormat::kText);
  LogLimiter limiter(2, 1000);
  for (int i = 0; i < 10; ++i) log_limited(limiter, 5000, LogLevel::kInfo, "refused {}", i);
  log_limited(limiter, 6000, LogLevel::kInfo, "refused {}", 10);
  const std::string text = read_all();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_NE(text.find("refused 10 (8 like it not shown)"), std::string::npos) << text;
}

TEST(LogOptionsTest, Words) {
  EXPECT_EQ(parse_log_level("warn"), LogLevel::kWarning);
  EXPECT_EQ(parse_log_level("loud"), std::nullopt);
  EXPECT_EQ(parse_log_format("json"), LogFormat::kJson);
  EXPECT_EQ(parse_log_format("xml"), std::nullopt);
}

}  // namespace
}  // namespace ringway
