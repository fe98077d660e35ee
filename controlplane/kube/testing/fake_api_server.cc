#include "controlplane/kube/testing/fake_api_server.h"

#include <cstdlib>

namespace ringway::kube {
namespace {

using Json = FakeApiServer::Json;

std::string id_of(const Json& object) {
  const Json& metadata = object.at("metadata");
  return metadata.value("namespace", std::string()) + "/" + metadata.at("name").get<std::string>();
}

std::string watch_line(const char* type, const std::string& object) {
  return std::string("{\"type\":\"") + type + "\",\"object\":" + object + "}\n";
}

}  // namespace

FakeApiServer::~FakeApiServer() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  changed_.notify_all();
}

void FakeApiServer::tell(Collection& collection, const char* type, const std::string& id,
                         const std::string& object) {
  collection.events.push_back({version_, id, watch_line(type, object)});
  changed_.notify_all();
}

void FakeApiServer::put(const std::string& plural, Json object) {
  const std::lock_guard lock(mutex_);
  Collection& collection = collections_[plural];
  const std::string id = id_of(object);
  const auto before = collection.objects.find(id);
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  object["metadata"]["uid"] =
      before == collection.objects.end()
          ? "uid-" + std::to_string(++last_uid_)
          : Json::parse(before->second).at("metadata").value("uid", std::string());
  const bool known = before != collection.objects.end();
  std::string& text = collection.objects[id];
  text = object.dump();
  tell(collection, known ? "MODIFIED" : "ADDED", id, text);
}

void FakeApiServer::put_text(const std::string& plural, const std::string& ns,
                             const std::string& name, std::string json) {
  const std::lock_guard lock(mutex_);
  Collection& collection = collections_[plural];
  ++version_;
  std::string& text = collection.objects[ns + "/" + name];
  const bool known = !text.empty();
  text = std::move(json);
  tell(collection, known ? "MODIFIED" : "ADDED", ns + "/" + name, text);
}

void FakeApiServer::remove(const std::string& plural, const std::string& ns,
                           const std::string& name) {
  const std::lock_guard lock(mutex_);
  Collection& collection = collections_[plural];
  const auto at = collection.objects.find(ns + "/" + name);
  if (at == collection.objects.end()) return;
  Json object = Json::parse(at->second);
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  collection.objects.erase(at);
  tell(collection, "DELETED", ns + "/" + name, object.dump());
}

void FakeApiServer::restore(const std::string& plural, std::vector<Json> objects,
                            uint64_t resource_version) {
  const std::lock_guard lock(mutex_);
  Collection& collection = collections_[plural];
  collection.objects.clear();
  version_ = resource_version;
  for (Json& object : objects) {
    object["metadata"]["resourceVersion"] = std::to_string(version_);
    object["metadata"]["uid"] = "uid-" + std::to_string(++last_uid_);
    collection.objects[id_of(object)] = object.dump();
  }
}

void FakeApiServer::behave(const std::string& plural, Behaviour behaviour) {
  const std::lock_guard lock(mutex_);
  collections_[plural].behaviour = behaviour;
}

void FakeApiServer::refuse_next(const std::string& plural, Refusal refusal, size_t times) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < times; ++i) collections_[plural].refusals.push_back(refusal);
}

std::string FakeApiServer::bookmark_line(uint64_t version, bool initial_end) {
  Json object = {{"kind", "Bookmark"},
                 {"metadata", {{"resourceVersion", std::to_string(version)}}}};
  if (initial_end) object["metadata"]["annotations"] = {{"k8s.io/initial-events-end", "true"}};
  return watch_line("BOOKMARK", object.dump());
}

void FakeApiServer::bookmark(const std::string& plural) {
  const std::lock_guard lock(mutex_);
  collections_[plural].events.push_back({version_, "", bookmark_line(version_, false)});
  changed_.notify_all();
}

void FakeApiServer::write_raw(const std::string& plural, const std::string& bytes) {
  const std::lock_guard lock(mutex_);
  collections_[plural].events.push_back({++version_, "", bytes});
  changed_.notify_all();
}

