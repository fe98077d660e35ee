#include "dataplane/observe/series_text.h"

#include <array>
#include <charconv>

namespace ringway::observe {
namespace {

// kDurationBoundsSeconds as they are written.
constexpr std::array<std::string_view, 12> kBuckets{
    R"(le="0.005")", R"(le="0.01")", R"(le="0.025")", R"(le="0.05")",
    R"(le="0.1")",   R"(le="0.25")", R"(le="0.5")",   R"(le="1")",
    R"(le="2.5")",   R"(le="5")",    R"(le="10")",    R"(le="+Inf")"};
static_assert(kBuckets.size() == std::tuple_size_v<decltype(Histogram::buckets)>);

// kSizeBoundsBytes as they are written, and in which kinds of histogram.
struct SizeBucket {
  std::string_view label;
  bool linear, exponential;
};
constexpr std::array<SizeBucket, 16> kSizeBuckets{{{R"(le="10")", true, true},
                                                   {R"(le="20")", true, false},
                                                   {R"(le="30")", true, false},
                                                   {R"(le="40")", true, false},
                                                   {R"(le="50")", true, false},
                                                   {R"(le="60")", true, false},
                                                   {R"(le="70")", true, false},
                                                   {R"(le="80")", true, false},
                                                   {R"(le="90")", true, false},
                                                   {R"(le="100")", true, true},
                                                   {R"(le="1000")", false, true},
                                                   {R"(le="10000")", false, true},
                                                   {R"(le="100000")", false, true},
                                                   {R"(le="1e+06")", false, true},
                                                   {R"(le="1e+07")", false, true},
                                                   {R"(le="+Inf")", true, true}}};
static_assert(kSizeBuckets.size() == std::tuple_size_v<decltype(SizeHistogram::buckets)>);

// At most 24 characters for either kind.
template <typename Number>
std::string_view number_text(Number value, std::array<char, 32>& into) {
  const auto end = std::to_chars(into.data(), into.data() + into.size(), value).ptr;
  return {into.data(), static_cast<size_t>(end - into.data())};
}

}  // namespace

std::string label_text(
    std::initializer_list<std::pair<std::string_view, std::string_view>> labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out += ',';
    out += name;
    out += "=\"";
    for (const char c : value) {
      if (c == '\\' || c == '"') out += '\\';
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    out += '"';
  }
  return out;
}

void SeriesText::begin(std::string_view name, std::string_view help, std::string_view type) {
  name_ = name;
  out_.append("# HELP ").append(name).append(" ").append(help);
  out_.append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
}

void SeriesText::line(std::string_view suffix, std::string_view labels, std::string_view more,
                      std::string_view value) {
  out_.append(name_).append(suffix).append("{").append(labels);
  if (!more.empty()) out_.append(",").append(more);
  out_.append("} ").append(value).append("\n");
}

void SeriesText::add(std::string_view labels, std::string_view more, uint64_t value) {
  std::array<char, 32> digits;
  line("", labels, more, number_text(value, digits));
}

void SeriesText::add(std::string_view labels, std::string_view more, double value) {
  std::array<char, 32> digits;
  line("", labels, more, number_text(value, digits));
}

void SeriesText::add(std::string_view labels, const Histogram& histogram) {
  std::array<char, 32> digits;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < histogram.buckets.size(); ++i) {
    cumulative += histogram.buckets[i];
    line("_bucket", labels, kBuckets[i], number_text(cumulative, digits));
  }
  line("_sum", labels, "", number_text(static_cast<double>(histogram.sum_ns) / 1e9, digits));
  line("_count", labels, "", number_text(cumulative, digits));
}

void SeriesText::add(std::string_view labels, const SizeHistogram& histogram, SizeBounds bounds) {
  std::array<char, 32> digits;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < histogram.buckets.size(); ++i) {
    cumulative += histogram.buckets[i];
    const SizeBucket& bucket = kSizeBuckets[i];
    if (bounds == SizeBounds::kLinear ? bucket.linear : bucket.exponential)
      line("_bucket", labels, bucket.label, number_text(cumulative, digits));
  }
  line("_sum", labels, "", number_text(histogram.sum_bytes, digits));
  line("_count", labels, "", number_text(cumulative, digits));
}

}  // namespace ringway::observe
