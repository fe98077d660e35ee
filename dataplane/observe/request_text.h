// The families that have series for routes, written in pieces: with 10,000 busy routes they are a
// hundred megabytes of text, which must never be in memory at once.
//
// Thread rule: the control thread's. Holds the leases of the slots that it names.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "dataplane/observe/request_series.h"

namespace ringway::observe {

// Labels that every nginx_ingress_controller_* series carries; of configuration.
struct NginxIdentity {
  std::string controller_namespace, controller_class, controller_pod;
};

struct NginxOptions {
  bool on = true;        // --nginx-metrics
  bool per_host = true;  // --metrics-per-host: the label `host`.
  NginxIdentity identity;
};

class RequestText {
 public:
  RequestText(RequestView view, NginxOptions nginx);
  // Appends the next piece, some 64 KiB. False: that was the last.
  bool next(std::string& out);

 private:
  struct RouteRow {  // All paths of one (namespace, ingress, service).
    std::string labels;
    RouteStats stats;
  };
  struct CellRow {
    uint32_t slot;
    const RequestCell* cell;
  };
  size_t rows_of(size_t family) const;
  void write(std::string& out);
  void collect_routes();
  void collect_cells();
  std::string cell_labels(const CellRow& row) const;

  RequestView view_;
  NginxOptions nginx_;
  std::vector<RouteRow> routes_;
  std::vector<CellRow> cells_;
  size_t family_ = 0;  // Where it stands.
  size_t row_ = 0;
};

}  // namespace ringway::observe
