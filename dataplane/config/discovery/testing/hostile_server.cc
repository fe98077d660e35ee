#include "dataplane/config/discovery/testing/hostile_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/check.h"
#include "dataplane/config/discovery/grpc_frame.h"

namespace ringway::config::testing {

HostileServer::HostileServer(const std::string& path, Script script) : script_(std::move(script)) {
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ::unlink(path.c_str());
  CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(::listen(listener_, 8) == 0);
  thread_ = std::thread([this] { run(); });
}

HostileServer::~HostileServer() {
  ending_ = true;
  thread_.join();
  ::close(listener_);
}

void HostileServer::run() {
  while (!ending_) {
    pollfd ready{listener_, POLLIN, 0};
    if (::poll(&ready, 1, 10) <= 0) continue;
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    play(fd);
    ::close(fd);
  }
}

void HostileServer::play(int fd) {
  char ignored[65536];
  if (::recv(fd, ignored, sizeof ignored, 0) <= 0) return;
  std::string_view rest = script_.bytes;
  while (!rest.empty() && !ending_) {
    const ssize_t sent = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    rest.remove_prefix(static_cast<size_t>(sent));
  }
  if (script_.close) return;
  for (int waited_ms = 0; !ending_; waited_ms += 10) {
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, 10) > 0 && ::recv(fd, ignored, sizeof ignored, 0) <= 0) return;
    if (!script_.drip.empty() && waited_ms % 50 == 0 &&
        ::send(fd, script_.drip.data(), script_.drip.size(), MSG_NOSIGNAL) <= 0)
      return;
  }
}

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out.push_back(static_cast<char>(payload.size() >> shift));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
  return out.append(payload);
}

std::string settings() { return frame(4, 0, 0, "") + frame(4, 1, 0, ""); }

std::string headers(const std::vector<std::pair<std::string, std::string>>& fields,
                    bool end_stream) {
  std::string block;
  for (const auto& [name, value] : fields) {
    CHECK(name.size() < 127 && value.size() < 127);
    block.push_back('\0');  // Literal without indexing, new name (RFC 7541 section 6.2.2).
    block.push_back(static_cast<char>(name.size()));
    block += name;
    block.push_back(static_cast<char>(value.size()));
    block += value;
  }
  return frame(1, end_stream ? 5 : 4, 1, block);
}

std::string response_head() {
  return headers({{":status", "200"}, {"content-type", "application/grpc"}});
}

std::string data_frames(std::string_view bytes, bool end_stream) {
  std::string out;
  do {
    const std::string_view part = bytes.substr(0, 16384);
    bytes.remove_prefix(part.size());
    out += frame(0, bytes.empty() && end_stream ? 1 : 0, 1, part);
  } while (!bytes.empty());
  return out;
}

std::string grpc(std::string_view message) {
  std::string out;
  append_grpc_frame(out, message);
  return out;
}

}  // namespace ringway::config::testing
