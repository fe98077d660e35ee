#include "dataplane/route/regex_list.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>

#include "dataplane/route/pattern.h"
#include "dataplane/route/route_table.h"

namespace ringway::route {
namespace {

// Below this many rules trying one after the other is faster than the set (route_benchmark).
constexpr size_t kPrefilterFrom = 3;
constexpr int64_t kPrefilterBytesMax = 8 << 20;

}  // namespace

class RegexList::Prefilter {
 public:
  Prefilter() : set_(options(), re2::RE2::ANCHOR_START) {}
  bool add(std::string_view pattern) {
    return set_.Add({pattern.data(), pattern.size()}, nullptr) >= 0;
  }
  bool compile() { return set_.Compile(); }

  enum class Answer { kNone, kFound, kUnknown /* out of its memory */ };
  Answer first(std::string_view path, size_t& index) const {
    thread_local std::vector<int> matched;  // Keeps its room: no allocation once warm.
    matched.clear();
    re2::RE2::Set::ErrorInfo error{};
    if (!set_.Match({path.data(), path.size()}, &matched, &error)) {
      return error.kind == re2::RE2::Set::kNoError ? Answer::kNone : Answer::kUnknown;
    }
    index = static_cast<size_t>(*std::min_element(matched.begin(), matched.end()));
    return Answer::kFound;
  }

 private:
  static re2::RE2::Options options() {
    re2::RE2::Options options;
    options.set_case_sensitive(false);
    options.set_log_errors(false);
    options.set_max_mem(kPrefilterBytesMax);
    options.set_encoding(re2::RE2::Options::EncodingLatin1);
    return options;
  }
  re2::RE2::Set set_;
};

RegexList::RegexList(const std::vector<PathRule>& rules, std::vector<std::string>& problems) {
  std::vector<const PathRule*> ordered;
  for (const PathRule& rule : rules) {
    if (rule.kind == PathKind::kRegex) ordered.push_back(&rule);
  }
  std::ranges::stable_sort(
      ordered, [](const PathRule* a, const PathRule* b) { return a->priority > b->priority; });
  for (const PathRule* rule : ordered) {
    std::shared_ptr<const Pattern> pattern = rule->pattern;
    if (pattern == nullptr) {
      auto made = Pattern::make(rule->path);
      if (!made) {
        problems.push_back("path \"" + rule->path + "\": " + made.error());
        continue;
      }
      pattern = *std::move(made);
    }
    rules_.push_back({std::move(pattern), rule->route.get()});
  }
  if (rules_.size() < kPrefilterFrom) return;
  prefilter_ = std::make_unique<Prefilter>();
  const bool added = std::ranges::all_of(
      rules_, [this](const Rule& r) { return prefilter_->add(r.pattern->text()); });
  if (!added || !prefilter_->compile()) prefilter_.reset();
}

RegexList::~RegexList() = default;

const Route* RegexList::find_one_by_one(std::string_view path) const {
  for (const Rule& rule : rules_) {
    if (rule.pattern->matches(path)) return rule.route;
  }
  return nullptr;
}

const Route* RegexList::find(std::string_view path) const {
  if (prefilter_ == nullptr) return find_one_by_one(path);
  size_t index = 0;
  switch (prefilter_->first(path, index)) {
    case Prefilter::Answer::kNone:
      return nullptr;
    case Prefilter::Answer::kFound:
      return rules_[index].route;
    case Prefilter::Answer::kUnknown:
      break;
  }
  return find_one_by_one(path);
}

}  // namespace ringway::route
