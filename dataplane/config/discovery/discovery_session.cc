#include "dataplane/config/discovery/discovery_session.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

namespace ringway::config {
namespace {

constexpr uint64_t kPingMsMax = 600'000;  // Where ENHANCE_YOUR_CALM doubles it to.

}  // namespace

DiscoveryClient::Session::Session(io::Ring& ring, io::TimerWheel& wheel, Random& random,
                                  DiscoveryOptions options, ResourceSet held, TransactionSink& sink)
    : set(std::move(held)),
      ring_(ring),
      wheel_(wheel),
      random_(random),
      options_(std::move(options)),
      sink_(sink),
      lookup_(ring),
      socket_(ring, *this),
      assembly_(options_.limits.transaction_bytes_max, options_.limits.resources_max),
      ping_ms_(options_.times.ping_ms) {
  auto address = parse_controller_address(options_.address);
  CHECK(address.has_value());
  address_ = std::move(*address);
  lookup_.idled = [this] { finish_close(); };
  stage_timer_.bind<&Session::on_stage_timer>(*this);
  ping_timer_.bind<&Session::on_ping_timer>(*this);
  transaction_timer_.bind<&Session::on_transaction_timer>(*this);
  files_timer_.bind<&Session::on_files_timer>(*this);
}

DiscoveryClient::Session::~Session() { CHECK(status.state == DiscoveryState::kStopped); }

void DiscoveryClient::Session::arm(io::Timer& timer, uint64_t delay_ms) {
  wheel_.arm(timer, ring_.now_ns() + delay_ms * kNsPerMs);
}

void DiscoveryClient::Session::start() {
  CHECK(status.state == DiscoveryState::kStopped);
  stopping_ = false;
  backoff_ms_ = 0;
  connect();
}

void DiscoveryClient::Session::connect() {
  settings_seen_ = ping_open_ = false;
  status.state = DiscoveryState::kResolving;
  arm(stage_timer_, options_.times.connect_ms);
  if (!address_.literal.empty()) return on_resolved(address_.literal);
  const bool started = lookup_.start(
      address_.host, address_.port,
      [this](std::vector<io::SocketAddress> found) { on_resolved(std::move(found)); });
  if (!started) fail("no descriptor for the name lookup");
}

void DiscoveryClient::Session::on_resolved(std::vector<io::SocketAddress> addresses) {
  if (addresses.empty()) return fail("host \"" + address_.host + "\" is not found");
  addresses_ = std::move(addresses);
  status.state = DiscoveryState::kConnecting;
  const int error = socket_.connect(addresses_[next_address_ % addresses_.size()]);
  if (error != 0) fail(std::string("socket: ") + std::strerror(error));
}

void DiscoveryClient::Session::on_connected(int error) {
  if (error != 0) return fail(std::string("connect: ") + std::strerror(error));
  if (!options_.tls) return open_stream();
  used_files_ = file_stamps();  // Before they are read: what changes meanwhile is seen later.
  auto tls = ControllerTls::make(*options_.tls, server_name());
  if (!tls) return fail(tls.error());
  tls_ = std::move(*tls);
  flush();
}

void DiscoveryClient::Session::open_stream() {
  GrpcStream::Call call;
  call.scheme = tls_ != nullptr ? "https" : "http";
  call.authority = address_.local ? "localhost" : options_.address;
  call.path = "/ringway.v1.Discovery/Connect";
  call.user_agent = "ringway-proxy/" + options_.proxy_version;
  stream_ = std::make_unique<GrpcStream>(*this, call, options_.limits.message_bytes_max);
  say_hello();
  flush();
}

void DiscoveryClient::Session::say_hello() {
  v1::ProxyMessage message;
  v1::Hello& hello = *message.mutable_hello();
  hello.set_node_id(options_.node_id);
  hello.set_proxy_version(options_.proxy_version);
  hello.set_class_(options_.config_class);
  hello.set_wildcard(options_.wildcard);
  hello.set_error(printable(status.last_error));
  set.write_held(hello);
  stream_->send(message.SerializeAsString());
  std::map<v1::ResourceType, v1::ProxyMessage> subscriptions;
  for (const ResourceKey& key : wanted_)
    subscriptions[key.type].mutable_subscribe()->add_add(key.name);
  for (auto& [type, subscription] : subscriptions) {
    subscription.mutable_subscribe()->set_type(type);
    stream_->send(subscription.SerializeAsString());
  }
}

void DiscoveryClient::Session::on_settings() {
  settings_seen_ = true;
  ++status.connects;
  status.state = DiscoveryState::kConnected;
  stage_timer_.cancel();
  bytes_at_ping_ = bytes_seen_;
  arm(ping_timer_, ping_ms_);
  if (options_.tls) arm(files_timer_, options_.times.files_ms);
  log_info("discovery: connected to {}, {} resources held", options_.address, set.size());
}

void DiscoveryClient::Session::on_received(std::string_view bytes) {
  bytes_seen_ += bytes.size();
  if (tls_ != nullptr) {
    plaintext_.clear();
    const bool good = tls_->feed(bytes, plaintext_);
    if (!good && plaintext_.empty()) {
      flush();  // The alert that tells the controller why.
      return fail(tls_->error());
    }
    if (tls_->handshake_done() && stream_ == nullptr) open_stream();
    bytes = plaintext_;
  }
  if (stream_ != nullptr && !bytes.empty()) stream_->feed(bytes);
  explicit_bzero(plaintext_.data(), plaintext_.size());
  if (status.state == DiscoveryState::kClosing) return;
  flush();
  if (status.state == DiscoveryState::kClosing) return;
  // Asked after the flush: nghttp2 answers some violations first (GOAWAY, RST_STREAM), and is done
  // with the stream then.
  if (stream_ != nullptr && !stream_->end_reason().empty()) {
    if (stream_->asked_for_calm()) ping_ms_ = std::min(2 * ping_ms_, kPingMsMax);
    return fail(stream_->end_reason());
  }
  watch_transaction();
  if (tls_ != nullptr && !tls_->error().empty()) return fail(tls_->error());
  if (tls_ != nullptr && tls_->ended()) return fail("controller closed the connection");
}

// A transaction that never becomes whole is a fault too, also when PINGs keep the connection alive:
// from the first byte of its first message.
void DiscoveryClient::Session::watch_transaction() {
  const bool begun = assembly_.open() || (stream_ != nullptr && stream_->mid_message());
  if (!begun) transaction_timer_.cancel();
  if (begun && !transaction_timer_.armed()) arm(transaction_timer_, options_.times.transaction_ms);
}

void DiscoveryClient::Session::flush() {
  output_.clear();
  if (stream_ != nullptr) {
    stream_->take_output(output_);
    if (tls_ != nullptr) tls_->write(output_);
  }
  if (tls_ != nullptr) {
    output_.clear();
    tls_->take_output(output_);
  }
  if (!output_.empty()) socket_.write(output_);
  if (output_.capacity() > 64 * 1024) output_ = {};
}

void DiscoveryClient::Session::send(const v1::ProxyMessage& message) {
  stream_->send(message.SerializeAsString());
}

bool DiscoveryClient::Session::on_message(std::string_view bytes) {
  status.bytes_received += bytes.size();
  v1::ControllerMessage message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    fail("message does not parse as ringway.v1.ControllerMessage");
    return false;
  }
  // A message this build does not know is skipped: controllers may be ahead of proxies.
  if (!message.has_transaction()) return true;
  apply(std::move(*message.mutable_transaction()), bytes.size());
  return status.state != DiscoveryState::kClosing;
}

