#include "dataplane/observe/request_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <tuple>

#include "dataplane/observe/series_text.h"

namespace ringway::observe {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;
constexpr uint16_t kClientClosedRequest = 499;  // What nginx logs when the client has left.

enum class Type : uint8_t { kCounter, kHistogram };

struct RouteFamily {
  std::string_view name, help;
  Type type;
  void (*write)(SeriesText&, std::string_view labels, const RouteStats&);
};

void write_codes(SeriesText& text, std::string_view labels, const RouteStats& stats) {
  static constexpr std::array<std::string_view, 6> kCodes{R"(code="none")", R"(code="1xx")",
                                                          R"(code="2xx")",  R"(code="3xx")",
                                                          R"(code="4xx")",  R"(code="5xx")"};
  for (size_t code = 0; code < kCodes.size(); ++code) {
    if (stats.by_status_class[code] > 0)
      text.add(labels, kCodes[code], stats.by_status_class[code]);
  }
}

void write_grpc(SeriesText& text, std::string_view labels, const RouteStats& stats) {
  for (size_t code = 0; code < kGrpcCodes; ++code) {
    if (stats.grpc[code] == 0) continue;
    text.add(labels, label_text({{"grpc_code", grpc_code_name(code)}}), stats.grpc[code]);
  }
}

template <auto kMember>
void write_counter(SeriesText& text, std::string_view labels, const RouteStats& stats) {
  text.add(labels, "", stats.*kMember);
}

template <auto kMember>
void write_histogram(SeriesText& text, std::string_view labels, const RouteStats& stats) {
  text.add(labels, stats.*kMember);
}

constexpr std::array<RouteFamily, 7> kRouteFamilies{{
    {"ringway_requests_total",
     "Requests that ended, by route and class of the answer's status; none: the client left before "
     "an answer.",
     Type::kCounter, write_codes},
    {"ringway_request_duration_seconds",
     "From the first byte of a request to the end of its response.", Type::kHistogram,
     write_histogram<&RouteStats::request_duration>},
    {"ringway_upstream_response_duration_seconds",
     "From the choice of an endpoint to the head of its response.", Type::kHistogram,
     write_histogram<&RouteStats::header_duration>},
    {"ringway_request_body_bytes_total", "Bytes of request bodies received from clients.",
     Type::kCounter, write_counter<&RouteStats::request_bytes>},
    {"ringway_response_body_bytes_total", "Bytes of response bodies sent to clients.",
     Type::kCounter, write_counter<&RouteStats::response_bytes>},
    {"ringway_upstream_retries_total", "Requests tried again on another endpoint.", Type::kCounter,
     write_counter<&RouteStats::retries>},
    {"ringway_grpc_calls_total",
     "Calls of gRPC that ended, by route and status; none: a side left before there was one.",
     Type::kCounter, write_grpc},
}};

struct CellFamily {
  std::string_view name, help;
  Type type;
  void (*write)(SeriesText&, std::string_view labels, const RequestCell&);
};

template <auto kMember>
void write_duration(SeriesText& text, std::string_view labels, const RequestCell& cell) {
  // As ingress-nginx, whose series of upstream times begin with the first answer of an endpoint.
  if ((cell.*kMember).count() > 0) text.add(labels, cell.*kMember);
}

constexpr std::array<CellFamily, 8> kCellFamilies{{
    {"nginx_ingress_controller_requests", "The total number of client requests", Type::kCounter,
     [](SeriesText& text, std::string_view labels, const RequestCell& cell) {
       text.add(labels, "", cell.requests());
     }},
    {"nginx_ingress_controller_request_duration_seconds", "The request processing time in seconds",
     Type::kHistogram, write_duration<&RequestCell::request_duration>},
    {"nginx_ingress_controller_connect_duration_seconds",
     "The time spent on establishing a connection with the upstream server", Type::kHistogram,
     write_duration<&RequestCell::connect_duration>},
    {"nginx_ingress_controller_header_duration_seconds",
     "The time spent on receiving first header from the upstream server", Type::kHistogram,
     write_duration<&RequestCell::header_duration>},
    {"nginx_ingress_controller_response_duration_seconds",
     "The time spent on receiving the response from the upstream server", Type::kHistogram,
     write_duration<&RequestCell::response_duration>},
    {"nginx_ingress_controller_request_size",
     "The request length (including request line, header, and request body)", Type::kHistogram,
     [](SeriesText& text, std::string_view labels, const RequestCell& cell) {
       text.add(labels, cell.request_size, SizeBounds::kLinear);
     }},
    {"nginx_ingress_controller_response_size",
     "The response length (including status line, header, and response body)", Type::kHistogram,
     [](SeriesText& text, std::string_view labels, const RequestCell& cell) {
       text.add(labels, cell.response_size, SizeBounds::kLinear);
     }},
    {"nginx_ingress_controller_bytes_sent", "DEPRECATED The number of bytes sent to a client",
     Type::kHistogram,
     [](SeriesText& text, std::string_view labels, const RequestCell& cell) {
       text.add(labels, cell.response_size, SizeBounds::kExponential);
     }},
}};

template <typename Family>
void begin(SeriesText& text, const Family& family) {
  family.type == Type::kCounter ? text.counter(family.name, family.help)
                                : text.histogram(family.name, family.help);
}

std::string_view method_label(const CellKey& key) {
  static constexpr std::array<std::string_view, 10> kMethods{
      "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_other"};
  static_assert(kMethods.size() == static_cast<size_t>(http::Method::kOther) + 1);
  return kMethods[static_cast<size_t>(key.any_method ? http::Method::kOther : key.method)];
}

std::string status_label(const CellKey& key) {
  if (key.status == 0) return std::to_string(kClientClosedRequest);
  return key.any_method ? std::to_string(key.status) + "xx" : std::to_string(key.status);
}

}  // namespace

