// What the controller does in a cluster beside serving proxies, put together: a client of its own
// for the API server, the certificates of the discovery link, the elector, the status writer.
//
// Each runs on a thread of its own, so that a slow write of ten thousand statuses delays no renewal
// of the Lease. Thread rule: one thread; translated() from any thread.
#pragma once

#include <atomic>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/base/ticker.h"
#include "controlplane/cluster_flags.h"
#include "controlplane/identity/kube_secret_store.h"
#include "controlplane/identity/webhook_bundle.h"
#include "controlplane/kube/api_client.h"
#include "controlplane/kube/caller.h"
#include "controlplane/leader/elector.h"
#include "controlplane/leader/metrics.h"
#include "controlplane/leader/silence.h"
#include "controlplane/serve/server.h"
#include "controlplane/status/feed.h"
#include "controlplane/status/metrics.h"
#include "controlplane/status/writer.h"

namespace ringway {

class Cluster {
 public:
  // Finds the API server when one is needed. `proxies`: they connect by TCP. The error is one line.
  static std::expected<std::unique_ptr<Cluster>, std::string> make(const ClusterOptions& options,
                                                                   bool proxies);
  ~Cluster();  // stop()

  // One try to get certificates for the discovery server and the webhook; until it succeeds these
  // cannot start. They get the paths. Succeeds at once when they are files, or there are none.
  std::expected<void, std::string> prepare_link(serve::ServerOptions& server,
                                                admission::WebhookOptions& webhook);
  // From here on certificates are renewed, and the leader writes.
  void start();
  // Whether the API server has long been silent; and that it is time for proxies to go to other
  // controllers (leader/silence.h). Without an election nobody asks regularly. Set before start();
  // called on a thread of the cluster's until stop().
  std::function<void(bool silent)> on_silence;
  std::function<void()> on_send_away;
  void translated(const translate::Translation& translation);
  // Instead of start(): takes our addresses out of the Ingresses that were translated. false: some
  // may be left.
  bool take_out_status();
  // Takes our addresses out of the Ingresses if it is time for that, and gives the Lease back.
  void stop();

  std::vector<const prometheus::Collectable*> metrics() const;

 private:
  explicit Cluster(const ClusterOptions& options) : options_(options) {}
  bool is_last();
  void watch_silence(uint64_t now_ns);
  std::expected<void, std::string> renew_certificates();

  const ClusterOptions options_;
  std::unique_ptr<kube::ApiClient> client_;
  std::unique_ptr<kube::ClientCaller> api_;
  std::unique_ptr<identity::KubeSecretStore> secrets_;
  std::unique_ptr<identity::Keeper> keeper_;
  std::unique_ptr<identity::WebhookBundle> bundle_;
  std::unique_ptr<leader::Elector> elector_;
  std::unique_ptr<leader::Metrics> leader_metrics_;
  status::Feed feed_;
  std::unique_ptr<status::Writer> writer_;
  std::unique_ptr<status::Metrics> writer_metrics_;
  std::string link_complaint_;
  std::optional<leader::Silence> silence_;                              // Of the elector's thread.
  std::optional<Ticker> link_ticker_, elector_ticker_, writer_ticker_;  // Last: they use the above.
};

}  // namespace ringway
