#include "dataplane/proxy/udp_relay.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <unordered_set>

#include "dataplane/net/address.h"
#include "dataplane/net/client_source.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/upstream/outlier.h"

namespace ringway::proxy {
namespace {

using observe::DatagramDrop;

constexpr uint64_t kSweepNs = 250 * kNsPerMs;
constexpr uint64_t kQuietNs = kNsPerSecond;  // While stopping: how long a session may be silent.

bool is_wildcard(std::string_view address) {
  if (address.starts_with(net::kUdpPrefix)) address.remove_prefix(net::kUdpPrefix.size());
  const auto parsed = net::parse_address(address);
  if (!parsed) return true;
  return parsed->family() == AF_INET ? parsed->v4.sin_addr.s_addr == INADDR_ANY
                                     : IN6_IS_ADDR_UNSPECIFIED(&parsed->v6.sin6_addr);
}

// How many datagrams a completion or a send is.
uint64_t datagrams(size_t bytes, uint32_t segment_bytes) {
  return segment_bytes == 0 ? 1 : (bytes + segment_bytes - 1) / segment_bytes;
}

// What to do with a receive that was cut: the whole datagrams in front of the cut are good.
bool keep_whole(io::Slice& data, const io::DatagramOp& op) {
  if (!op.truncated) return true;
  if (op.segment_bytes == 0) return false;
  data.truncate(data.size() / op.segment_bytes * op.segment_bytes);
  return !data.empty();
}

}  // namespace

struct UdpRelay::Session {
  explicit Session(UdpRelay& owner) : relay(owner) {
    io::bind<&Session::on_datagram>(recv, *this);
    io::bind<&Session::on_close>(close, *this);
  }
  void on_datagram(io::Completion&& completion);
  void on_close(io::Completion&& completion);

  UdpRelay& relay;
  Client client;
  std::shared_ptr<const upstream::Cluster> cluster;
  std::shared_ptr<upstream::EndpointState> endpoint;
  io::Socket socket;
  io::DatagramOp recv;
  io::Op close;
  uint32_t sends_in_flight = 0;
  bool ending = false;
  bool closing = false;
  bool answered = false;
  uint64_t responses = 0;
  uint64_t begin_ns = 0, activity_ns = 0;
  uint64_t bytes_received = 0, bytes_sent = 0;
  observe::StreamFailure failure = observe::StreamFailure::kNone;
  Session* older = nullptr;
  Session* newer = nullptr;
};

UdpKey udp_key(const io::SocketAddress& peer, const io::SocketAddress& local) {
  UdpKey key;
  if (peer.family() == AF_INET) {
    key.words[0] = peer.v4.sin_addr.s_addr;
    key.words[1] = local.family() == AF_INET ? local.v4.sin_addr.s_addr : 0;
    key.words[4] = uint64_t{peer.v4.sin_port} << 1;
    return key;
  }
  std::memcpy(&key.words[0], &peer.v6.sin6_addr, 16);
  if (local.family() == AF_INET6) std::memcpy(&key.words[2], &local.v6.sin6_addr, 16);
  key.words[4] = uint64_t{peer.v6.sin6_scope_id} << 32 | uint64_t{peer.v6.sin6_port} << 1 | 1;
  return key;
}

size_t UdpKeyHash::operator()(const UdpKey& key) const {
  uint64_t hash = seed;
  for (const uint64_t word : key.words) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 29) * (seed | 1);
    hash ^= hash >> 32;
  }
  return hash;
}

UdpRelay::UdpRelay(Context& context, std::shared_ptr<const config::Listener> listener,
                   std::string address, io::Socket socket, uint32_t workers)
    : context_(context),
      listener_(std::move(listener)),
      address_(std::move(address)),
      socket_(socket),
      workers_(workers),
      wildcard_(is_wildcard(address_)),
      sessions_(16, UdpKeyHash{context.random.next()}) {
  CHECK(workers > 0 && socket.valid());
  io::bind<&UdpRelay::on_datagram>(recv_, *this);
  io::bind<&UdpRelay::on_close>(close_, *this);
  timer_.bind<&UdpRelay::on_timer>(*this);
}

UdpRelay::~UdpRelay() { CHECK(sessions_.empty() && ending_.empty()); }

void UdpRelay::start() {
  CHECK(state_ == State::kNew);
  state_ = State::kOpen;
  context_.ring.recv_datagrams(recv_, socket_);
  context_.timers.arm(timer_, context_.now_ns() + kSweepNs);
}

void UdpRelay::update(std::shared_ptr<const config::Listener> listener) {
  listener_ = std::move(listener);
}

void UdpRelay::drop(DatagramDrop reason) {
  ++context_.stats.stream.datagram_drops[static_cast<size_t>(reason)];
}

