#include "controlplane/serve/admin.h"

#include <CivetServer.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "controlplane/serve/proxy_cursor.h"

namespace ringway::serve {
namespace {

using nlohmann::json;

void answer(mg_connection* connection, int status, const char* type, const std::string& body) {
  mg_printf(
      connection,
      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
      status, status == 200 ? "OK" : "Service Unavailable", type, body.size());
  mg_write(connection, body.data(), body.size());
}

class Page : public CivetHandler {
 public:
  using Answer = std::function<std::pair<int, std::string>()>;
  Page(const char* type, Answer make) : type_(type), make_(std::move(make)) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    const auto [status, body] = make_();
    answer(connection, status, type_, body);
    return true;
  }

 private:
  const char* type_;
  Answer make_;
};

json describe(const ProxyStatus& proxy) {
  json out = {
      {"node", proxy.node_id},
      {"proxyVersion", proxy.proxy_version},
      {"peer", proxy.peer},
      {"identity", proxy.identity},
      {"connectedAt", proxy.connected_at_s},
      {"wildcard", proxy.wildcard},
      {"version", proxy.acked_version},
      {"sentVersion", proxy.sent_version},
      {"awaitingAnswer", proxy.awaiting_answer},
      {"inSync", proxy.in_sync},
      {"acks", proxy.acks},
      {"nacks", proxy.nacks},
      {"transactions", proxy.transactions},
      {"resourcesSent", proxy.resources_sent},
      {"bytesSent", proxy.bytes_sent},
      {"withheld", proxy.withheld},
  };
  if (!proxy.reconnect_reason.empty()) out["reconnectReason"] = proxy.reconnect_reason;
  if (!proxy.nack_reason.empty()) {
    out["lastNack"] = {{"version", proxy.nack_version},
                       {"resource", proxy.nack_resource},
                       {"reason", proxy.nack_reason}};
  }
  return out;
}

}  // namespace

std::string proxies_json(const DiscoveryServer& server, const snapshot::Store& store) {
  json out = {
      {"version", store.version()}, {"resources", json::object()}, {"proxies", json::array()}};
  for (const auto& [type, count] : store.counts())
    out["resources"][std::string(type_name(type))] = count;
  for (const ProxyStatus& proxy : server.proxies()) out["proxies"].push_back(describe(proxy));
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

class AdminServer::Civet {
 public:
  Civet(const std::string& address, const DiscoveryServer& server, const snapshot::Store& store,
        const PipelineStats& stats, NginxMetricsOptions nginx,
        std::vector<const prometheus::Collectable*> more)
      : metrics_(server, store, stats, std::move(nginx)),
        more_(std::move(more)),
        health_("text/plain", [] { return std::pair(200, std::string("ok\n")); }),
        ready_("text/plain",
               [&stats] {
                 const char* why = !stats.first_batch_done ? "the objects are not read yet"
                                   : stats.api_silent      ? "the API server does not answer"
                                                           : nullptr;
                 return why == nullptr ? std::pair(200, std::string("ok\n"))
                                       : std::pair(503, std::string("not ready: ") + why + "\n");
               }),
        exposition_("text/plain; version=0.0.4",
                    [this] {
                      std::vector<prometheus::MetricFamily> all = metrics_.Collect();
                      for (const prometheus::Collectable* part : more_)
                        std::ranges::move(part->Collect(), std::back_inserter(all));
                      return std::pair(200, prometheus::TextSerializer().Serialize(all));
                    }),
        proxies_("application/json",
                 [&server, &store] { return std::pair(200, proxies_json(server, store)); }),
        server_(std::vector<std::string>{"listening_ports", address, "num_threads", "2",
                                         "request_timeout_ms", "5000", "enable_keep_alive", "no"}) {
    server_.addHandler("/healthz$", health_);
    server_.addHandler("/readyz$", ready_);
    server_.addHandler("/metrics$", exposition_);
    server_.addHandler("/proxies$", proxies_);
  }

 private:
  ControllerMetrics metrics_;
  const std::vector<const prometheus::Collectable*> more_;
  Page health_;
  Page ready_;
  Page exposition_;
  Page proxies_;
  CivetServer server_;  // Last: its threads use what is above.
};

std::expected<std::unique_ptr<AdminServer>, std::string> AdminServer::start(
    const std::string& address, const DiscoveryServer& server, const snapshot::Store& store,
    const PipelineStats& stats, NginxMetricsOptions nginx,
    std::vector<const prometheus::Collectable*> more) {
  try {
    return std::unique_ptr<AdminServer>(new AdminServer(
        std::make_unique<Civet>(address, server, store, stats, std::move(nginx), std::move(more))));
  } catch (const CivetException&) {
    return std::unexpected("cannot listen on admin address " + address);
  }
}

AdminServer::AdminServer(std::unique_ptr<Civet> civet) : civet_(std::move(civet)) {}
AdminServer::~AdminServer() = default;

}  // namespace ringway::serve
