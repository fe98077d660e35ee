// Which output depends on which object. The unit of work is what one function of the translation
// makes: the routes of a host, the clusters of a Service, the certificate of a Secret, the
// listeners.
//
// Invariants between two apply():
// 1. ingresses_ holds the facts of every Ingress; the indexes hold exactly those that are served.
// 2. units_ holds what each unit produced, as if it were computed from the objects now.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/translate/certificates.h"
#include "controlplane/translate/classes.h"
#include "controlplane/translate/config_map.h"
#include "controlplane/translate/ingress_facts.h"
#include "controlplane/translate/routes.h"
#include "controlplane/translate/services.h"
#include "controlplane/translate/stream_services.h"
#include "controlplane/translate/translator.h"

namespace ringway::translate {

// The oldest of `users` that gives `host` a certificate decides which. Returns it when that is not
// the one of Secret `secret` ("namespace/name"), nullptr when it is, or when none does.
const IngressFacts* certificate_owner_other_than(const ByAge& users, const std::string& host,
                                                 const std::string& secret);

class Translator::Graph {
 public:
  Graph(Options options, LastGood last_good);

  Translation apply(const model::Changes& changes, int64_t now_s);
  Preview preview(const model::Object& ingress) const;
  const LastGood& last_good() const { return last_good_; }

 private:
  using Id = std::string;  // "namespace/name"
  using Index = std::unordered_map<std::string, ByAge>;
  enum class UnitKind : uint8_t {
    kIngress,
    kSlice,
    kHost,
    kService,
    kSecret,
    kListeners,
    kStreams,
    kConfig
  };
  using UnitKey = std::pair<UnitKind, std::string>;
  struct Output {
    v1::ResourceType type;
    std::string name;
    uint64_t version;
  };
  struct OutputKey {
    v1::ResourceType type;
    std::string name;
    auto operator<=>(const OutputKey&) const = default;
  };

  // Takes in one object (`object` nullptr: it is gone) and marks what depends on it.
  void take(const model::ObjectKey& key, model::ObjectPtr object);
  void take_slice(const Id& id, const model::Object* before, const model::Object* after);
  void read_classes();
  void read_config();
  void replace_facts(const Id& id);
  void link(const IngressFacts& facts, bool add);
  void mark_users_of_tls_hosts(const IngressFacts& facts);

  void translate_dirty();
  void redo_host(const std::string& host);
  void redo_service(const Id& id);
  void redo_secret(const Id& id);
  void redo_listeners();
  // graph_streams.cc
  void read_streams();
  void add_streams(std::vector<v1::Resource>& resources, std::vector<model::Problem>& problems);
  void add_passthrough(std::vector<v1::Resource>& resources, std::vector<model::Problem>& problems);
  void report_passthrough(const IngressFacts& ingress, std::vector<model::Problem>& problems) const;
  void use_streams(const Id& service, std::vector<ServiceUse>& uses) const;
  std::vector<CertificateUse> certificate_uses(const Id& id, std::vector<model::Problem>& problems);
  const IngressFacts* other_owner(const std::string& host, const Id& id) const;
  void preview_host(const std::string& host, const IngressFacts& facts, Preview& out) const;
  void preview_certificates(const IngressFacts& facts, Preview& out) const;
  // The users in `index` of `key` as if `facts` had taken the place of what has its name.
  ByAge users_with(const Index& index, const std::string& key, const IngressFacts& facts,
                   bool uses) const;
  // `settings`: of the Ingress; nullptr for the default backend of the controller.
  std::expected<BackendClusters, Refusal> resolve(const std::string& ns, const BackendRef& ref,
                                                  const Settings* settings) const;

  // Replaces what a unit produced; notes the difference for the Translation.
  void publish(UnitKey unit, std::vector<v1::Resource> resources,
               std::vector<model::Problem> problems);
  void set_problems(const UnitKey& unit, std::vector<model::Problem> problems);
  void collect_problems(int64_t now_s);

  const model::Object* find(model::Kind kind, const Id& id) const;

  const Options given_;
  Options options_;  // With what the ConfigMap says instead.
  LastGood last_good_;
  std::array<std::unordered_map<Id, model::ObjectPtr>, model::kKindCount> objects_;
  Classes classes_;
  GlobalSettings global_;
  std::optional<std::map<std::string, std::string>> config_data_;  // That global_ was made of.
  std::optional<BackendRef> default_backend_;  // Of Options.default_backend.
  std::string default_backend_ns_;

  std::unordered_map<Id, IngressFacts> ingresses_;
  Index by_host_, by_tls_host_, by_service_, by_secret_;
  std::unordered_map<Id, std::set<Id>> slices_of_;  // By Service.

  std::vector<StreamFact> streams_;                 // Of both ConfigMaps.
  ByAge passing_;                                   // Ingresses with ssl-passthrough.
  std::set<Id> listener_services_;                  // Services that the listeners name.

  bool classes_dirty_ = false;
  bool config_dirty_ = true;
  bool streams_dirty_ = true;
  std::set<Id> dirty_ingresses_, dirty_services_, dirty_secrets_;
  std::set<std::string> dirty_hosts_;
  bool listeners_dirty_ = true;

  std::map<UnitKey, std::vector<Output>> units_;
  std::map<OutputKey, v1::Resource> upserts_;  // Since the last Translation.
  std::set<OutputKey> removals_;
  std::vector<model::ObjectPtr> served_;  // Likewise.
  std::vector<model::ObjectKey> unserved_;

  std::map<UnitKey, std::vector<model::Problem>> problems_;  // Units with problems only.
  std::map<Id, LeafFacts> leaves_;                           // Certificates that are served.
  std::vector<Id> out_of_date_;                              // As of the last collect_problems().
  bool problems_dirty_ = true;
  std::shared_ptr<const std::vector<model::Problem>> all_problems_;
};

}  // namespace ringway::translate
