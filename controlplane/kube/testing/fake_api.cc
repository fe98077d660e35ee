#include "controlplane/kube/testing/fake_api.h"

#include <utility>

namespace ringway::kube::testing {
namespace {

using nlohmann::json;

Response reply(int status, const json& body) { return {.status = status, .body = body.dump()}; }

Response refusal(int status, const std::string& message) {
  return reply(status, {{"kind", "Status"}, {"code", status}, {"message", message}});
}

// A value of a query, decoded; enough for selectors.
std::string parameter(const std::string& query, const std::string& name) {
  size_t at = query.find(name + "=");
  if (at == std::string::npos || (at != 0 && query[at - 1] != '&')) return "";
  at += name.size() + 1;
  std::string out;
  for (; at < query.size() && query[at] != '&'; ++at) {
    if (query[at] == '%' && at + 2 < query.size()) {
      out += static_cast<char>(std::stoi(query.substr(at + 1, 2), nullptr, 16));
      at += 2;
    } else {
      out += query[at];
    }
  }
  return out;
}

bool is_selected(const json& object, const std::string& labels, const std::string& fields) {
  const json& metadata = object["metadata"];
  if (!fields.empty() && fields != "metadata.name=" + metadata.value("name", "")) return false;
  const size_t equals = labels.find('=');
  if (labels.empty() || equals == std::string::npos) return true;
  const json own = metadata.value("labels", json::object());
  return own.value(labels.substr(0, equals), "") == labels.substr(equals + 1);
}

}  // namespace

Result FakeApi::call(Request request) {
  const std::lock_guard lock(mutex_);
  if (cut_off_) return std::unexpected(Failure{Fault::kUnreachable, "fake: connection refused"});
  if (fault_) {
    if (auto instead = fault_(request)) return *std::move(instead);
  }
  const Response response = answer(request);
  if (request.method == "GET") {
    ++reads_;
  } else {
    written_.push_back(std::move(request));
  }
  return response;
}

Response FakeApi::answer(const Request& request) {
  const auto at = objects_.find(request.path);
  const bool there = at != objects_.end();
  if (request.method == "GET") {
    return there ? reply(200, at->second) : list(request.path, request.query);
  }
  const json body = json::parse(request.body.empty() ? "{}" : request.body, nullptr, false);
  if (body.is_discarded()) return refusal(400, "not JSON");
  if (request.method == "POST") {
    const std::string path = request.path + "/" + body["metadata"].value("name", "");
    if (objects_.contains(path)) return refusal(409, path + " already exists");
    store(path, body);
    return reply(201, objects_[path]);
  }
  const bool status = request.path.ends_with("/status");
  const std::string path = status ? request.path.substr(0, request.path.size() - 7) : request.path;
  const auto target = objects_.find(path);
  if (target == objects_.end()) return refusal(404, path + " not found");
  const json metadata = body.value("metadata", json::object());
  const std::string expected = metadata.value("resourceVersion", "");
  const std::string stored = target->second["metadata"].value("resourceVersion", "");
  if (!expected.empty() && expected != stored) return refusal(409, "the object has been modified");
  if (request.method == "DELETE") {
    objects_.erase(target);
    return reply(200, json::object());
  }
  json next = target->second;
  if (request.method == "PATCH") {
    if (status) {
      next.merge_patch({{"status", body.value("status", json::object())}});
    } else {
      next.merge_patch(body);
    }
  } else if (status) {
    next["status"] = body.value("status", json::object());
  } else {
    next = body;
  }
  store(path, std::move(next));
  return reply(200, objects_[path]);
}

Response FakeApi::list(const std::string& path, const std::string& query) const {
  json items = json::array();
  bool any = false;
  for (const auto& [key, object] : objects_) {
    if (!key.starts_with(path + "/")) continue;
    any = true;
    if (is_selected(object, parameter(query, "labelSelector"), parameter(query, "fieldSelector")))
      items.push_back(object);
  }
  // Without a selector an empty collection and a missing object look alike here.
  if (!any && query.empty()) return refusal(404, path + " not found");
  return reply(200, {{"kind", "List"}, {"items", items}});
}

void FakeApi::store(const std::string& path, json object) {
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  objects_[path] = std::move(object);
}

void FakeApi::put(const std::string& path, json object) {
  const std::lock_guard lock(mutex_);
  store(path, std::move(object));
}

void FakeApi::erase(const std::string& path) {
  const std::lock_guard lock(mutex_);
  objects_.erase(path);
}

std::optional<json> FakeApi::get(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto at = objects_.find(path);
  if (at == objects_.end()) return std::nullopt;
  return at->second;
}

std::vector<std::string> FakeApi::paths_under(const std::string& prefix) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [path, object] : objects_) {
    if (path.starts_with(prefix)) out.push_back(path);
  }
  return out;
}

uint64_t FakeApi::writes() const {
  const std::lock_guard lock(mutex_);
  return written_.size();
}

uint64_t FakeApi::reads() const {
  const std::lock_guard lock(mutex_);
  return reads_;
}

std::vector<Request> FakeApi::written() const {
  const std::lock_guard lock(mutex_);
  return written_;
}

void FakeApi::set_cut_off(bool cut_off) {
  const std::lock_guard lock(mutex_);
  cut_off_ = cut_off;
}

void FakeApi::set_fault(std::function<std::optional<Result>(const Request&)> fault) {
  const std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

}  // namespace ringway::kube::testing
