#include "controlplane/serve/server.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <thread>

#include "base/clock.h"
#include "controlplane/serve/proxy_stream.h"

namespace ringway::serve {
namespace {

constexpr unsigned kFileRefreshSeconds = 1;

bool has_tls(const ServerOptions& options) { return !options.tls_certificate.empty(); }

std::string_view host_of(std::string_view listen) { return listen.substr(0, listen.rfind(':')); }

bool is_loopback(std::string_view host) {
  return host.starts_with("127.") || host == "[::1]" || host == "localhost";
}

// gRPC removes a socket file that is in its way, also one on which another controller listens.
bool someone_listens(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const bool connected =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return connected;
}

std::shared_ptr<grpc::ServerCredentials> credentials(const ServerOptions& options) {
  if (!has_tls(options)) return grpc::InsecureServerCredentials();
  const auto files = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      options.tls_key, options.tls_certificate, options.tls_client_ca, kFileRefreshSeconds);
  grpc::experimental::TlsServerCredentialsOptions tls(files);
  tls.watch_root_certs();
  tls.watch_identity_key_cert_pairs();
  tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(tls);
}

class Service final : public v1::Discovery::CallbackService {
 public:
  explicit Service(StreamRegistry& registry) : registry_(registry) {}
  grpc::ServerBidiReactor<v1::ProxyMessage, v1::ControllerMessage>* Connect(
      grpc::CallbackServerContext* context) override {
    return new ProxyStream(registry_, *context);  // Deletes itself in OnDone.
  }

 private:
  StreamRegistry& registry_;
};

}  // namespace

class DiscoveryServer::State {
 public:
  State(const ServerOptions& options, snapshot::Store& store)
      : registry(options, store), service_(registry) {}

  std::expected<void, std::string> listen() {
    const ServerOptions& options = registry.options();
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options.listen, credentials(options), &port);
    builder.RegisterService(&service_);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.hello_bytes_max));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(options.keepalive_ms));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                               static_cast<int>(options.keepalive_timeout_ms));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    const mode_t before = ::umask(0177);  // The socket file is 0600 from its first moment.
    server_ = builder.BuildAndStart();
    ::umask(before);
    if (server_ == nullptr || (port == 0)) {
      return std::unexpected("cannot listen on " + options.listen +
                             " (in use, not permitted, or no such folder)");
    }
    if (options.listen.starts_with("unix:")) port = 0;
    clock_ = std::thread([this] { watch_deadlines(); });
    return {};
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(stopping_, true)) return;
    }
    wake_.notify_all();
    if (clock_.joinable()) clock_.join();
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now());  // Cancels what is open.
      server_->Wait();
    }
  }

  StreamRegistry registry;
  int port = 0;

 private:
  void watch_deadlines() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::seconds(1), [this] { return stopping_; })) {
      lock.unlock();
      registry.check_deadlines(monotonic_ns());
      lock.lock();
    }
  }

  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread clock_;
};

std::expected<void, std::string> DiscoveryServer::check(const ServerOptions& options) {
  const bool local = options.listen.starts_with("unix:");
  const int files =
      !options.tls_certificate.empty() + !options.tls_key.empty() + !options.tls_client_ca.empty();
  if (files != 0 && files != 3)
    return std::unexpected("TLS needs all three: certificate, key and CA of the proxies");
  if (local) {
    const size_t length = options.listen.size() - 5;
    if (length == 0 || length > 107)
      return std::unexpected("listen address: a Unix socket path has 1 to 107 bytes");
    if (files != 0)
      return std::unexpected("TLS files are given, but the listen address is a Unix socket");
    return {};
  }
  const size_t colon = options.listen.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == options.listen.size() ||
      options.listen.find_first_not_of("0123456789", colon + 1) != std::string::npos ||
      options.listen.size() - colon > 6) {
    return std::unexpected("listen address \"" + options.listen +
                           "\": want unix:/path, host:port or [ipv6]:port");
  }
  if (files == 0 && !is_loopback(host_of(options.listen))) {
    return std::unexpected("listen address " + options.listen +
                           " is not loopback: it needs TLS certificate, key and CA");
  }
  for (const std::string& file :
       {options.tls_certificate, options.tls_key, options.tls_client_ca}) {
    if (!file.empty() && ::access(file.c_str(), R_OK) != 0)
      return std::unexpected(file + ": " + std::strerror(errno));
  }
  return {};
}

std::expected<std::unique_ptr<DiscoveryServer>, std::string> DiscoveryServer::start(
    ServerOptions options, snapshot::Store& store) {
  if (auto checked = check(options); !checked) return std::unexpected(checked.error());
  if (options.listen.starts_with("unix:") && someone_listens(options.listen.substr(5))) {
    return std::unexpected("another process listens on " + options.listen);
  }
  auto state = std::make_unique<State>(options, store);
  if (auto listening = state->listen(); !listening) return std::unexpected(listening.error());
  return std::unique_ptr<DiscoveryServer>(new DiscoveryServer(std::move(state)));
}

DiscoveryServer::DiscoveryServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
DiscoveryServer::~DiscoveryServer() { stop(); }
void DiscoveryServer::publish() { state_->registry.publish(); }
void DiscoveryServer::send_away(const std::string& why) { state_->registry.send_away(why); }
void DiscoveryServer::stop() { state_->stop(); }
int DiscoveryServer::port() const { return state_->port; }
std::vector<ProxyStatus> DiscoveryServer::proxies() const { return state_->registry.proxies(); }
DiscoveryServer::Totals DiscoveryServer::totals() const { return state_->registry.totals(); }

}  // namespace ringway::serve
