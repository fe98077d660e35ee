// Writes series of the Prometheus text format 0.0.4 straight into a string: for families with one
// series per route or service, of which there may be tens of thousands, and the control thread has
// other things to do meanwhile. prometheus-cpp's serializer takes some 3 microseconds a line.
//
// Thread rule: none; a value.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/observe/request_stats.h"

namespace ringway::observe {

// `name="value",name="value"` with backslash, quote and line feed escaped. Names are constants and
// need no escaping.
std::string label_text(std::initializer_list<std::pair<std::string_view, std::string_view>> labels);

// Which bounds of a SizeHistogram are written: those of ingress-nginx's request_size and
// response_size (10, 20 … 100), or of bytes_sent (10, 100 … 10^7).
enum class SizeBounds : uint8_t { kLinear, kExponential };

class SeriesText {
 public:
  explicit SeriesText(std::string& out) : out_(out) {}

  // Begins a family; its series follow. `name` is kept: a constant.
  void counter(std::string_view name, std::string_view help) { begin(name, help, "counter"); }
  void gauge(std::string_view name, std::string_view help) { begin(name, help, "gauge"); }
  void histogram(std::string_view name, std::string_view help) { begin(name, help, "histogram"); }
  // Goes on with a family that was begun in another string.
  void resume(std::string_view name) { name_ = name; }

  // `labels`: from label_text(), not empty; `more`: the same, or "".
  void add(std::string_view labels, std::string_view more, uint64_t value);
  void add(std::string_view labels, std::string_view more, double value);
  void add(std::string_view labels, const Histogram& histogram);
  void add(std::string_view labels, const SizeHistogram& histogram, SizeBounds bounds);

 private:
  void begin(std::string_view name, std::string_view help, std::string_view type);
  void line(std::string_view suffix, std::string_view labels, std::string_view more,
            std::string_view value);
  std::string& out_;
  std::string_view name_;
};

}  // namespace ringway::observe
