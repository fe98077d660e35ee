// An API server for tests: lists in pages, watches, streamed lists, bookmarks, reads by name. What
// it does wrong is up to the test. Any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "controlplane/kube/testing/http_server.h"

namespace ringway::kube {

class FakeApiServer {
 public:
  using Json = nlohmann::json;

  FakeApiServer() : server_([this](const auto& request, auto& reply) { serve(request, reply); }) {}
  ~FakeApiServer();

  std::string url() const { return server_.url(); }
  HttpServer& http() { return server_; }

  // ---- objects; `plural` as in a path ("ingresses") ----
  void put(const std::string& plural, Json object);  // Sets uid and resourceVersion; tells watches.
  void remove(const std::string& plural, const std::string& ns, const std::string& name);
  // As a restore of etcd: other content, lower resourceVersions, and watches are told nothing.
  void restore(const std::string& plural, std::vector<Json> objects, uint64_t resource_version);
  void put_text(const std::string& plural, const std::string& ns, const std::string& name,
                std::string json);  // Whatever it is; watches are told.

  // ---- what it does ----
  struct Behaviour {
    bool streams_lists = true;    // WatchList; else 422 as servers without it.
    bool ignores_stream = false;  // Takes the parameters and does not know them.
    bool silent_watches = false;  // Takes watches and says nothing, not even what changes.
    bool closes_watches = false;  // Takes watches and ends them at once.
  };
  void behave(const std::string& plural, Behaviour behaviour);
  struct Refusal {
    std::string verb;  // "list", "watch", "get"
    int status = 500;
    std::map<std::string, std::string> headers;
    size_t after = 0;  // So many of this verb go well first.
  };
  void refuse_next(const std::string& plural, Refusal refusal, size_t times = 1);
  void bookmark(const std::string& plural);
  void write_raw(const std::string& plural, const std::string& bytes);  // Into its watches.
  void end_watches(const std::string& plural);                          // As timeoutSeconds does.
  void compact();  // Watches from a version before now get 410.

  // ---- what it was asked ----
  struct Seen {
    size_t lists = 0, pages = 0, watches = 0, streams = 0, gets = 0;
    size_t watching = 0;  // Now.
  };
  Seen seen(const std::string& plural);
  std::vector<HttpServer::Request> requests(const std::string& plural);
  // Waits until `done(seen(plural))`.
  void wait(const std::string& plural, const std::function<bool(const Seen&)>& done);

 private:
  struct Event {
    uint64_t version;
    std::string id;
    std::string line;  // With its end; "" ends the watch.
  };
  struct Collection {
    std::map<std::string, std::string> objects;  // By "namespace/name".
    std::deque<Event> events;
    Behaviour behaviour;
    std::deque<Refusal> refusals;
    Seen seen;
    std::vector<HttpServer::Request> requests;
  };
  struct Target {
    std::string plural, ns, name;
  };

  static Target target_of(const std::string& path);
  static bool selected(const Target& target, const HttpServer::Request& request,
                       const std::string& id);
  void serve(const HttpServer::Request& request, HttpServer::Reply& reply);
  void serve_list(Collection& collection, const Target& target, const HttpServer::Request& request,
                  HttpServer::Reply& reply);
  void serve_watch(Collection& collection, const Target& target, const HttpServer::Request& request,
                   HttpServer::Reply& reply);
  bool initial_events(Collection& collection, const Target& target,
                      const HttpServer::Request& request, HttpServer::Reply& reply);
  void tell(Collection& collection, const char* type, const std::string& id,
            const std::string& object);
  static std::string bookmark_line(uint64_t version, bool initial_end);
  static void refuse(HttpServer::Reply& reply, int status, const std::string& message,
                     const std::map<std::string, std::string>& headers = {});

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Collection> collections_;
  uint64_t version_ = 1000;
  uint64_t compacted_ = 0;
  uint64_t sequence_ = 0;  // Of events in all, whatever their versions are.
  uint64_t last_uid_ = 0;
  bool ending_ = false;
  HttpServer server_;  // Last: its threads use all of the above.
};

// Objects as an API server writes them, managedFields included.
FakeApiServer::Json fake_ingress(const std::string& ns, const std::string& name,
                                 const std::string& service, const std::string& secret = "");
FakeApiServer::Json fake_class(const std::string& name, const std::string& controller);
FakeApiServer::Json fake_service(const std::string& ns, const std::string& name);
FakeApiServer::Json fake_slice(const std::string& ns, const std::string& service, int number,
                               int endpoints);
FakeApiServer::Json fake_object(const std::string& kind, const std::string& ns,
                                const std::string& name, const std::string& value);

}  // namespace ringway::kube
