// Turns transactions of resources into snapshots. Compiles what a transaction changes and shares
// everything else with the snapshot before; refuses a transaction as a whole, with the resource and
// the reason, and is then as if it had never seen it.
//
// Thread rule: the control thread's. Snapshots may be read anywhere.
// Invariants: (1) apply() either gives a snapshot that has all of the transaction, or leaves
// builder and snapshots untouched; (2) what a snapshot contains depends on the resources held only,
// not on the order they came in (slots and revisions excepted). Not a reason to refuse, because the
// parts of a configuration may come and go on their own: a route or listener that names a cluster
// that does not exist (503), a listener that names a certificate that does not exist (self-signed),
// a route set without listener.
#pragma once

#include <expected>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dataplane/config/compile_route.h"
#include "dataplane/config/discovery/resource_set.h"
#include "dataplane/config/discovery/transaction_sink.h"
#include "dataplane/config/metrics_slots.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/tls/server_context.h"
#include "dataplane/upstream/endpoint_registry.h"

namespace ringway::config {

using SnapshotPointer = std::shared_ptr<const Snapshot>;

class SnapshotBuilder {
 public:
  // Registry and slots outlive the builder. `source`: of every listener's relays.
  SnapshotBuilder(upstream::EndpointRegistry& endpoints, MetricsSlots& metrics,
                  StreamSource source = StreamSource::kProxy);
  ~SnapshotBuilder();
  SnapshotBuilder(const SnapshotBuilder&) = delete;
  SnapshotBuilder& operator=(const SnapshotBuilder&) = delete;

  // A difference, as Transaction: upserts replace resources of their key, removals of what is not
  // held are nothing. A resource with the non-zero version that is held already is taken as
  // unchanged. `full`: the sender described its whole state; noted in Snapshot::complete.
  std::expected<SnapshotPointer, Rejection> apply(std::span<const v1::Resource> upserts,
                                                  std::span<const ResourceKey> removals, bool full,
                                                  const std::string& version);
  std::expected<SnapshotPointer, Rejection> apply(const Transaction& transaction) {
    return apply(transaction.upserts, transaction.removals, transaction.full, transaction.version);
  }

  struct CertificateExpiry {
    std::string name;
    int64_t not_after_unix_seconds;
  };
  std::vector<CertificateExpiry> certificate_expiries() const;  // By name.

  // The last one given out; at first an empty one.
  const SnapshotPointer& snapshot() const { return snapshot_; }

 private:
  struct Cluster {
    ClusterLease lease;
    uint64_t policy_version = 0;
    uint64_t endpoints_version = 0;
    bool has_policy = false;  // There is a Cluster resource: only then the cluster exists.
    bool has_endpoints = false;
    std::shared_ptr<const upstream::Cluster> compiled;
  };
  struct Table {
    uint64_t version = 0;
    CompiledTable compiled;
  };
  struct ListenerEntry {
    uint64_t version = 0;
    v1::Listener resource;  // Compiled again when certificates change.
    std::vector<ClusterLease> clusters;  // Keep the slots that the listener names.
    std::shared_ptr<const Listener> compiled;
  };
  struct CertificateEntry {
    uint64_t version = 0;
    std::vector<std::string> hosts;
    std::shared_ptr<const tls::Certificate> certificate;
  };
  struct ClusterChange {
    const v1::Resource* policy = nullptr;
    const v1::Resource* endpoints = nullptr;
    bool remove_policy = false;
    bool remove_endpoints = false;
  };
  // What a transaction comes to, compiled; taken over at the end or dropped. An empty optional is a
  // removal.
  struct Stage;
  using Step = std::expected<void, Rejection>;

  Step sort_in(std::span<const v1::Resource> upserts, std::span<const ResourceKey> removals,
               Stage& stage) const;
  Step stage_clusters(Stage& stage);
  Step stage_cluster(const std::string& name, const ClusterChange& change, Stage& stage);
  Step stage_certificates(Stage& stage);
  Step stage_tables(Stage& stage);
  Step stage_listeners(Stage& stage);
  Step stage_listener(const std::string& name, const v1::Resource* upsert, Stage& stage);
  void take_clusters(ListenerEntry& entry, Listener& listener);
  Step check_addresses(const Stage& stage) const;
  std::shared_ptr<tls::ServerContext> make_tls(const v1::TlsOptions& options,
                                               const tls::ServerPolicy& policy, const Stage& stage);
  const CertificateEntry* certificate(const std::string& name, const Stage& stage) const;
  void commit(Stage&& stage, Snapshot& next);
  void commit_clusters(Stage& stage, Snapshot& next);
  static void count_endpoints(const upstream::Cluster* before, const upstream::Cluster* after);
  void commit_tables(Stage& stage, Snapshot& next);

  upstream::EndpointRegistry& endpoints_;
  StreamSource source_;
  ClusterSlots cluster_slots_;
  RouteCompiler routes_;
  std::unordered_map<std::string_view, Cluster> clusters_;  // Keys lie in the entries' own leases.
  std::unordered_map<std::string, Table> tables_;           // By resource name.
  std::map<std::string, ListenerEntry> listeners_;
  std::map<std::string, CertificateEntry> certificates_;
  std::shared_ptr<const tls::Certificate> self_signed_;  // Made when first needed.
  uint64_t revision_ = 0;
  SnapshotPointer snapshot_;
};

}  // namespace ringway::config
