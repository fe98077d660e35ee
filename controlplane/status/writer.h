// Writes status.loadBalancer of the Ingresses that are served, and Events about their problems and
// those of the controller's ConfigMap.
// Only while leading; only what differs from what is there.
//
// Invariants: (1) an Ingress whose status is as wanted is never written; (2) a status is never
// emptied but by finish(): no address is what a mistyped Service, a load balancer that is being
// made and an API server that is away look like, and DNS follows the status; (3) who does not lead
// does not write.
//
// The status of an Ingress is read here, by lists of its namespace: the source leaves it out, so
// that nothing is translated again because a status changed.
//
// Thread rule: step() and finish() on one thread at a time; stats() from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "controlplane/kube/caller.h"
#include "controlplane/status/addresses.h"
#include "controlplane/status/events.h"
#include "controlplane/status/feed.h"
#include "controlplane/status/pace.h"

namespace ringway::status {

struct WriterOptions {
  bool update_status = true;              // --update-status; needs something to publish.
  bool on_shutdown = true;                // --update-status-on-shutdown
  std::string instance;                   // Who we are, in Events.
  uint64_t look_ns = 10 * kNsPerSecond;   // How often the published Service is read.
  uint64_t list_ns = 300 * kNsPerSecond;  // How often it is checked what others made of a status.
};

struct WriterStats {
  std::atomic<uint64_t> status_writes = 0;
  std::atomic<uint64_t> status_failures = 0;
  std::atomic<uint64_t> events = 0;
};

class Writer {
 public:
  // `leads`: whether we may write now; asked before every write.
  Writer(kube::Caller& api, Feed& feed, PublishOptions publish, WriterOptions options,
         std::function<bool()> leads);

  // Does what is due. Returns when to come again (monotonic).
  uint64_t step(uint64_t now_ns, int64_t wall_ns);
  // At the end of the leader's process: takes our addresses out of all Ingresses when Ringway is
  // being uninstalled (the published Service is gone), or, with a fixed address, when `last()`: no
  // other controller runs. At most 10 s.
  void finish(uint64_t now_ns, const std::function<bool()>& last);
  // Before an uninstallation, by a process that does nothing else: takes our addresses out of all
  // Ingresses, whoever leads. false: some may be left. `deadline_ns`: monotonic.
  bool take_out(uint64_t now_ns, uint64_t deadline_ns);

  const WriterStats& stats() const { return stats_; }

 private:
  struct Entry {
    std::string uid;
    std::optional<Addresses> current;  // What we saw or wrote last; nullopt: not looked at yet.
    bool refused = false;              // The object cannot be written; until it changes.
  };

  void absorb();
  void resume();
  bool look(uint64_t now_ns);  // false: it could not be read.
  // Reads the status of the Ingresses of the namespaces in unlisted_.
  void list(uint64_t now_ns);
  bool list_namespace(const std::string& ns);
  uint64_t write_all(uint64_t now_ns);
  bool write(const model::ObjectKey& key, Entry& entry, uint64_t now_ns);
  bool read_anew(uint64_t now_ns);
  bool empty_all(uint64_t now_ns, uint64_t deadline_ns);
  void update_events(int64_t wall_ns);

  kube::Caller& api_;
  Feed& feed_;
  AddressReader reader_;
  const WriterOptions options_;
  const std::function<bool()> leads_;
  std::map<model::ObjectKey, Entry> entries_;
  Problems problems_;
  model::ObjectPtr config_map_;
  bool events_due_ = false;
  bool led_ = false;

  std::optional<Addresses> wanted_;  // Not empty before finish(); nullopt: not known.
  bool gone_ = false;
  uint64_t look_at_ns_ = 0;
  std::string complaint_;
  std::set<std::string> unlisted_;  // Namespaces with Ingresses whose status is not known.
  uint64_t list_at_ns_ = 0;
  Pause list_pause_;
  Pause pause_;
  std::string write_complaint_;  // A fault that repeats is logged once.
  EventWriter events_;
  WriterStats stats_;
};

}  // namespace ringway::status
