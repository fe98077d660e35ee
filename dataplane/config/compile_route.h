// RouteTable messages -> route::RouteTable.
//
// Thread rule: the control thread's. Errors: one line for people; they name the route, not the
// table.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/config/metrics_slots.h"
#include "dataplane/config/slot_table.h"
#include "dataplane/io/buffer_pool.h"
#include "dataplane/route/route_table.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::config {

// Clusters have slots by name, whether they exist or not: a route may come before its cluster and
// outlive it.
using ClusterSlots = SlotTable<std::string>;
using ClusterLease = std::shared_ptr<const ClusterSlots::Lease>;

struct CompiledTable {
  std::shared_ptr<const route::RouteTable> table;
  std::vector<ClusterLease> clusters;  // Keep the slots that the routes name.
};

class RouteCompiler {
 public:
  RouteCompiler(ClusterSlots& clusters, MetricsSlots& metrics);
  std::expected<CompiledTable, std::string> compile(const v1::RouteTable& in);

 private:
  std::expected<route::PathRule, std::string> compile_path(const v1::Route& in);
  std::expected<std::shared_ptr<const route::Route>, std::string> compile_route(
      const v1::Route& in, std::string_view host, const route::PathRule& rule, CompiledTable& out);
  std::expected<void, std::string> compile_action(const v1::Route& in, route::Route& out,
                                                  CompiledTable& table);
  std::expected<std::string, std::string> canonical_rule(std::string_view path);

  ClusterSlots& clusters_;
  MetricsSlots& metrics_;
  io::BufferPool pool_;  // Where paths are brought into canonical form.
};

// Host of a RouteTable: "*", "a.example.com" or "*.example.com"; lower case.
bool is_route_host(std::string_view host);

}  // namespace ringway::config