void FakeApiServer::end_watches(const std::string& plural) {
  const std::lock_guard lock(mutex_);
  collections_[plural].events.push_back({version_, "", ""});
  changed_.notify_all();
}

void FakeApiServer::compact() {
  const std::lock_guard lock(mutex_);
  compacted_ = ++version_;
}

FakeApiServer::Seen FakeApiServer::seen(const std::string& plural) {
  const std::lock_guard lock(mutex_);
  return collections_[plural].seen;
}

std::vector<HttpServer::Request> FakeApiServer::requests(const std::string& plural) {
  const std::lock_guard lock(mutex_);
  return collections_[plural].requests;
}

void FakeApiServer::wait(const std::string& plural, const std::function<bool(const Seen&)>& done) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done(collections_[plural].seen); });
}

// "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/front"
FakeApiServer::Target FakeApiServer::target_of(const std::string& path) {
  std::vector<std::string> parts;
  for (size_t at = 1; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  const size_t first = !parts.empty() && parts[0] == "api" ? 2 : 3;
  Target target;
  if (parts.size() <= first) return target;
  parts.erase(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(first));
  if (parts[0] == "namespaces" && parts.size() >= 3) {
    target.ns = parts[1];
    parts.erase(parts.begin(), parts.begin() + 2);
  }
  target.plural = parts[0];
  if (parts.size() > 1) target.name = parts[1];
  return target;
}

bool FakeApiServer::selected(const Target& target, const HttpServer::Request& request,
                             const std::string& id) {
  if (!target.ns.empty() && !id.starts_with(target.ns + "/")) return false;
  const std::string field = request.parameter("fieldSelector");
  constexpr std::string_view kByName = "metadata.name=";
  return !field.starts_with(kByName) || id.ends_with("/" + field.substr(kByName.size()));
}

void FakeApiServer::refuse(HttpServer::Reply& reply, int status, const std::string& message,
                           const std::map<std::string, std::string>& headers) {
  reply.send(status,
             Json{{"kind", "Status"}, {"status", "Failure"}, {"code", status}, {"message", message}}
                 .dump(),
             headers);
}

void FakeApiServer::serve(const HttpServer::Request& request, HttpServer::Reply& reply) {
  const Target target = target_of(request.path);
  const bool watches = request.parameter("watch") == "1";
  const std::string verb = watches ? "watch" : target.name.empty() ? "list" : "get";
  std::unique_lock lock(mutex_);
  Collection& collection = collections_[target.plural];
  collection.requests.push_back(request);
  for (auto at = collection.refusals.begin(); at != collection.refusals.end(); ++at) {
    if (at->verb != verb) continue;
    if (at->after > 0) {
      --at->after;
      break;
    }
    const Refusal refusal = *at;
    collection.refusals.erase(at);
    changed_.notify_all();
    lock.unlock();
    return refuse(reply, refusal.status, "refused by the test", refusal.headers);
  }
  lock.unlock();
  if (watches) return serve_watch(collection, target, request, reply);
  if (target.name.empty()) return serve_list(collection, target, request, reply);
  lock.lock();
  ++collection.seen.gets;
  changed_.notify_all();
  const auto at = collection.objects.find(target.ns + "/" + target.name);
  const std::string text = at == collection.objects.end() ? "" : at->second;
  lock.unlock();
  if (text.empty()) return refuse(reply, 404, target.name + " not found");
  reply.send(200, text);
}

void FakeApiServer::serve_list(Collection& collection, const Target& target,
                               const HttpServer::Request& request, HttpServer::Reply& reply) {
  std::unique_lock lock(mutex_);
  ++collection.seen.pages;
  const std::string from = request.parameter("continue");
  if (from.empty()) ++collection.seen.lists;
  changed_.notify_all();
  const size_t limit = std::strtoul(request.parameter("limit").c_str(), nullptr, 10);
  std::string items, more;
  size_t count = 0;
  for (auto at = collection.objects.lower_bound(from); at != collection.objects.end(); ++at) {
    if (!selected(target, request, at->first)) continue;
    if (limit > 0 && count == limit) {
      more = at->first;
      break;
    }
    items += (count++ == 0 ? "" : ",") + at->second;
  }
  const Json metadata = {{"resourceVersion", std::to_string(version_)}, {"continue", more}};
  lock.unlock();
  reply.send(200, "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":" + metadata.dump() +
                      ",\"items\":[" + items + "]}\n");
}

// What comes before the events: nothing, or everything there is.
bool FakeApiServer::initial_events(Collection& collection, const Target& target,
                                   const HttpServer::Request& request, HttpServer::Reply& reply) {
  const bool streams = request.parameter("sendInitialEvents") == "true";
  const std::string version = request.parameter("resourceVersion");
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    if (streams || version == "0" || version.empty()) {
      for (const auto& [id, object] : collection.objects) {
        if (selected(target, request, id)) text += watch_line("ADDED", object);
      }
    }
    if (streams && !collection.behaviour.ignores_stream) text += bookmark_line(version_, true);
  }
  return text.empty() || reply.write(text);
}

