// The validating webhook: HTTPS for the API server, which asks whether an Ingress may be stored.
//
// It only translates in memory and answers: it runs nothing, writes nothing, and asks nobody. A
// webhook is reachable for every pod of a cluster unless a NetworkPolicy says otherwise, so what it
// reads is bounded in size and time, and with a client CA nobody but the API server gets past the
// handshake. Thread rule: start and destroy on one thread; `look` is called from up to kThreads
// threads of the server.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "controlplane/admission/tls_files.h"
#include "controlplane/model/object.h"
#include "controlplane/translate/translator.h"

namespace ringway::admission {

struct WebhookOptions {
  std::string address;  // "0.0.0.0:8443", "[::]:8443"; port 0 takes a free one.
  TlsPaths tls;
};

// Written by the webhook, read by scrapes. "last": of the latest review that was judged.
struct WebhookStats {
  std::atomic<uint64_t> allowed = 0;
  std::atomic<uint64_t> refused = 0;
  std::atomic<uint64_t> failed = 0;  // No review, or the objects are not read yet.
  std::atomic<uint64_t> roundtrip_ns_total = 0;
  std::atomic<uint64_t> roundtrip_ns_last = 0;  // From the whole body to the answer.
  std::atomic<uint64_t> tested_ns_last = 0;     // Of that, the translation.
  std::atomic<uint64_t> tested_ingresses_last = 0;
  std::atomic<uint64_t> output_bytes_last = 0;  // Of the route tables that it would change.
};

// nullopt: the objects are not read yet; answered with 503, so that failurePolicy decides.
using Look = std::function<std::optional<translate::Preview>(const model::Object& ingress)>;

class Webhook {
 public:
  static constexpr unsigned kThreads = 8;  // One for each connection that is open.

  // The error is one line. `stats` outlives the webhook.
  static std::expected<std::unique_ptr<Webhook>, std::string> start(const WebhookOptions& options,
                                                                    Look look, WebhookStats& stats);
  ~Webhook();  // Ends open connections; `look` is not called after it.
  int port() const;

 private:
  class State;
  explicit Webhook(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringway::admission