RequestText::RequestText(RequestView view, NginxOptions nginx)
    : view_(std::move(view)), nginx_(std::move(nginx)) {
  collect_routes();
  if (nginx_.on) collect_cells();
}

void RequestText::collect_routes() {
  using Key = std::tuple<std::string_view, std::string_view, std::string_view>;
  std::map<Key, RouteStats> routes;
  for (uint32_t slot = 1; slot < view_.owners.size(); ++slot) {
    if (view_.owners[slot] == nullptr) continue;
    const RouteStats stats = view_.stats.of(slot);
    if (stats.requests() == 0) continue;
    const RouteLabels& labels = view_.owners[slot]->key;
    routes[{labels.namespace_name, labels.ingress, labels.service}].add(stats);
  }
  const RouteStats none = view_.stats.of(config::MetricsSlots::kNoRoute);
  if (none.requests() > 0) routes[{"", kNoRouteLabel, ""}] = none;
  if (view_.removed.requests() > 0) routes[{"", kRemovedLabel, ""}] = view_.removed;
  routes_.reserve(routes.size());
  for (const auto& [key, stats] : routes) {
    const auto& [namespace_name, ingress, service] = key;
    routes_.push_back(
        {label_text({{"namespace", namespace_name}, {"ingress", ingress}, {"service", service}}),
         stats});
  }
}

void RequestText::collect_cells() {
  for (uint32_t slot = 0; slot < view_.stats.slots(); ++slot) {
    if (slot != config::MetricsSlots::kNoRoute && view_.owners[slot] == nullptr) continue;
    view_.stats.for_each_cell(slot, [&](const RequestCell& cell) {
      if (cell.requests() > 0) cells_.push_back({slot, &cell});
    });
  }
}

std::string RequestText::cell_labels(const CellRow& row) const {
  static const RouteLabels kNone{"", "", "", "_", ""};  // ingress-nginx's server for other hosts.
  const RouteLabels& route =
      row.slot == config::MetricsSlots::kNoRoute ? kNone : view_.owners[row.slot]->key;
  const std::string status = status_label(row.cell->key);
  std::string out = label_text({{"controller_class", nginx_.identity.controller_class},
                                {"controller_namespace", nginx_.identity.controller_namespace},
                                {"controller_pod", nginx_.identity.controller_pod},
                                {"namespace", route.namespace_name},
                                {"ingress", route.ingress},
                                {"service", route.service},
                                {"canary", ""},
                                {"path", route.path},
                                {"method", method_label(row.cell->key)},
                                {"status", status}});
  if (nginx_.per_host) out.append(",").append(label_text({{"host", route.host}}));
  return out;
}

size_t RequestText::rows_of(size_t family) const {
  return family < kRouteFamilies.size() ? routes_.size() : cells_.size();
}

// One series of the family where it stands.
void RequestText::write(std::string& out) {
  SeriesText text(out);
  if (family_ < kRouteFamilies.size()) {
    const RouteFamily& family = kRouteFamilies[family_];
    row_ == 0 ? begin(text, family) : text.resume(family.name);
    family.write(text, routes_[row_].labels, routes_[row_].stats);
  } else {
    const CellFamily& family = kCellFamilies[family_ - kRouteFamilies.size()];
    row_ == 0 ? begin(text, family) : text.resume(family.name);
    family.write(text, cell_labels(cells_[row_]), *cells_[row_].cell);
  }
}

bool RequestText::next(std::string& out) {
  const size_t full = out.size() + kPieceBytes;
  while (family_ < kRouteFamilies.size() + kCellFamilies.size()) {
    if (row_ == rows_of(family_)) {
      ++family_;
      row_ = 0;
      continue;
    }
    if (out.size() >= full) return true;
    write(out);
    ++row_;
  }
  return false;
}

}  // namespace ringway::observe