// ---- from clients ----

void UdpRelay::on_datagram(io::Completion&& completion) {
  if (state_ == State::kClosing) {
    completion.data.reset();
    return close_if_done();
  }
  if (!completion.more) return;  // An error of the socket itself: the next sweep arms it again.
  io::Slice data = std::move(completion.data);
  observe::StreamStats& stats = context_.stats.stream;
  stats.datagrams_received += datagrams(data.size(), recv_.segment_bytes);
  stats.bytes_received += data.size();
  if (recv_.truncated) drop(DatagramDrop::kTooLarge);
  if (!keep_whole(data, recv_)) return;
  const io::SocketAddress local = wildcard_ ? recv_.local : io::SocketAddress();
  const UdpKey key = udp_key(recv_.peer, local);
  Session* session = find(key);
  if (session == nullptr) {
    const auto opened = open_session({key, recv_.peer, local}, nullptr);
    if (!opened) return drop(opened.error());
    session = *opened;
  }
  session->bytes_received += data.size();
  touch(*session);
  forward(*session, std::move(data), recv_.segment_bytes);
}

UdpRelay::Session* UdpRelay::find(const UdpKey& key) {
  const auto found = sessions_.find(key);
  return found == sessions_.end() ? nullptr : found->second.get();
}

std::expected<UdpRelay::Session*, DatagramDrop> UdpRelay::open_session(
    const Client& client, const upstream::EndpointState* refused) {
  if (state_ != State::kOpen) return std::unexpected(DatagramDrop::kStopping);
  if (sessions_.size() >= std::max(listener_->stream->connections_max / workers_, 1u))
    return std::unexpected(DatagramDrop::kTableFull);
  auto cluster = context_.snapshots.current().cluster(listener_->stream_cluster);
  if (cluster == nullptr) return std::unexpected(DatagramDrop::kNoEndpoint);
  const uint64_t now_ns = context_.now_ns();
  const upstream::EndpointRef* chosen =
      context_.load.pick(*cluster, {&refused, refused == nullptr ? 0u : 1u}, now_ns);
  if (chosen == nullptr) return std::unexpected(DatagramDrop::kNoEndpoint);
  if (chosen->state.get() == refused) return std::unexpected(DatagramDrop::kRefused);
  const auto socket = open_socket(client, chosen->state->address);
  if (!socket) return std::unexpected(DatagramDrop::kNoSocket);
  auto made = std::make_unique<Session>(*this);
  Session& session = *made;
  session.client = client;
  session.cluster = std::move(cluster);
  session.endpoint = chosen->state;
  session.socket = *socket;
  session.begin_ns = session.activity_ns = now_ns;
  context_.load.begin(*session.cluster, *session.endpoint);
  ++context_.stats.stream.sessions;
  ++context_.stats.stream.sessions_active;
  context_.ring.recv_datagrams(session.recv, session.socket);
  sessions_.emplace(client.key, std::move(made));
  link(session);
  return &session;
}

std::expected<io::Socket, int> UdpRelay::open_socket(const Client& client,
                                                     const io::SocketAddress& endpoint) {
  std::optional<io::SocketAddress> source;
  if (listener_->stream->source == config::StreamSource::kClient) {
    source = net::client_source(client.peer, endpoint);
    if (!source) ++context_.stats.stream.own_sources;
  }
  return context_.ring.open_datagram(endpoint, source ? &*source : nullptr);
}

// ---- from endpoints ----

void UdpRelay::Session::on_datagram(io::Completion&& completion) {
  if (ending) {
    completion.data.reset();
    return relay.free_if_gone(*this);
  }
  if (!completion.more) {
    if (completion.result == -ECONNREFUSED) return relay.refuse(*this);
    failure = observe::StreamFailure::kServerReset;
    return relay.end(*this, upstream::Outcome::kAbandoned);
  }
  io::Slice data = std::move(completion.data);
  observe::StreamStats& stats = relay.context_.stats.stream;
  if (!std::exchange(answered, true))
    upstream::note_success(*cluster, *endpoint, relay.context_.now_ns());
  if (recv.truncated) relay.drop(DatagramDrop::kTooLarge);
  if (!keep_whole(data, recv)) return;
  const uint64_t count = datagrams(data.size(), recv.segment_bytes);
  stats.datagrams_sent += count;
  stats.bytes_sent += data.size();
  bytes_sent += data.size();
  responses += count;
  relay.touch(*this);
  relay.answer(client.peer, client.local, std::move(data), recv.segment_bytes);
  const uint32_t limit = relay.listener_->stream->udp_responses;
  if (limit != 0 && responses >= limit) relay.end(*this, upstream::Outcome::kAbandoned);
}

