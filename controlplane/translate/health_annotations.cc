#include "controlplane/translate/health_annotations.h"

#include <algorithm>

#include "controlplane/translate/values.h"

namespace ringway::translate {
namespace {

using model::Reason;

constexpr std::string_view kPrefix = "ringway.dev/";

struct Draft {
  v1::HealthCheck check;
  v1::HttpCheck http;
  bool has_path = false;
  std::string grpc_service;
  std::string port_type = "http";
};

using Applied = Value<void>;

Applied path(std::string_view text, Draft& to) {
  auto value = parse_target(text);
  if (!value) return std::unexpected(std::move(value).error());
  to.http.set_path(*std::move(value));
  to.has_path = true;
  return {};
}
Applied host(std::string_view text, Draft& to) {
  auto value = parse_host_header(text);
  if (!value) return std::unexpected(std::move(value).error());
  to.http.set_host(*std::move(value));
  return {};
}
Applied body(std::string_view text, Draft& to) {
  const bool printable = std::ranges::all_of(text, [](char c) { return c >= 0x20 && c != 0x7F; });
  if (text.empty() || text.size() > 256 || !printable) {
    return std::unexpected("must be 1 to 256 characters of printable ASCII, is " +
                           model::quote(text));
  }
  to.http.set_body_contains(std::string(text));
  return {};
}
Applied expected_status(std::string_view text, Draft& to) {
  v1::HttpCheck parsed;
  if (Applied done = parse_status_ranges(text, parsed); !done) return done;
  *to.http.mutable_expected() = std::move(*parsed.mutable_expected());
  return {};
}
Applied interval(std::string_view text, Draft& to) {
  const auto ms = parse_duration_ms(text);
  if (!ms) return std::unexpected(ms.error());
  if (*ms < 100) return std::unexpected("must be at least 100ms, is " + model::quote(text));
  to.check.set_interval_ms(*ms);
  return {};
}
Applied timeout(std::string_view text, Draft& to) {
  const auto ms = parse_duration_ms(text);
  if (!ms) return std::unexpected(ms.error());
  to.check.set_timeout_ms(*ms);
  return {};
}
Applied healthy_threshold(std::string_view text, Draft& to) {
  const auto count = parse_number(text, 1, 1000);
  if (!count) return std::unexpected(count.error());
  to.check.set_healthy_threshold(*count);
  return {};
}
Applied unhealthy_threshold(std::string_view text, Draft& to) {
  const auto count = parse_number(text, 1, 1000);
  if (!count) return std::unexpected(count.error());
  to.check.set_unhealthy_threshold(*count);
  return {};
}
Applied port_type(std::string_view text, Draft& to) {
  if (text != "http" && text != "tcp" && text != "grpc") {
    return std::unexpected("must be \"http\", \"tcp\" or \"grpc\", is " + model::quote(text));
  }
  to.port_type = text;
  return {};
}
Applied grpc_service(std::string_view text, Draft& to) {
  const bool name = std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c == '.' || c == '_' || c == '-' || c == '/';
  });
  if (text.empty() || text.size() > 256 || !name) {
    return std::unexpected("must be the name of a gRPC service, is " + model::quote(text));
  }
  to.grpc_service = text;
  return {};
}

struct Row {
  std::string_view name;
  Applied (*apply)(std::string_view text, Draft& to);
};

constexpr Row kRows[] = {
    {"health-check-body", body},
    {"health-check-expected-status", expected_status},
    {"health-check-grpc-service", grpc_service},
    {"health-check-healthy-threshold", healthy_threshold},
    {"health-check-host", host},
    {"health-check-interval", interval},
    {"health-check-path", path},
    {"health-check-port-type", port_type},
    {"health-check-timeout", timeout},
    {"health-check-unhealthy-threshold", unhealthy_threshold},
};
static_assert(std::ranges::is_sorted(kRows, {}, &Row::name));

}  // namespace

bool is_health_annotation(std::string_view name) { return name.starts_with("health-check-"); }

std::optional<v1::HealthCheck> read_health_check(const Annotations& annotations, Report& report) {
  Draft draft;
  bool any = false;
  for (const auto& [key, text] : annotations) {
    if (!key.starts_with(kPrefix)) continue;
    const std::string field = "metadata.annotations[" + key + "]";
    const std::string_view name = std::string_view(key).substr(kPrefix.size());
    if (!is_health_annotation(name)) continue;
    const auto row = std::ranges::lower_bound(kRows, name, {}, &Row::name);
    if (row == std::end(kRows) || row->name != name) {
      report.warning(field, Reason::kUnsupportedAnnotation, "is not an annotation of Ringway");
      continue;
    }
    any = true;
    if (const Applied done = row->apply(text, draft); !done) {
      report.error(field, Reason::kInvalidAnnotation, done.error());
    }
  }
  if (draft.port_type == "http" && !draft.has_path) {
    if (any) {
      report.warning("metadata.annotations[ringway.dev/health-check-path]",
                     Reason::kInvalidAnnotation,
                     "no health check without a path, or health-check-port-type \"tcp\" or \"grpc\"");
    }
    return std::nullopt;
  }
  if (draft.port_type == "tcp") {
    draft.check.mutable_tcp();
  } else if (draft.port_type == "grpc") {
    draft.check.mutable_grpc()->set_service(draft.grpc_service);
    draft.check.mutable_grpc()->set_host(draft.http.host());
  } else {
    *draft.check.mutable_http() = std::move(draft.http);
  }
  return draft.check;
}

std::vector<std::string_view> health_annotation_names() {
  std::vector<std::string_view> names;
  for (const Row& row : kRows) names.push_back(row.name);
  return names;
}

}  // namespace ringway::translate
