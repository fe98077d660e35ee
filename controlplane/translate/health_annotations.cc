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
  bool tcp = false;
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
  if (text != "http" && text != "tcp") {
    return std::unexpected("must be \"http\" or \"tcp\", is " + model::quote(text));
  }
  to.tcp = text == "tcp";
  return {};
}

struct Row {
  std::string_view name;
  Applied (*apply)(std::string_view text, Draft& to);
};

constexpr Row kRows[] = {
    {"health-check-body", body},
    {"health-check-expected-status", expected_status},
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

std::optional<v1::HealthCheck> read_health_check(const Annotations& annotations, Report& report) {
  Draft draft;
  bool any = false;
  for (const auto& [key, text] : annotations) {
    if (!key.starts_with(kPrefix)) continue;
    const std::string field = "metadata.annotations[" + key + "]";
    const std::string_view name = std::string_view(key).substr(kPrefix.size());
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
  if (!draft.tcp && !draft.has_path) {
    if (any) {
      report.warning("metadata.annotations[ringway.dev/health-check-path]",
                     Reason::kInvalidAnnotation,
                     "no health check without a path, or health-check-port-type \"tcp\"");
    }
    return std::nullopt;
  }
  if (draft.tcp) {
    draft.check.mutable_tcp();
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
