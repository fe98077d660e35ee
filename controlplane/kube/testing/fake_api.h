// An API server in memory for tests of writers: objects by path, resourceVersions, refusal of stale
// writes, and what can go wrong on the way. No sockets, no clock.
//
// Thread rule: any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/kube/caller.h"

namespace ringway::kube::testing {

class FakeApi final : public Caller {
 public:
  // GET, POST to a collection (201, 409), PUT (409 when metadata.resourceVersion is given and
  // stale), PATCH with application/merge-patch+json (also of "…/status": that part only), DELETE.
  // A GET of a collection answers a List, by label selector and field selector metadata.name.
  Result call(Request request) override;

  // Past the rules, as somebody else.
  void put(const std::string& path, nlohmann::json object);
  void erase(const std::string& path);
  std::optional<nlohmann::json> get(const std::string& path) const;
  std::vector<std::string> paths_under(const std::string& prefix) const;

  // Requests whose method is not GET, that reached the server.
  uint64_t writes() const;
  uint64_t reads() const;
  std::vector<Request> written() const;

  // Every call fails as unreachable.
  void set_cut_off(bool cut_off);
  // Asked before each call; an answer of it is given instead.
  void set_fault(std::function<std::optional<Result>(const Request&)> fault);

 private:
  Response answer(const Request& request);
  Response list(const std::string& path, const std::string& query) const;
  void store(const std::string& path, nlohmann::json object);

  mutable std::mutex mutex_;
  std::map<std::string, nlohmann::json> objects_;
  uint64_t version_ = 0;
  uint64_t reads_ = 0;
  std::vector<Request> written_;
  bool cut_off_ = false;
  std::function<std::optional<Result>(const Request&)> fault_;
};

}  // namespace ringway::kube::testing