// Nobody listens at the endpoint: that counts against it. What the client sends goes to another
// one, and without one the session is over.
void UdpRelay::refuse(Session& session) {
  const Client client = session.client;
  const std::shared_ptr<upstream::EndpointState> refused = session.endpoint;
  session.failure = observe::StreamFailure::kConnect;
  end(session, upstream::Outcome::kConnectFailure);
  if (open_session(client, refused.get())) ++context_.stats.stream.retries;
}

// ---- sending ----

UdpRelay::Sending* UdpRelay::take_sending() {
  if (free_sendings_.empty()) {
    if (sendings_.size() == kSendsMax) return nullptr;
    sendings_.push_back(std::make_unique<Sending>());
    Sending& made = *sendings_.back();
    made.relay = this;
    io::bind<&Sending::on_sent>(made.op, made);
    free_sendings_.reserve(sendings_.capacity());
    return &made;
  }
  Sending* sending = free_sendings_.back();
  free_sendings_.pop_back();
  return sending;
}

void UdpRelay::forward(Session& session, io::Slice data, uint32_t segment_bytes) {
  Sending* sending = take_sending();
  if (sending == nullptr) return drop(DatagramDrop::kSendFull);
  sending->session = &session;
  sending->op.to.length = 0;
  sending->op.from = io::SocketAddress();
  ++session.sends_in_flight;
  send(*sending, std::move(data), segment_bytes, session.socket);
}

void UdpRelay::answer(const io::SocketAddress& to, const io::SocketAddress& from, io::Slice data,
                      uint32_t segment_bytes) {
  Sending* sending = take_sending();
  if (sending == nullptr) return drop(DatagramDrop::kSendFull);
  sending->session = nullptr;
  sending->op.to = to;
  sending->op.from = from;
  ++replies_in_flight_;
  send(*sending, std::move(data), segment_bytes, socket_);
}

void UdpRelay::send(Sending& sending, io::Slice data, uint32_t segment_bytes, io::Socket socket) {
  sending.data = std::move(data);
  sending.vector = {const_cast<std::byte*>(sending.data.data()), sending.data.size()};
  sending.op.segment_bytes = segment_bytes;
  context_.ring.send_datagram(sending.op, socket, {&sending.vector, 1});
}

void UdpRelay::Sending::on_sent(io::Completion&& completion) {
  UdpRelay& owner = *relay;
  Session* by = std::exchange(session, nullptr);
  --(by == nullptr ? owner.replies_in_flight_ : by->sends_in_flight);
  if (completion.result < 0) owner.on_unsent(*this, by, -completion.result);
  data.reset();
  owner.free_sendings_.push_back(this);
  if (by == nullptr) return owner.close_if_done();
  if (by->ending) owner.free_if_gone(*by);
}

void UdpRelay::on_unsent(Sending& sending, Session* by, int error) {
  if (error == EAGAIN || error == ENOBUFS || error == ENOMEM) return drop(DatagramDrop::kSendFull);
  const bool refused_together = error == EINVAL || error == EMSGSIZE || error == EIO;
  if (refused_together && sending.op.segment_bytes != 0) return send_singly(sending, by);
  if (error != ECONNREFUSED || by == nullptr) return drop(DatagramDrop::kSendFailed);
  // The refusal belongs to an earlier datagram; this one was not sent.
  const UdpKey key = by->client.key;
  if (!by->ending) refuse(*by);
  Session* next = find(key);
  if (next == nullptr) return drop(DatagramDrop::kRefused);
  next->bytes_received += sending.data.size();
  forward(*next, std::move(sending.data), sending.op.segment_bytes);
}

// The device or the path takes no trains of datagrams, or none of this length.
void UdpRelay::send_singly(const Sending& sending, Session* by) {
  if (by == nullptr ? state_ == State::kClosing : by->ending) return;
  const io::Slice& data = sending.data;
  for (uint32_t at = 0; at < data.size(); at += sending.op.segment_bytes) {
    io::Slice one = data.share(at, std::min(sending.op.segment_bytes, data.size() - at));
    if (by != nullptr) {
      forward(*by, std::move(one), 0);
    } else {
      answer(sending.op.to, sending.op.from, std::move(one), 0);
    }
  }
}

// ---- sessions and time ----

void UdpRelay::touch(Session& session) {
  session.activity_ns = context_.now_ns();
  if (newest_ == &session) return;
  unlink(session);
  link(session);
}

void UdpRelay::link(Session& session) {
  session.older = newest_;
  (newest_ == nullptr ? oldest_ : newest_->newer) = &session;
  newest_ = &session;
}

void UdpRelay::unlink(Session& session) {
  (session.older == nullptr ? oldest_ : session.older->newer) = session.newer;
  (session.newer == nullptr ? newest_ : session.newer->older) = session.older;
  session.older = session.newer = nullptr;
}

