#include "controlplane/kube/kubernetes_source.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

namespace ringway::kube {
namespace {

using model::Kind;
using std::chrono::milliseconds;

// Events that come this close together are one batch; the sum is bounded, so that a busy cluster
// does not starve. A change waits kQuiet at least.
constexpr uint64_t kQuietNs = 2 * kNsPerMs;
constexpr uint64_t kQuietMaxNs = 20 * kNsPerMs;
// References and problems are looked at once for all events that came together.
constexpr milliseconds kSettle{1};
// Named objects that are asked for at the same time. Each takes a stream of a connection for good;
// many at once would make a connection each, before the first of them is known to take a hundred.
constexpr size_t kOpeningMax = 8;
// Secrets of Helm's releases: up to a megabyte each, and never referenced.
constexpr const char* kNoReleases = "type!=helm.sh/release.v1";

std::vector<ObjectName> fixed_names(const SourceOptions& options,
                                    const translate::Options& translate) {
  std::vector<ObjectName> names;
  const auto add = [&](Kind kind, const std::string& text) {
    if (const size_t slash = text.find('/'); slash != std::string::npos) {
      names.push_back({kind, text.substr(0, slash), text.substr(slash + 1)});
    }
  };
  add(Kind::kSecret, translate.default_certificate);
  for (const std::string& configmap : options.configmaps) add(Kind::kConfigMap, configmap);
  return names;
}

}  // namespace

KubernetesSource::KubernetesSource(ApiClient& client, SourceOptions options,
                                   const translate::Options& translate)
    : client_(client),
      options_(std::move(options)),
      translate_(translate),
      default_backend_(translate::parse_backend_option(translate.default_backend)),
      random_(options_.seed),
      references_(translate, fixed_names(options_, translate)) {
  client_.loop().post([this] { start(); });
}

KubernetesSource::~KubernetesSource() {
  stop();
  // Everything on the loop goes there; when the loop has ended nobody is left to use it.
  std::promise<void> done;
  const auto clear = [&] {
    client_.loop().cancel(settle_timer_);
    named_.clear();
    namespaces_.reset();
    reflectors_.clear();
  };
  const bool posted = client_.loop().post([&] {
    clear();
    done.set_value();
  });
  if (posted) {
    done.get_future().get();
  } else {
    client_.stop();
    clear();
  }
}

// ---- what is watched ----

void KubernetesSource::start() {
  const bool by_namespace = !options_.namespaces.empty();
  const std::vector<std::string> everywhere = {""};
  const std::vector<std::string>& namespaces = by_namespace ? options_.namespaces : everywhere;
  if (!options_.namespace_selector.empty()) add_namespaces();
  // A role for some namespaces only cannot have IngressClasses, which belong to none.
  add_reflector(Kind::kIngressClass, {.optional = by_namespace});
  for (const std::string& ns : namespaces) {
    add_reflector(Kind::kIngress, {.ns = ns});
    add_reflector(Kind::kService, {.ns = ns});
    add_reflector(Kind::kEndpointSlice, {.ns = ns});
    if (options_.all_secrets) {
      add_reflector(Kind::kSecret, {.ns = ns, .field_selector = kNoReleases});
    }
  }
  if (default_backend_ && by_namespace &&
      std::ranges::find(namespaces, default_backend_->ns) == namespaces.end()) {
    add_reflector(Kind::kService, {.ns = default_backend_->ns,
                                   .field_selector = "metadata.name=" + default_backend_->service});
    add_reflector(Kind::kEndpointSlice,
                  {.ns = default_backend_->ns,
                   .label_selector = "kubernetes.io/service-name=" + default_backend_->service});
  }
  for (const auto& reflector : reflectors_) reflector->start();
  if (namespaces_ != nullptr) namespaces_->start();
  settle();
}

void KubernetesSource::add_reflector(Kind kind, Reflector::Scope scope) {
  reflectors_.push_back(std::make_unique<Reflector>(
      client_, resource_of(kind), std::move(scope), options_.timings, traits_, random_,
      Reflector::Listener{.mirror = {.upserted = [this](const Item& item) { upserted(item); },
                                     .removed = [this](const Item& item) { removed(item); }},
                          .changed = [this] { settle_soon(); }}));
}

void KubernetesSource::add_namespaces() {
  namespaces_ = std::make_unique<Reflector>(
      client_, namespace_resource(),
      Reflector::Scope{.label_selector = options_.namespace_selector}, options_.timings, traits_,
      random_,
      Reflector::Listener{
          .mirror = {.upserted = [this](const Item& item) { namespace_changed(item.name, true); },
                     .removed = [this](const Item& item) { namespace_changed(item.name, false); }},
          .changed = [this] { settle_soon(); }});
}

bool KubernetesSource::in_scope(const Item& item) const {
  if (namespaces_ == nullptr || item.ns.empty() || matching_.contains(item.ns)) return true;
  if (!default_backend_ || item.ns != default_backend_->ns) return false;
  if (item.object->key.kind == Kind::kService) return item.name == default_backend_->service;
  if (item.object->key.kind != Kind::kEndpointSlice) return false;
  const auto& labels = std::get<kubernetes::EndpointSlice>(item.object->body).metadata().labels();
  const auto at = labels.find("kubernetes.io/service-name");
  return at != labels.end() && at->second == default_backend_->service;
}

void KubernetesSource::namespace_changed(const std::string& ns, bool in) {
  if (in ? !matching_.insert(ns).second : matching_.erase(ns) == 0) return;
  for (const auto& reflector : reflectors_) {
    reflector->mirror().for_each([&](const Item& item) {
      if (item.ns != ns) return;
      if (in_scope(item)) {
        upserted(item);
      } else {
        references_.remove(item.object->key);
        change(item.object->key, nullptr);
      }
    });
  }
  settle_soon();
}

// ---- what comes ----

void KubernetesSource::upserted(const Item& item) {
  if (!in_scope(item)) return;
  references_.upsert(item.object);
  change(item.object->key, item.object);
  const Kind kind = item.object->key.kind;
  if (kind == Kind::kIngress || kind == Kind::kIngressClass) settle_soon();
}

void KubernetesSource::removed(const Item& item) {
  if (!in_scope(item)) return;
  references_.remove(item.object->key);
  change(item.object->key, nullptr);
  const Kind kind = item.object->key.kind;
  if (kind == Kind::kIngress || kind == Kind::kIngressClass) settle_soon();
}

void KubernetesSource::settle_soon() {
  if (settle_timer_ != 0) return;
  settle_timer_ = client_.loop().after(kSettle, [this] {
    settle_timer_ = 0;
    settle();
  });
}

void KubernetesSource::settle() {
  const auto listed = [](const auto& reflector) { return reflector->synced(); };
  const bool collections =
      std::ranges::all_of(reflectors_, listed) && (namespaces_ == nullptr || namespaces_->synced());
  // Until all Ingresses and classes are known it is not known either what they name.
  if (collections) {
    references_.settle([this](const ObjectName& name) { add_named(name); },
                       [this](const ObjectName& name) { remove_named(name); });
    open_named();
  }
  const bool synced = collections && all_synced();
  std::vector<model::Problem> now = problems();
  const std::lock_guard lock(mutex_);
  const bool first = synced && !synced_;
  synced_ = synced_ || synced;
  if (now != problems_) {
    problems_ = std::move(now);
    problems_changed_ = true;
  }
  if (!first && !problems_changed_) return;
  changed_at_ns_ = monotonic_ns();
  changed_.notify_all();
}

void KubernetesSource::add_named(const ObjectName& name) {
  if (options_.all_secrets && name.kind == Kind::kSecret) {
    const auto& namespaces = options_.namespaces;
    const bool listed =
        namespaces.empty() || std::ranges::find(namespaces, name.ns) != namespaces.end();
    if (listed && (namespaces_ == nullptr || matching_.contains(name.ns))) return;
  }
  auto watch = std::make_unique<NamedWatch>(
      client_, resource_of(name.kind), name.ns, name.name, options_.timings, traits_.retries,
      random_,
      NamedWatch::Listener{
          .upserted = [this](const Item& item) { change(item.object->key, item.object); },
          .removed = [this](const Item& item) { change(item.object->key, nullptr); },
          .changed = [this] { settle_soon(); }});
  named_[name] = std::move(watch);
  unopened_.push_back(name);
}

void KubernetesSource::open_named() {
  std::erase_if(opening_, [this](const ObjectName& name) {
    const auto at = named_.find(name);
    return at == named_.end() || at->second->answered();
  });
  while (!unopened_.empty() && opening_.size() < kOpeningMax) {
    const ObjectName name = std::move(unopened_.front());
    unopened_.pop_front();
    const auto at = named_.find(name);
    // Gone meanwhile, or gone and named again: then it is in the queue twice.
    if (at == named_.end() || at->second->started()) continue;
    opening_.insert(name);
    at->second->start();
  }
}

void KubernetesSource::remove_named(const ObjectName& name) {
  const auto at = named_.find(name);
  if (at == named_.end()) return;
  if (at->second->item() != nullptr) change(at->second->item()->object->key, nullptr);
  named_.erase(at);
}

bool KubernetesSource::all_synced() const {
  return std::ranges::all_of(named_, [](const auto& entry) { return entry.second->answered(); });
}

std::vector<model::Problem> KubernetesSource::problems() const {
  std::vector<model::Problem> all;
  for (const auto& reflector : reflectors_) reflector->append_problems(all);
  if (namespaces_ != nullptr) namespaces_->append_problems(all);
  for (const auto& [name, watch] : named_) {
    if (watch->problem()) all.push_back(*watch->problem());
  }
  std::ranges::sort(all);
  const auto rest = std::ranges::unique(all);
  all.erase(rest.begin(), rest.end());
  return all;
}

// ---- to the pipeline ----

void KubernetesSource::change(const model::ObjectKey& key, model::ObjectPtr object) {
  const std::lock_guard lock(mutex_);
  pending_[key] = std::move(object);
  changed_at_ns_ = monotonic_ns();
  if (synced_) changed_.notify_all();
}

std::map<std::string, KubernetesSource::Counters> KubernetesSource::counters() const {
  std::promise<std::map<std::string, Counters>> counted;
  auto result = counted.get_future();
  if (!client_.loop().post([&] { counted.set_value(count()); })) return {};
  return result.get();
}

std::map<std::string, KubernetesSource::Counters> KubernetesSource::count() const {
  std::map<std::string, Counters> out;
  const auto add = [&](const Reflector& reflector) {
    Counters& sum = out[std::string(reflector.resource().plural)];
    const Reflector::Counters& some = reflector.counters();
    sum.lists += some.lists;
    sum.watches += some.watches;
    sum.failures += some.failures;
    sum.comparisons += some.comparisons;
    sum.differences += some.differences;
    sum.relists_gone += some.relists_gone;
    sum.relists_silent += some.relists_silent;
    sum.relists_broken += some.relists_broken;
    sum.objects += reflector.mirror().size();
    sum.unsynced += reflector.synced() ? 0 : 1;
  };
  for (const auto& reflector : reflectors_) add(*reflector);
  if (namespaces_ != nullptr) add(*namespaces_);
  for (const auto& [name, watch] : named_) {
    Counters& sum = out[std::string(resource_of(name.kind).plural)];
    ++sum.named;
    sum.failures += watch->failures();
    sum.objects += watch->item() != nullptr ? 1 : 0;
    sum.unsynced += watch->answered() ? 0 : 1;
  }
  return out;
}

void KubernetesSource::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

std::optional<source::Batch> KubernetesSource::next(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const auto news = [this] {
    if (stopped_) return true;
    if (synced_) return problems_changed_ || !full_given_ || !pending_.empty();
    // A batch without objects is taken for "nothing can be read" only when it says so.
    return problems_changed_ && std::ranges::any_of(problems_, [](const model::Problem& problem) {
             return problem.reason == model::Reason::kUnreadable;
           });
  };
  if (!changed_.wait_for(lock, timeout, news) || stopped_) return std::nullopt;
  const uint64_t first_ns = monotonic_ns();
  while (!stopped_) {
    const uint64_t now = monotonic_ns();
    const uint64_t until = std::min(changed_at_ns_ + kQuietNs, first_ns + kQuietMaxNs);
    if (until <= now) break;
    changed_.wait_for(lock, std::chrono::nanoseconds(until - now));
  }
  if (stopped_) return std::nullopt;
  source::Batch batch;
  problems_changed_ = false;
  batch.problems = problems_;
  if (!synced_) return batch;  // Problems only: there is no whole yet.
  batch.full = !std::exchange(full_given_, true);
  for (auto& [key, object] : std::exchange(pending_, {})) {
    if (object != nullptr) {
      batch.changes.upserts.push_back(std::move(object));
    } else if (!batch.full) {
      batch.changes.removals.push_back(key);
    }
  }
  return batch;
}

}  // namespace ringway::kube
