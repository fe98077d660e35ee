#include "dataplane/observe/access_log_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "dataplane/observe/ring_loop_for_test.h"

namespace ringway::observe {
namespace {

namespace fs = std::filesystem;

class AccessLogWriterTest : public RingLoopTest {
 protected:
  void SetUp() override {
    RingLoopTest::SetUp();
    char name[] = "/tmp/ringway-access-XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/access.log";
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::unique_ptr<AccessLogWriter> make(const std::string& path) {
    return std::make_unique<AccessLogWriter>(
        *loop_->ring, *loop_->wheel, std::vector<AccessLog*>{&first_, &second_},
        AccessLogWriterOptions{.path = path, .interval_ns = 10 * kNsPerMs});
  }
  static std::string read_file(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  static bool log(AccessLog& to, std::string_view target) {
    AccessRecord record;
    record.method = "GET";
    record.target = target;
    record.status = 200;
    return to.append(record);
  }
  bool stop(AccessLogWriter& writer, int ms = 1000) {
    writer.stop(loop_->ring->now_ns() + static_cast<uint64_t>(ms) * kNsPerMs);
    return loop_->run_until([&] { return writer.stopped(); });
  }

  AccessLog first_{AccessLogFormat::kCombined, 65536};
  AccessLog second_{AccessLogFormat::kCombined, 65536};
  std::string directory_, path_;
};

TEST_P(AccessLogWriterTest, WritesTheLinesOfAllWorkers) {
  auto writer = make(path_);
  ASSERT_TRUE(writer->start().has_value());
  log(first_, "/a");
  log(second_, "/b");
  EXPECT_TRUE(loop_->run_until([&] {
    const std::string text = read_file(path_);
    return text.find("/a") != std::string::npos && text.find("/b") != std::string::npos;
  }));
  log(first_, "/last");
  EXPECT_TRUE(stop(*writer));
  EXPECT_NE(read_file(path_).find("/last"), std::string::npos);  // stop() leaves nothing behind.
  EXPECT_EQ(writer->stats().bytes_written, fs::file_size(path_));
  EXPECT_EQ(writer->stats().lines_dropped, 0u);
  struct stat status{};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0007, 0u);
}

TEST_P(AccessLogWriterTest, ReopenFollowsARotation) {
  auto writer = make(path_);
  ASSERT_TRUE(writer->start().has_value());
  log(first_, "/old");
  ASSERT_TRUE(loop_->run_until([&] { return read_file(path_).find("/old") != std::string::npos; }));
  fs::rename(path_, path_ + ".1");
  log(first_, "/between");
  ASSERT_TRUE(loop_->run_until(
      [&] { return read_file(path_ + ".1").find("/between") != std::string::npos; }));
  writer->reopen();
  writer->reopen();  // Twice in one turn is no harm.
  loop_->turn();
  log(first_, "/new");
  ASSERT_TRUE(loop_->run_until(
      [&] { return fs::exists(path_) && read_file(path_).find("/new") != std::string::npos; }));
  EXPECT_EQ(read_file(path_ + ".1").find("/new"), std::string::npos);
  EXPECT_TRUE(stop(*writer));
}

TEST_P(AccessLogWriterTest, AFailedReopenKeepsTheOldFile) {
  auto writer = make(path_);
  ASSERT_TRUE(writer->start().has_value());
  fs::rename(path_, path_ + ".1");
  fs::create_directory(path_);
  writer->reopen();
  log(first_, "/still");
  EXPECT_TRUE(loop_->run_until(
      [&] { return read_file(path_ + ".1").find("/still") != std::string::npos; }));
  EXPECT_EQ(writer->stats().errors, 1u);
  EXPECT_TRUE(stop(*writer));
}

TEST_P(AccessLogWriterTest, APathThatCannotBeOpenedIsAnError) {
  auto writer = make(directory_ + "/none/access.log");
  const auto started = writer->start();
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().find("/none/access.log: No such file or directory"), std::string::npos);
  EXPECT_TRUE(writer->stopped());
}

// A FIFO that nobody reads: the ring goes on turning, the workers' buffers fill and drop, memory
// stays bounded, and the end comes in time.
TEST_P(AccessLogWriterTest, ABlockedPipeBlocksNothing) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  auto writer = make(path_);
  ASSERT_TRUE(writer->start().has_value());
  uint32_t appended = 0, dropped = 0;
  uint64_t slowest_ns = 0;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 20; ++i) ++(log(first_, std::string(500, 'x')) ? appended : dropped);
    const uint64_t before = monotonic_ns();
    loop_->turn(kNsPerMs);
    slowest_ns = std::max(slowest_ns, monotonic_ns() - before);
  }
  EXPECT_GT(dropped, 0u);
  EXPECT_LT(slowest_ns, kNsPerSecond);
  EXPECT_LE(writer->stats().bytes_written, 1u << 20);
  // Somebody reads again: lines flow, each of them whole.
  std::string text;
  char piece[65536];
  loop_->run_until(
      [&] {
        for (ssize_t n; (n = read(reader, piece, sizeof piece)) > 0;)
          text.append(piece, static_cast<size_t>(n));
        return std::count(text.begin(), text.end(), '\n') == appended;
      },
      5000);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), appended);
  // Blocked again at the end: what is left is dropped at the deadline and counted.
  uint32_t last = 0;
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < 20; ++i) last += log(first_, std::string(500, 'y'));
    loop_->turn(kNsPerMs);
  }
  const uint64_t before = monotonic_ns();
  EXPECT_TRUE(stop(*writer, 100));
  EXPECT_LT(monotonic_ns() - before, 5 * kNsPerSecond);
  EXPECT_GT(writer->stats().lines_dropped, 0u);
  close(reader);
}

TEST_P(AccessLogWriterTest, AFullDiskDropsLinesAndGoesOn) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  auto writer = make("/dev/full");
  ASSERT_TRUE(writer->start().has_value());
  for (int i = 0; i < 10; ++i) log(first_, "/x");
  EXPECT_TRUE(loop_->run_until([&] { return writer->stats().lines_dropped == 10; }));
  EXPECT_EQ(writer->stats().last_error, ENOSPC);
  EXPECT_TRUE(stop(*writer));
}

INSTANTIATE_TEST_SUITE_P(Backends, AccessLogWriterTest,
                         testing::Values(io::Backend::kEpoll, io::Backend::kUring),
                         [](const auto& test) {
                           return std::string(io::backend_name(test.param));
                         });

}  // namespace
}  // namespace ringway::observe