void UdpRelay::on_timer() {
  end_idle();
  leave_gone_endpoints();
  if (!recv_.in_flight) context_.ring.recv_datagrams(recv_, socket_);
  const uint64_t now_ns = context_.now_ns();
  if (state_ == State::kStopping && (sessions_.empty() || now_ns >= stop_deadline_ns_))
    return drain();
  context_.timers.arm(timer_, now_ns + kSweepNs);
}

void UdpRelay::end_idle() {
  const uint64_t configured_ns = listener_->stream->idle_timeout_ns;
  const uint64_t idle_ns =
      state_ == State::kOpen ? configured_ns : std::min(kQuietNs, configured_ns);
  const uint64_t now_ns = context_.now_ns();
  while (oldest_ != nullptr && now_ns - oldest_->activity_ns >= idle_ns)
    end(*oldest_, upstream::Outcome::kAbandoned);
}

// Looks at the sessions only when the cluster is another than the last time.
void UdpRelay::leave_gone_endpoints() {
  auto cluster = context_.snapshots.current().cluster(listener_->stream_cluster);
  if (cluster == seen_) return;
  seen_ = std::move(cluster);
  std::unordered_set<const upstream::EndpointState*> serving;
  if (seen_ != nullptr) {
    for (const upstream::EndpointRef& endpoint : seen_->endpoints) {
      if (endpoint.ready || endpoint.serving) serving.insert(endpoint.state.get());
    }
  }
  for (Session* at = oldest_; at != nullptr;) {
    Session* next = at->newer;
    if (!serving.contains(at->endpoint.get())) end(*at, upstream::Outcome::kAbandoned);
    at = next;
  }
}

void UdpRelay::end(Session& session, upstream::Outcome outcome) {
  if (session.ending) return;
  session.ending = true;
  unlink(session);
  auto found = sessions_.find(session.client.key);
  CHECK(found != sessions_.end() && found->second.get() == &session);
  ending_.emplace(&session, std::move(found->second));
  sessions_.erase(found);
  if (context_.load.end(*session.cluster, *session.endpoint, outcome, context_.now_ns()))
    ++context_.stats.ejections;
  observe::StreamStats& stats = context_.stats.stream;
  --stats.sessions_active;
  if (session.failure != observe::StreamFailure::kNone)
    ++stats.failures[static_cast<size_t>(session.failure)];
  if (context_.access_log.enabled()) log_access(session);
  if (session.recv.in_flight) context_.ring.cancel(session.recv);
  free_if_gone(session);
}

void UdpRelay::free_if_gone(Session& session) {
  if (session.recv.in_flight || session.sends_in_flight > 0 || session.closing) return;
  session.closing = true;
  context_.ring.close(session.close, session.socket);
}

void UdpRelay::Session::on_close(io::Completion&&) {
  UdpRelay& owner = relay;
  owner.ending_.erase(this);  // Frees *this.
  owner.close_if_done();
}

void UdpRelay::stop() {
  if (state_ == State::kNew) return drain();
  if (state_ != State::kOpen) return;
  state_ = State::kStopping;  // The next sweep looks.
  stop_deadline_ns_ = context_.now_ns() + listener_->stream->idle_timeout_ns;
}

void UdpRelay::drain() {
  if (state_ == State::kClosing || state_ == State::kClosed) return;
  state_ = State::kClosing;
  timer_.cancel();
  while (oldest_ != nullptr) end(*oldest_, upstream::Outcome::kAbandoned);
  if (recv_.in_flight) context_.ring.cancel(recv_);
  close_if_done();
}

void UdpRelay::close_if_done() {
  if (state_ != State::kClosing || recv_.in_flight || replies_in_flight_ > 0 || !ending_.empty() ||
      close_.in_flight)
    return;
  context_.ring.close(close_, socket_);
}

void UdpRelay::on_close(io::Completion&&) { state_ = State::kClosed; }

void UdpRelay::log_access(const Session& session) {
  std::array<char, net::kIpTextMax> text{};
  observe::StreamRecord record;
  record.duration_ns = context_.now_ns() - session.begin_ns;
  record.wall_ns = context_.wall_ns() - static_cast<int64_t>(record.duration_ns);
  record.peer = net::ip_text(session.client.peer, text);
  record.protocol = "UDP";
  record.listener = listener_->name;
  record.cluster = session.cluster->name;
  record.bytes_received = session.bytes_received;
  record.bytes_sent = session.bytes_sent;
  record.upstream = session.endpoint->text;
  record.tries = 1;
  record.failure = session.failure;
  if (!context_.access_log.append(record)) ++context_.stats.access_log_dropped;
}

}  // namespace ringway::proxy
