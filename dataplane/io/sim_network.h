// The test's side of a simulated network: peers that talk to the proxy under a SimRing. See
// sim_ring.h.
//
// Thread rule: the ring's thread. Callbacks run from SimRing::turn(), between completions of the
// proxy, never inside one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/io/op.h"

namespace ringway::io {

class SimRing;

// How often things go wrong. Percent of the occasions, unless said otherwise; all zero is a calm
// network.
struct SimFaults {
  uint32_t short_send = 0;     // A send takes only a part.
  uint32_t split_receive = 0;  // A receive gets 1 to 16 bytes of what is there.
  uint32_t late = 0;  // A completion comes up to 20 ms after its effect, overtaken by others.
  uint32_t cancel_race = 50;     // A cancelled op that could have completed does so normally.
  uint32_t reset_per_10000 = 0;  // A receive or send finds the connection reset.
  uint32_t connect_refused = 0;
  uint32_t connect_lost =
      0;  // No answer ever; ETIMEDOUT after 127 s, as Linux does with its six SYN retries.
  uint32_t accept_exhausted = 0;   // accept() ends with EMFILE; the connection stays in the queue.
  uint32_t open_exhausted = 0;     // open_stream() answers EMFILE.
  uint32_t datagram_lost = 0;
  uint32_t segments_refused = 0;   // A send of several datagrams ends with EINVAL.
  uint32_t buffers_exhausted = 0;  // A receive finds its pool empty though it is not.
};

struct SimOptions {
  uint64_t seed = 1;
  SimFaults faults;
  uint64_t start_ns = 1'000'000'000;  // The clock when the ring is made.
  uint64_t latency_ns_min = 20'000;   // One way.
  uint64_t latency_ns_max = 500'000;
  bool keep_trace = false;  // SimRing::trace(): a line for each completion.
};

// Bytes under way in one direction, in order.
struct SimPipe {
  std::string bytes;  // From `head`: arrived, then still travelling.
  size_t head = 0;
  size_t arrived = 0;  // Readable bytes at the head.
  uint64_t last_event_ns = 0;
  bool fin_sent = false;
  bool fin_arrived = false;

  size_t held() const { return bytes.size() - head; }
  void take(size_t count);
};

// The other end of one connection of the proxy: a client that dialled it, or a server that it
// connected to. Owned by the SimRing, lives as long as it.
class SimPeer {
 public:
  // What came from the proxy. Without on_data the bytes gather in received().
  std::function<void(SimPeer&)>
      on_connected;  // The connection stands (for a dialled one: accepted into the queue).
  std::function<void(SimPeer&, std::string_view)> on_data;
  std::function<void(SimPeer&)> on_end;    // The proxy ended its direction.
  std::function<void(SimPeer&)> on_reset;  // Reset, or refused.

  // Any number of bytes: they wait here until the proxy receives them (unread_by_proxy()). Ignored
  // when closed.
  void write(std::string_view bytes);
  void half_close();  // FIN behind what was written.
  void close();       // Both directions; a reset when bytes of the proxy have not been read.
  void reset();       // RST: what is travelling is lost.
  // What the proxy may have under way and unread here before its sends stop. At least 1; takes
  // effect at once.
  void set_window(size_t bytes);
  void pause();  // Stops reading: arrived bytes fill the window.
  void resume();

  const std::string& received() const { return received_; }
  std::string take_received() { return std::exchange(received_, {}); }
  size_t bytes_received() const { return bytes_received_; }
  size_t unread_by_proxy() const { return to_proxy_.held(); }
  bool connected() const { return connected_; }
  bool ended() const { return to_peer_.fin_arrived; }  // FIN seen.
  bool was_reset() const { return reset_seen_; }
  bool closed() const { return closed_; }  // By close() or reset() here, or by a reset from there.
  uint64_t id() const { return id_; }
  // Of a server: where the proxy said that it connects from; length 0: nowhere.
  const SocketAddress& source() const { return source_; }
  // The proxy has closed its socket.
  bool closed_by_proxy() const { return socket_ < 0 && connected_; }

 private:
  friend class SimRing;
  SimPeer(SimRing& ring, uint64_t id) : ring_(ring), id_(id) {}
  void read_arrived();

  SimRing& ring_;
  uint64_t id_;
  SocketAddress address_;  // Of this end, as the proxy sees it.
  SocketAddress source_;   // Of the proxy's end, where it chose one.
  SimPipe to_proxy_;
  SimPipe to_peer_;
  size_t window_ = 256 * 1024;
  std::string received_;
  size_t bytes_received_ = 0;
  int32_t socket_ = -1;  // The proxy's end; -1 before accept and after close.
  bool connected_ = false;
  bool paused_ = false;
  bool closed_ = false;
  bool reset_seen_ = false;
  bool proxy_reset_ = false;       // The proxy's end has been reset ...
  bool proxy_reset_told_ = false;  // ... and a receive has said so.
  bool proxy_closed_ = false;
  bool end_told_ = false;
};

}  // namespace ringway::io
