#include "controlplane/pipeline.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace ringway {
namespace {

constexpr std::chrono::hours kExpiryCheck{1};  // Certificates expire without any object changing.
constexpr size_t kLinesMax =
    200;  // Of problems, per batch: a broken directory must not drown the log.

int64_t now_s() { return wall_clock_ns() / static_cast<int64_t>(kNsPerSecond); }

void log_problem(const model::Problem& problem) {
  log_line(problem.severity == model::Severity::kError ? LogLevel::kError : LogLevel::kWarning,
           model::format(problem));
}

bool nothing_was_read(const source::Batch& batch) {
  return batch.changes.upserts.empty() &&
         std::ranges::any_of(batch.problems, [](const model::Problem& problem) {
           return problem.reason == model::Reason::kUnreadable;
         });
}

}  // namespace

void ProblemLog::update(const std::vector<model::Problem>& from_source,
                        const std::vector<model::Problem>& from_translation,
                        serve::PipelineStats& stats) {
  std::set<Identity> now;
  size_t errors = 0, lines = 0;
  for (const auto* problems : {&from_source, &from_translation}) {
    for (const model::Problem& problem : *problems) {
      Identity identity{problem.object, problem.location.file, problem.field, problem.reason,
                        problem.message};
      if (!known_.contains(identity) && !now.contains(identity) && ++lines <= kLinesMax)
        log_problem(problem);
      errors += problem.severity == model::Severity::kError ? 1 : 0;
      now.insert(std::move(identity));
    }
  }
  if (lines > kLinesMax)
    log_warning("{} further problems are not shown; ringway check prints them all",
                lines - kLinesMax);
  size_t gone = 0;
  for (const Identity& identity : known_) {
    if (now.contains(identity) || ++gone > kLinesMax) continue;
    const auto& [object, file, field, reason, message] = identity;
    std::string where = file;
    for (const std::string& part : {object.name.empty() ? "" : model::to_string(object), field}) {
      if (!part.empty()) where += (where.empty() ? "" : ": ") + part;
    }
    log_info("no longer: {}: {}", where, message);
  }
  stats.problems_errors = errors;
  stats.problems_warnings = from_source.size() + from_translation.size() - errors;
  known_ = std::move(now);
}

Pipeline::Pipeline(source::Source& source, translate::Options options,
                   snapshot::RemovalGuardOptions guard, snapshot::Store& store,
                   serve::DiscoveryServer& server, serve::PipelineStats& stats)
    : source_(source),
      translator_(std::move(options)),
      guard_(guard),
      store_(store),
      server_(server),
      stats_(stats) {}

void Pipeline::run(const std::atomic<bool>& stopping) {
  while (!stopping) {
    if (auto batch = source_.next(patience())) {
      take(std::move(*batch));
    } else if (!stopping && stats_.first_batch_done && guard_.held() == 0) {
      take({.problems = source_problems_});  // For warnings about expiry.
    }
    release_held();
  }
}

std::optional<translate::Preview> Pipeline::preview(const model::Object& ingress) const {
  if (!stats_.first_batch_done) return std::nullopt;
  const std::lock_guard lock(translator_mutex_);
  return translator_.preview(ingress);
}

std::chrono::milliseconds Pipeline::patience() const {
  if (guard_.held() == 0) return kExpiryCheck;
  const uint64_t now = monotonic_ns();
  return std::chrono::milliseconds(
      guard_.deadline_ns() <= now ? 0 : (guard_.deadline_ns() - now) / kNsPerMs + 1);
}

void Pipeline::take(source::Batch batch) {
  if (!stats_.first_batch_done && nothing_was_read(batch)) {
    // Proxies keep what they hold until it is known what there is.
    problem_log_.update(batch.problems, {}, stats_);
    return;
  }
  const uint64_t start_ns = monotonic_ns();
  translate::Translation translation = [&] {
    const std::lock_guard lock(translator_mutex_);
    return translator_.apply(batch.changes, now_s());
  }();
  const uint64_t took_ns = monotonic_ns() - start_ns;
  if (on_translation) on_translation(translation);
  ++stats_.batches;
  stats_.translate_ns_total += took_ns;
  stats_.translate_ns_last = took_ns;
  const size_t upserts = translation.upserts.size(), removals = translation.removals.size();
  const size_t held_before = guard_.held();
  auto now_removed = guard_.offer(translation.upserts, std::move(translation.removals),
                                  store_.size(), monotonic_ns());
  publish(std::move(translation.upserts), now_removed);
  if (guard_.held() > held_before) {
    log_warning(
        "{} of {} resources would go at once: held back for a moment, in case it is a mistake",
        guard_.held(), store_.size());
  }
  stats_.removals_held = guard_.held();
  if (!stats_.first_batch_done.exchange(true)) {
    log_info("configuration {}: {} resources from {} objects", store_.version(), store_.size(),
             batch.changes.upserts.size());
  } else {
    log_debug("configuration {}: {} resources changed, {} removed, translated in {} us",
              store_.version(), upserts, removals, took_ns / 1000);
  }
  source_problems_ = std::move(batch.problems);
  problem_log_.update(
      source_problems_,
      translation.problems == nullptr ? std::vector<model::Problem>{} : *translation.problems,
      stats_);
}

void Pipeline::release_held() {
  const auto released = guard_.release(monotonic_ns());
  if (released.empty()) return;
  log_warning("{} resources are still gone: removing them", released.size());
  publish({}, released);
  stats_.removals_held = 0;
}

void Pipeline::publish(std::vector<v1::Resource> upserts,
                       const std::vector<v1::ResourceName>& removals) {
  const bool changed = store_.apply(std::move(upserts), removals);
  if (!changed && stats_.first_batch_done) return;
  server_.publish();  // The first one also when nothing is there: proxies may become ready.
  if (!changed) return;
  ++stats_.published;
  stats_.changed_at_s = now_s();
}

}  // namespace ringway