void DiscoveryClient::Session::apply(v1::Transaction&& message, size_t wire_bytes) {
  status.resources_received += static_cast<uint64_t>(message.upserts_size()) +
                               static_cast<uint64_t>(message.removals_size());
  switch (assembly_.add(std::move(message), wire_bytes)) {
    case TransactionAssembly::Progress::kMore:
      return;
    case TransactionAssembly::Progress::kBroken:
      return fail(std::string(assembly_.fault()));
    case TransactionAssembly::Progress::kComplete:
      break;
  }
  auto assembled = assembly_.finish(set);
  if (!assembled) return refuse(assembled.error());
  accept(std::move(*assembled));
}

void DiscoveryClient::Session::accept(AssembledTransaction&& assembled) {
  RefusedTransaction refused{assembled.transaction.version, assembled.nonce, {}};
  const auto applied = sink_.apply(std::move(assembled.transaction));
  if (!applied) {
    refused.rejection = applied.error();
    return refuse(refused);
  }
  std::move(assembled).commit_to(set);
  set.set_version(refused.version);
  ++status.accepted;
  status.accepted_at_ns = ring_.now_ns();
  status.rejection.clear();
  backoff_ms_ = 0;
  logged_error_.clear();
  v1::ProxyMessage answer;
  answer.mutable_ack()->set_version(refused.version);
  answer.mutable_ack()->set_nonce(refused.nonce);
  send(answer);
  sink_.on_accepted(set);
}

void DiscoveryClient::Session::refuse(const RefusedTransaction& refused) {
  const Rejection& rejection = refused.rejection;
  ++status.rejected;
  status.rejection = std::string(resource_type_name(rejection.type)) + " \"" + rejection.name +
                     "\": " + rejection.reason;
  log_warning("discovery: configuration {} refused, {} stays: {}", refused.version,
              set.version().empty() ? "none" : set.version(), status.rejection);
  v1::ProxyMessage answer;
  v1::Nack& nack = *answer.mutable_nack();
  nack.set_version(refused.version);
  nack.set_nonce(refused.nonce);
  nack.set_type(rejection.type);
  nack.set_name(rejection.name);
  nack.set_reason(printable(
      rejection.reason));  // proto3 strings are UTF-8: anything else would end the stream.
  send(answer);
}

