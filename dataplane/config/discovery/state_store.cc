#include "dataplane/config/discovery/state_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.h"

namespace ringway::config {
namespace {

constexpr const char* kFileName = "configuration.state";
constexpr const char* kTemporaryName = "configuration.state.tmp";
constexpr size_t kStateBytesMax = size_t{1} << 30;
constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

std::string system_error(const std::string& what, int error) {
  return what + ": " + std::strerror(error);
}

// 0 or an errno.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

std::expected<std::string, std::string> read_all(int fd, const std::string& path) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return std::unexpected(system_error(path, errno));
  if (!S_ISREG(info.st_mode)) return std::unexpected(path + ": not a regular file");
  if (static_cast<uint64_t>(info.st_size) > kStateBytesMax)
    return std::unexpected(path + ": larger than 1 GiB");
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got =
        ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(system_error(path, errno));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

std::expected<ResourceSet, std::string> decode_named(std::string text, const std::string& path) {
  auto set = decode_state(text);
  explicit_bzero(text.data(), text.size());
  if (!set) return std::unexpected(path + ": " + set.error());
  return set;
}

// Replaces DIR/configuration.state so that a reader, or a power cut, sees the old or the new file
// and nothing between.
// "" or one line of error.
std::string replace_file(const std::string& directory, std::string_view text) {
  const std::string temporary = directory + "/" + kTemporaryName;
  const std::string final_name = directory + "/" + kFileName;
  const int fd =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error(temporary, errno);
  int error = write_all(fd, text);
  if (error == 0 && ::fsync(fd) != 0) error = errno;
  ::close(fd);
  if (error == 0 && ::rename(temporary.c_str(), final_name.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    return system_error(temporary, error);
  }
  const int folder = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);  // A rename that is lost with the power costs one version, not the file.
    ::close(folder);
  }
  return "";
}

}  // namespace

// Writes the latest text it was given; texts that were overtaken are never written.
class StateStore::Writer {
 public:
  explicit Writer(std::string directory)
      : directory_(std::move(directory)), thread_([this] { run(); }) {}
  ~Writer() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void write(std::string text) {
    {
      const std::lock_guard lock(mutex_);
      waiting_ = std::move(text);
      has_waiting_ = true;
    }
    changed_.notify_all();
  }
  void wait_until_written() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !has_waiting_ && !writing_; });
  }
  void report(StateStoreStatus& status) const {
    const std::lock_guard lock(mutex_);
    status.disk_writes += writes_;
    status.errors += errors_;
    if (!last_error_.empty()) status.last_error = last_error_;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return has_waiting_ || ending_; });
      if (!has_waiting_) return;
      const std::string text = std::exchange(waiting_, {});
      has_waiting_ = false;
      writing_ = true;
      lock.unlock();
      std::string error = replace_file(directory_, text);
      lock.lock();
      writing_ = false;
      error.empty() ? ++writes_ : ++errors_;
      last_error_ = std::move(error);
      changed_.notify_all();
    }
  }

  const std::string directory_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string waiting_;
  bool has_waiting_ = false;
  bool writing_ = false;
  bool ending_ = false;
  uint64_t writes_ = 0;
  uint64_t errors_ = 0;
  std::string last_error_;
  std::thread thread_;  // Last: it uses what is above.
};

StateStore::StateStore(io::TimerWheel& wheel, StateStoreOptions options)
    : wheel_(wheel), options_(std::move(options)) {
  memory_timer_.bind<&StateStore::on_memory_timer>(*this);
  disk_timer_.bind<&StateStore::on_disk_timer>(*this);
  if (!options_.directory.empty()) writer_ = std::make_unique<Writer>(options_.directory);
}

StateStore::~StateStore() { flush(); }

void StateStore::save(const ResourceSet& set, uint64_t now_ns) {
  set_ = &set;
  if (options_.hand_over) {
    if (now_ns >= memory_free_ns_) {
      write_memory();
      memory_free_ns_ = now_ns + options_.memory_interval_ms * kNsPerMs;
    } else {
      memory_waiting_ = true;
      if (!memory_timer_.armed()) wheel_.arm(memory_timer_, memory_free_ns_);
    }
  }
  if (writer_ != nullptr) {
    disk_waiting_ = true;
    if (!disk_timer_.armed()) {
      const uint64_t due_ns = std::max(now_ns, disk_free_ns_);
      wheel_.arm(disk_timer_, due_ns);
      disk_free_ns_ = due_ns + options_.disk_interval_ms * kNsPerMs;
    }
  }
}

void StateStore::on_memory_timer() {
  if (!memory_waiting_) return;  // A later save() was at once.
  write_memory();
  memory_free_ns_ += options_.memory_interval_ms * kNsPerMs;
}

void StateStore::on_disk_timer() {
  if (disk_waiting_) write_disk();
}

void StateStore::write_memory() {
  memory_waiting_ = false;
  std::string text = encode_state(*set_, Keys::kInclude);
  const auto fd = make_sealed_memory(text);
  explicit_bzero(text.data(), text.size());
  if (!fd) {
    ++status_.errors;
    status_.last_error = system_error("memory file", fd.error());
    return;
  }
  ++status_.memory_files;
  status_.last_error.clear();
  options_.hand_over(*fd);
}

void StateStore::write_disk() {
  disk_waiting_ = false;
  writer_->write(encode_state(*set_, Keys::kLeaveOut));
}

void StateStore::flush() {
  memory_timer_.cancel();
  disk_timer_.cancel();
  if (memory_waiting_) write_memory();
  if (disk_waiting_) write_disk();
  if (writer_ != nullptr) writer_->wait_until_written();
}

StateStoreStatus StateStore::status() const {
  StateStoreStatus status = status_;
  if (writer_ != nullptr) writer_->report(status);
  return status;
}

std::expected<ResourceSet, std::string> load_state_file(const std::string& directory) {
  const std::string path = directory + "/" + kFileName;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return ResourceSet{};
    return std::unexpected(system_error(path, errno));
  }
  auto text = read_all(fd, path);
  ::close(fd);
  if (!text) return std::unexpected(text.error());
  return decode_named(std::move(*text), path);
}

std::expected<ResourceSet, std::string> load_state_memory(int fd) {
  const std::string name = "memory file (descriptor " + std::to_string(fd) + ")";
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return std::unexpected(system_error(name, errno));
  if ((seals & kSeals) != kSeals) return std::unexpected(name + ": not sealed");
  auto text = read_all(fd, name);
  if (!text) return std::unexpected(text.error());
  return decode_named(std::move(*text), name);
}

std::expected<int, int> make_sealed_memory(std::string_view text) {
#ifndef MFD_NOEXEC_SEAL
  constexpr unsigned MFD_NOEXEC_SEAL = 8;  // Linux 6.3; older kernels answer EINVAL.
#endif
  int fd =
      ::memfd_create("ringway-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL)
    fd = ::memfd_create("ringway-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return std::unexpected(errno);
  int error = write_all(fd, text);
  if (error == 0 && ::fcntl(fd, F_ADD_SEALS, kSeals) != 0) error = errno;
  if (error == 0) return fd;
  ::close(fd);
  return std::unexpected(error);
}

}  // namespace ringway::config
