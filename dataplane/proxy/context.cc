#include "dataplane/proxy/context.h"

#include <ctime>

#include "base/clock.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/transport.h"

namespace ringway::proxy {

Context::Context(io::Ring& ring_in, io::TimerWheel& timers_in, observe::WorkerStats& stats_in,
                 observe::AccessLog& access_log_in, upstream::WorkerLoad& load_in, SnapshotPins& snapshots_in,
                 Random& random_in, int64_t (*wall_clock_in)())
    : ring(ring_in), timers(timers_in), stats(stats_in), access_log(access_log_in), load(load_in),
      snapshots(snapshots_in), random(random_in), wall_clock(wall_clock_in) {}

Context::~Context() {
  recycle_exchanges();
  CHECK(dirty_.empty());
  CHECK(free_exchanges_.size() == exchanges_.size());
  CHECK(free_vectors_.size() == vector_blocks_.size());
}

void Context::refresh_wall_clock() {
  wall_base_ns_ = wall_clock();
  wall_read_ns_ = now_ns();
  const time_t seconds = wall_base_ns_ / static_cast<int64_t>(kNsPerSecond);
  tm parts{};
  gmtime_r(&seconds, &parts);
  strftime(date_.data(), date_.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

std::string_view Context::date() {
  // Read again every second of the monotonic clock: the header may lag the wall clock by that much.
  if (wall_read_ns_ == 0 || now_ns() - wall_read_ns_ >= kNsPerSecond) refresh_wall_clock();
  return {date_.data(), 29};
}

void Context::mark_dirty(Transport& transport) {
  if (transport.dirty_) return;
  transport.dirty_ = true;
  dirty_.push_back(&transport);
}

void Context::flush_dirty() {
  // A flush that fails (TLS) ends its exchange, whose other side may have something to send then.
  while (!dirty_.empty()) {
    flushing_.swap(dirty_);
    for (Transport* transport : flushing_) {
      transport->dirty_ = false;
      transport->flush();
    }
    flushing_.clear();
  }
}

Exchange* Context::take_exchange() {
  if (free_exchanges_.empty()) {
    exchanges_.push_back(std::make_unique<Exchange>(*this));
    free_exchanges_.reserve(exchanges_.capacity());
    ended_exchanges_.reserve(exchanges_.capacity());
    return exchanges_.back().get();
  }
  Exchange* exchange = free_exchanges_.back();
  free_exchanges_.pop_back();
  return exchange;
}

void Context::give_exchange(Exchange* exchange) { ended_exchanges_.push_back(exchange); }

void Context::recycle_exchanges() {
  for (Exchange* exchange : ended_exchanges_) {
    exchange->recycle();
    free_exchanges_.push_back(exchange);
  }
  ended_exchanges_.clear();
}

iovec* Context::take_vectors() {
  if (free_vectors_.empty()) {
    vector_blocks_.push_back(std::make_unique<iovec[]>(kSendVectors));
    free_vectors_.reserve(vector_blocks_.capacity());
    return vector_blocks_.back().get();
  }
  iovec* vectors = free_vectors_.back();
  free_vectors_.pop_back();
  return vectors;
}

void Context::give_vectors(iovec* vectors) { free_vectors_.push_back(vectors); }

}  // namespace ringway::proxy