void DiscoveryClient::Session::subscribe(v1::ResourceType type,
                                         const std::vector<std::string>& names, bool add) {
  v1::ProxyMessage message;
  v1::Subscribe& subscribe = *message.mutable_subscribe();
  subscribe.set_type(type);
  for (const std::string& name : names) {
    const bool changed =
        add ? wanted_.insert({type, name}).second : wanted_.erase({type, name}) != 0;
    if (changed) *(add ? subscribe.add_add() : subscribe.add_remove()) = name;
  }
  if (stream_ == nullptr || status.state == DiscoveryState::kClosing) return;
  if (subscribe.add_size() + subscribe.remove_size() == 0) return;
  send(message);
  flush();
}

void DiscoveryClient::Session::on_lost(int error) {
  fail(error == 0 ? "controller closed the connection"
                  : std::string("connection lost: ") + std::strerror(error));
}

void DiscoveryClient::Session::on_stage_timer() {
  if (status.state == DiscoveryState::kBackoff) return connect();
  const bool tls = tls_ != nullptr && !tls_->handshake_done();
  fail(status.state == DiscoveryState::kResolving ? "name lookup took too long"
       : tls                                      ? "TLS handshake took too long"
                                                  : "connecting took too long");
}

void DiscoveryClient::Session::on_ping_timer() {
  if (bytes_seen_ != bytes_at_ping_) {
    ping_open_ = false;
  } else if (ping_open_) {
    return fail("no answer to PING");
  } else {
    ping_open_ = true;
    stream_->ping();
    flush();
  }
  bytes_at_ping_ = bytes_seen_;
  arm(ping_timer_, ping_open_ ? options_.times.ping_timeout_ms : ping_ms_);
}

void DiscoveryClient::Session::on_transaction_timer() {
  fail("transaction took too long to arrive");
}

const std::string& DiscoveryClient::Session::server_name() const {
  return options_.tls->server_name.empty() ? address_.host : options_.tls->server_name;
}

DiscoveryClient::Session::FileStamps DiscoveryClient::Session::file_stamps() const {
  const DiscoveryTls& tls = *options_.tls;
  const auto of = [](const std::string& path) {
    return path.empty() ? std::nullopt : stamp_of(path);
  };
  return {of(tls.ca_file), of(tls.certificate_file), of(tls.key_file)};
}

// No failure: the controller sends the difference only, which is nothing.
void DiscoveryClient::Session::on_files_timer() {
  arm(files_timer_, options_.times.files_ms);
  const FileStamps found = file_stamps();
  if (found == used_files_ || found == refused_files_) return;
  // A certificate without its key yet would cost the connection that there is.
  if (const auto usable = ControllerTls::make(*options_.tls, server_name()); !usable) {
    log_warning("discovery: new TLS files cannot be used, the connection stays: {}",
                usable.error());
    refused_files_ = found;
    return;
  }
  log_info("discovery: TLS files have changed, connecting anew");
  backoff_ms_ = 0;
  close();
}

void DiscoveryClient::Session::fail(std::string reason) {
  if (status.state == DiscoveryState::kClosing) return;
  ++status.failures;
  ++next_address_;
  if (reason != logged_error_) {
    log_warning("discovery: {}: {}; the configuration in use stays", options_.address, reason);
    logged_error_ = reason;
  }
  status.last_error = std::move(reason);
  close();
}

void DiscoveryClient::Session::stop() {
  stopping_ = true;
  if (status.state == DiscoveryState::kStopped || status.state == DiscoveryState::kClosing) return;
  close();
}

void DiscoveryClient::Session::close() {
  status.state = DiscoveryState::kClosing;
  stage_timer_.cancel();
  ping_timer_.cancel();
  transaction_timer_.cancel();
  files_timer_.cancel();
  assembly_.clear();
  if (!lookup_.idle()) lookup_.cancel();
  if (!socket_.idle()) socket_.drain();
  finish_close();
}

void DiscoveryClient::Session::on_drained() { finish_close(); }

void DiscoveryClient::Session::finish_close() {
  if (!socket_.idle() || !lookup_.idle()) return;
  stream_.reset();
  tls_.reset();
  if (stopping_) {
    status.state = DiscoveryState::kStopped;
    return;
  }
  backoff_ms_ = backoff_ms_ == 0
                    ? options_.times.backoff_min_ms
                    : std::min<uint64_t>(2 * backoff_ms_, options_.times.backoff_max_ms);
  status.state = DiscoveryState::kBackoff;
  const auto half = static_cast<uint32_t>(backoff_ms_ / 2);
  arm(stage_timer_, backoff_ms_ - half + random_.below(half + 1));
}

}  // namespace ringway::config
