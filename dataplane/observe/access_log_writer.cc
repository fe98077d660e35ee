#include "dataplane/observe/access_log_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace ringway::observe {
namespace {

constexpr uint32_t kWriteBytesMax =
    256 * 1024;  // One write; between two of them the ring serves others.
constexpr size_t kKeptCapacity = 1024 * 1024;  // A burst's memory is given back above this.

LogLimiter write_errors(3, 60'000'000'000);

}  // namespace

AccessLogWriter::AccessLogWriter(io::Ring& ring, io::TimerWheel& wheel,
                                 std::vector<AccessLog*> logs, AccessLogWriterOptions options)
    : ring_(ring), wheel_(wheel), logs_(std::move(logs)), options_(std::move(options)) {
  io::bind<&AccessLogWriter::on_write>(write_, *this);
  io::bind<&AccessLogWriter::on_close>(close_, *this);
  timer_.bind<&AccessLogWriter::on_timer>(*this);
  stop_timer_.bind<&AccessLogWriter::on_stop_timer>(*this);
}

AccessLogWriter::~AccessLogWriter() { CHECK(stopped()); }

std::expected<int, std::string> AccessLogWriter::open_sink() const {
  // A duplicate: closing ours leaves the process' stdout open.
  const int fd =
      options_.path == "stdout"
          ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
          : ::open(options_.path.c_str(),
                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
  if (fd < 0) return std::unexpected("access log " + options_.path + ": " + std::strerror(errno));
  return fd;
}

std::expected<void, std::string> AccessLogWriter::start() {
  CHECK(stopped());
  const auto fd = open_sink();
  if (!fd) return std::unexpected(fd.error());
  const auto adopted = ring_.adopt(*fd);
  if (!adopted) {
    ::close(*fd);
    return std::unexpected("access log " + options_.path + ": " + std::strerror(adopted.error()));
  }
  sink_ = *adopted;
  state_ = State::kRunning;
  wheel_.arm(timer_, ring_.now_ns() + options_.interval_ns);
  return {};
}

void AccessLogWriter::reopen() {
  if (state_ != State::kRunning || options_.path == "stdout") return;
  const auto fd = open_sink();
  if (!fd) {
    ++stats_.errors;
    log_error("{}; the file opened before goes on", fd.error());
    return;
  }
  if (reopened_ >= 0) ::close(reopened_);
  reopened_ = *fd;
  if (!write_.in_flight && !close_.in_flight) use_reopened();
}

// Between two writes: the old file is closed by the ring, the next write goes to the other one.
void AccessLogWriter::use_reopened() {
  const auto adopted = ring_.adopt(std::exchange(reopened_, -1));
  if (!adopted) {
    ++stats_.errors;
    log_error("access log {}: {}; the file opened before goes on", options_.path,
              std::strerror(adopted.error()));
    return;
  }
  ring_.close(close_, std::exchange(sink_, *adopted));
}

void AccessLogWriter::on_timer() {
  if (state_ != State::kRunning) return;
  wheel_.arm(timer_, ring_.now_ns() + options_.interval_ns);
  if (!write_.in_flight) write_more();
}

void AccessLogWriter::write_more() {
  DCHECK(!write_.in_flight);
  if (reopened_ >= 0 && !close_.in_flight) use_reopened();
  if (written_ == unwritten_.size()) {
    unwritten_.clear();
    written_ = 0;
    if (unwritten_.capacity() > kKeptCapacity) unwritten_.shrink_to_fit();
    for (AccessLog* log : logs_) log->take(unwritten_);
  }
  if (unwritten_.empty()) {
    if (state_ == State::kFlushing) close_sink();
    return;
  }
  const size_t bytes = std::min<size_t>(unwritten_.size() - written_, kWriteBytesMax);
  ring_.write(write_, sink_, unwritten_.data() + written_, static_cast<uint32_t>(bytes));
}

void AccessLogWriter::on_write(io::Completion&& completion) {
  if (completion.result > 0) {
    written_ += static_cast<size_t>(completion.result);
    stats_.bytes_written += static_cast<uint64_t>(completion.result);
    stats_.last_error = 0;
  } else if (completion.result != -EINTR && completion.result != -EAGAIN &&
             completion.result != -ECANCELED) {
    ++stats_.errors;
    stats_.last_error = completion.result == 0 ? EIO : -completion.result;
    log_limited(write_errors, ring_.now_ns(), LogLevel::kError,
                "access log {}: {}; lines are dropped", options_.path,
                std::strerror(stats_.last_error));
    drop_unwritten();
  }
  if (state_ == State::kClosing) {
    drop_unwritten();
    return close_sink();
  }
  // With the rest, at once; what came meanwhile waits for the timer, so that a short line does not
  // cost a write each.
  if (written_ < unwritten_.size() || state_ == State::kFlushing) write_more();
}

void AccessLogWriter::drop_unwritten() {
  stats_.lines_dropped += static_cast<uint64_t>(
      std::count(unwritten_.begin() + static_cast<ptrdiff_t>(written_), unwritten_.end(), '\n'));
  unwritten_.clear();
  written_ = 0;
}

void AccessLogWriter::stop(uint64_t deadline_ns) {
  if (state_ != State::kRunning) return;
  state_ = State::kFlushing;
  timer_.cancel();
  wheel_.arm(stop_timer_, deadline_ns);
  if (!write_.in_flight) write_more();
}

void AccessLogWriter::on_stop_timer() {
  if (state_ != State::kFlushing) return;
  state_ = State::kClosing;
  if (write_.in_flight) return ring_.cancel(write_);
  drop_unwritten();
  close_sink();
}

void AccessLogWriter::close_sink() {
  state_ = State::kClosing;
  stop_timer_.cancel();
  if (reopened_ >= 0) ::close(std::exchange(reopened_, -1));
  if (close_.in_flight) return;  // Of the file before; on_close() comes back here.
  if (sink_.valid()) return ring_.close(close_, std::exchange(sink_, io::Socket{}));
  state_ = State::kStopped;
}

void AccessLogWriter::on_close(io::Completion&&) {
  if (state_ == State::kClosing && !write_.in_flight) close_sink();
}

}  // namespace ringway::observe