void FakeApiServer::serve_watch(Collection& collection, const Target& target,
                                const HttpServer::Request& request, HttpServer::Reply& reply) {
  const bool streams = request.parameter("sendInitialEvents") == "true";
  const std::string version = request.parameter("resourceVersion");
  const uint64_t from = std::strtoull(version.c_str(), nullptr, 10);
  std::unique_lock lock(mutex_);
  const Behaviour behaviour = collection.behaviour;
  if (streams && !behaviour.streams_lists) {
    lock.unlock();
    return refuse(reply, 422, "sendInitialEvents is forbidden for watch");
  }
  ++(streams ? collection.seen.streams : collection.seen.watches);
  ++collection.seen.watching;
  changed_.notify_all();
  if (from != 0 && from < compacted_) {
    --collection.seen.watching;
    lock.unlock();
    reply.begin();
    reply.write(watch_line("ERROR", R"({"kind":"Status","code":410,"reason":"Expired"})"));
    return reply.end();
  }
  // Where this watch is in the events. A version is looked up, as a server does.
  size_t next = collection.events.size();
  if (from != 0 && !streams) {
    while (next > 0 && collection.events[next - 1].version > from) --next;
  }
  lock.unlock();
  bool open = reply.begin();
  if (!behaviour.silent_watches) open = open && initial_events(collection, target, request, reply);
  if (behaviour.closes_watches) open = false, reply.end();
  while (open) {
    std::vector<std::string> lines;
    lock.lock();
    changed_.wait_for(lock, std::chrono::milliseconds(5), [&] {
      return ending_ || (!behaviour.silent_watches && next < collection.events.size());
    });
    const bool ending = ending_;
    for (; !behaviour.silent_watches && next < collection.events.size(); ++next) {
      const Event& event = collection.events[next];
      if (event.id.empty() || selected(target, request, event.id)) lines.push_back(event.line);
    }
    lock.unlock();
    if (ending || reply.peer_gone()) break;
    for (const std::string& line : lines) {
      if (line.empty()) reply.end();
      open = open && !line.empty() && reply.write(line);
    }
  }
  if (reply.peer_gone()) reply.cut();
  lock.lock();
  --collection.seen.watching;
  changed_.notify_all();
}

// ---- objects ----

namespace {

Json metadata(const std::string& ns, const std::string& name) {
  Json fields = {{"f:metadata", {{"f:labels", {{"f:app", Json::object()}}}}},
                 {"f:spec", {{"f:rules", Json::object()}, {"f:tls", Json::object()}}}};
  Json out = {{"name", name},
              {"creationTimestamp", "2026-01-02T03:04:05Z"},
              {"generation", 1},
              {"labels", {{"app", name}, {"app.kubernetes.io/managed-by", "Helm"}}},
              {"managedFields",
               {{{"manager", "kubectl"},
                 {"operation", "Update"},
                 {"apiVersion", "v1"},
                 {"time", "2026-01-02T03:04:05Z"},
                 {"fieldsType", "FieldsV1"},
                 {"fieldsV1", fields}}}}};
  if (!ns.empty()) out["namespace"] = ns;
  return out;
}

}  // namespace

