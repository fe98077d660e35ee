// One active check of one endpoint: connect, ask, judge, close. A fresh connection per check, so
// that it tests what a new client would meet.
//
// Thread rule: the ring's thread. Invariants: (1) a probe reports exactly once, from Ring::turn()
// or from start(), when none of its ops is in flight any more; the owner may destroy it then; (2)
// there is one way to end: conclude() -> all ops back -> close -> report.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/io/op.h"
#include "dataplane/io/ring.h"
#include "dataplane/tls/session.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/health_exchange.h"

namespace ringway::upstream {

class HealthProbe {
 public:
  class Owner {
   public:
    virtual void on_probe_done(HealthProbe& probe, Verdict verdict, std::string_view reason) = 0;

   protected:
    ~Owner() = default;
  };

  // `policy` and `endpoint` outlive the probe. The owner keeps the time and calls time_out().
  HealthProbe(io::Ring& ring, const HealthCheckPolicy& policy, const EndpointState& endpoint,
              Owner& owner);
  ~HealthProbe();
  HealthProbe(const HealthProbe&) = delete;
  HealthProbe& operator=(const HealthProbe&) = delete;

  void start();     // Once.
  void time_out();  // Ends the check as failed, unless it is judged already.
  void drain();     // Ends it as kUnknown.

 private:
  enum class State : uint8_t { kNew, kConnecting, kExchanging, kClosing, kDone };

  void on_connect(io::Completion&& completion);
  void on_send(io::Completion&& completion);
  void on_recv(io::Completion&& completion);
  void on_close(io::Completion&& completion);
  void begin_exchange();
  void send();
  bool receive_tls(io::Slice data);
  void conclude(Verdict verdict, std::string_view reason);
  void close_if_quiet();

  io::Ring& ring_;
  const HealthCheckPolicy& policy_;
  const EndpointState& endpoint_;
  Owner& owner_;
  State state_ = State::kNew;
  Verdict verdict_ = Verdict::kUnknown;
  std::string_view reason_;
  io::Socket socket_;
  io::ConnectOp connect_;
  io::SendOp send_;
  io::Op recv_;
  io::Op close_;
  iovec vector_{};
  std::unique_ptr<HealthExchange> exchange_;  // Of HTTP and gRPC checks, while one is under way.
  std::unique_ptr<tls::Session> tls_;
  io::SliceQueue cipher_;  // With tls_: what is to be sent.
};

}  // namespace ringway::upstream
