#include "dataplane/observe/admin_server.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dataplane/observe/admin_connection.h"

namespace ringway::observe {
namespace {

constexpr uint64_t kAcceptPauseNs = 100 * kNsPerMs;
constexpr uint32_t kClosingMax = 64;  // Connections on their way out, beside the open ones.

}  // namespace

bool AdminRequest::has(std::string_view parameter) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    if (item.substr(0, item.find('=')) == parameter) return true;
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
  }
  return false;
}

AdminServer::AdminServer(io::Ring& ring, io::TimerWheel& wheel, const AdminServerOptions& options)
    : ring_(ring), wheel_(wheel), options_(options) {
  io::bind<&AdminServer::on_accept>(accept_, *this);
  io::bind<&AdminServer::on_listener_closed>(close_, *this);
  accept_timer_.bind<&AdminServer::on_accept_timer>(*this);
  stop_timer_.bind<&AdminServer::on_stop_timer>(*this);
}

AdminServer::~AdminServer() { CHECK(stopped()); }

void AdminServer::handle(std::string path, AdminHandler handler) {
  handlers_[std::move(path)] = std::move(handler);
}

void AdminServer::handle(std::string path,
                         std::function<AdminResponse(const AdminRequest&)> handler) {
  handle(std::move(path), AdminHandler([handler = std::move(handler)](const AdminRequest& request,
                                                                      AdminReply reply) {
           reply(handler(request));
         }));
}

std::expected<void, std::string> AdminServer::start(int listening_fd) {
  CHECK(state_ == State::kStopped);
  const auto adopted = ring_.adopt(listening_fd);
  if (!adopted) {
    ::close(listening_fd);
    return std::unexpected(std::string("admin endpoint: ") + std::strerror(adopted.error()));
  }
  listener_ = *adopted;
  state_ = State::kRunning;
  ring_.accept(accept_, listener_);
  return {};
}

// ---- connections ----

void AdminServer::on_accept(io::Completion&& completion) {
  if (completion.result >= 0) {
    ++stats_.connections;
    if (free_.empty()) {
      connections_.push_back(std::make_unique<Connection>(*this));
      free_.push_back(connections_.back().get());
    }
    Connection& connection = *free_.back();
    free_.pop_back();
    ++stats_.active;
    connection.open(io::Socket{completion.result});
    if (state_ != State::kRunning) {
      connection.close();
    } else if (stats_.active > options_.connections_max) {
      make_room(connection);
    }
  }
  if (completion.more) {
    if (stats_.active >= options_.connections_max + kClosingMax) ring_.cancel(accept_);
    return;
  }
  if (state_ == State::kStopping) return close_listener();
  if (completion.result == -ECANCELED || completion.result >= 0) return accept();
  wheel_.arm(accept_timer_,
             ring_.now_ns() + kAcceptPauseNs);  // EMFILE and the like: a pause, not a spin.
}

void AdminServer::accept() {
  if (state_ == State::kRunning && !accept_.in_flight &&
      stats_.active < options_.connections_max + kClosingMax)
    ring_.accept(accept_, listener_);
}

void AdminServer::on_accept_timer() { accept(); }

// Closes the connection that has waited for its request longest; a kubelet's probe gets through a
// crowd that holds connections open. When all are being answered, the newcomer goes.
void AdminServer::make_room(Connection& newcomer) {
  ++stats_.connections_refused;
  Connection* oldest = nullptr;
  for (const auto& connection : connections_) {
    if (connection.get() == &newcomer || !connection->waits()) continue;
    if (oldest == nullptr || connection->waiting_since_ns() < oldest->waiting_since_ns())
      oldest = connection.get();
  }
  (oldest == nullptr ? newcomer : *oldest).close();
}

void AdminServer::release(Connection& connection) {
  free_.push_back(&connection);
  --stats_.active;
  if (state_ == State::kStopping) return finish_if_drained();
  if (!accept_timer_.armed()) accept();
}

// ---- the end ----

void AdminServer::stop(uint64_t deadline_ns) {
  if (state_ != State::kRunning) return;
  state_ = State::kStopping;
  accept_timer_.cancel();
  wheel_.arm(stop_timer_, deadline_ns);
  if (accept_.in_flight) {
    ring_.cancel(accept_);
  } else {
    close_listener();
  }
  for (const auto& connection : connections_) connection->drain();
}

void AdminServer::on_stop_timer() {
  for (const auto& connection : connections_) connection->close();
}

void AdminServer::close_listener() { ring_.close(close_, std::exchange(listener_, io::Socket{})); }

void AdminServer::on_listener_closed(io::Completion&&) { finish_if_drained(); }

void AdminServer::finish_if_drained() {
  if (stats_.active > 0 || listener_.valid() || close_.in_flight) return;
  stop_timer_.cancel();
  state_ = State::kStopped;
}

bool AdminServer::stopped() const { return state_ == State::kStopped; }

}  // namespace ringway::observe