Json fake_ingress(const std::string& ns, const std::string& name, const std::string& service,
                  const std::string& secret) {
  const std::string host = name + "." + ns + ".example";
  Json path = {{"path", "/"},
               {"pathType", "Prefix"},
               {"backend", {{"service", {{"name", service}, {"port", {{"number", 80}}}}}}}};
  Json object = {{"apiVersion", "networking.k8s.io/v1"},
                 {"kind", "Ingress"},
                 {"metadata", metadata(ns, name)},
                 {"spec",
                  {{"ingressClassName", "ringway"},
                   {"rules", {{{"host", host}, {"http", {{"paths", Json::array({path})}}}}}}}},
                 {"status", {{"loadBalancer", {{"ingress", {{{"ip", "203.0.113.1"}}}}}}}}};
  if (!secret.empty()) {
    object["spec"]["tls"] = {{{"hosts", Json::array({host})}, {"secretName", secret}}};
  }
  return object;
}

Json fake_class(const std::string& name, const std::string& controller) {
  return {{"apiVersion", "networking.k8s.io/v1"},
          {"kind", "IngressClass"},
          {"metadata", metadata("", name)},
          {"spec", {{"controller", controller}}}};
}

Json fake_service(const std::string& ns, const std::string& name) {
  return {
      {"apiVersion", "v1"},
      {"kind", "Service"},
      {"metadata", metadata(ns, name)},
      {"spec",
       {{"type", "ClusterIP"},
        {"clusterIP", "10.96.0.10"},
        {"clusterIPs", {"10.96.0.10"}},
        {"sessionAffinity", "None"},
        {"selector", {{"app", name}}},
        {"ports", {{{"name", "http"}, {"protocol", "TCP"}, {"port", 80}, {"targetPort", 8080}}}}}},
      {"status", {{"loadBalancer", Json::object()}}}};
}

Json fake_slice(const std::string& ns, const std::string& service, int number, int endpoints) {
  Json list = Json::array();
  for (int i = 0; i < endpoints; ++i) {
    const int host = number * endpoints + i;
    list.push_back({{"addresses",
                     {"10." + std::to_string(host / 65536 % 256) + "." +
                      std::to_string(host / 256 % 256) + "." + std::to_string(host % 256)}},
                    {"conditions", {{"ready", true}, {"serving", true}, {"terminating", false}}},
                    {"nodeName", "node-" + std::to_string(host % 100)},
                    {"zone", "zone-a"},
                    {"targetRef",
                     {{"kind", "Pod"},
                      {"namespace", ns},
                      {"name", service + "-7d9c6b5f4-" + std::to_string(i)},
                      {"uid", "3b2c1d0e-0000-4000-8000-000000000000"}}}});
  }
  Json object = {{"apiVersion", "discovery.k8s.io/v1"},
                 {"kind", "EndpointSlice"},
                 {"metadata", metadata(ns, service + "-x" + std::to_string(number))},
                 {"addressType", "IPv4"},
                 {"endpoints", list},
                 {"ports", {{{"name", "http"}, {"protocol", "TCP"}, {"port", 8080}}}}};
  object["metadata"]["labels"]["kubernetes.io/service-name"] = service;
  object["metadata"]["annotations"] = {
      {"endpoints.kubernetes.io/last-change-trigger-time", "2026-01-02T03:04:05Z"}};
  return object;
}

Json fake_object(const std::string& kind, const std::string& ns, const std::string& name,
                 const std::string& value) {
  Json object = {{"apiVersion", "v1"}, {"kind", kind}, {"metadata", metadata(ns, name)}};
  if (kind != "Namespace") object["data"] = {{"value", value}};
  return object;
}

}  // namespace ringway::kube
