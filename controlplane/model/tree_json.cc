// JSON by nlohmann's SAX interface; the lines are counted by the iterator that feeds it.
#include <nlohmann/json.hpp>

#include "controlplane/model/tree.h"

namespace ringway::model {
namespace {

// Feeds the lexer and counts line ends. The lexer reads at most one character past a token.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, uint32_t* line) : at_(at), line_(line) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    if (*at_ == '\n') ++*line_;
    ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  uint32_t* line_;
};

class Sax : public nlohmann::json_sax<nlohmann::json> {
 public:
  Sax(TreeBuilder& builder, const uint32_t& line) : builder_(builder), line_(line) {}

  bool null() override { return builder_.scalar(Tree::Type::kNull, "", line_); }
  bool boolean(bool value) override {
    return builder_.scalar(Tree::Type::kBool, value ? "true" : "false", line_);
  }
  bool number_integer(number_integer_t value) override {
    return builder_.scalar(Tree::Type::kNumber, std::to_string(value), line_);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return builder_.scalar(Tree::Type::kNumber, std::to_string(value), line_);
  }
  bool number_float(number_float_t, const string_t& text) override {
    return builder_.scalar(Tree::Type::kNumber, text, line_);
  }
  bool string(string_t& text) override {
    return builder_.scalar(Tree::Type::kString, std::move(text), line_);
  }
  bool binary(binary_t&) override { return false; }  // Never called for JSON text.
  bool start_object(size_t) override { return builder_.open(Tree::Type::kMapping, line_); }
  bool key(string_t& text) override { return builder_.key(std::move(text), line_); }
  bool end_object() override { return builder_.close(); }
  bool start_array(size_t) override { return builder_.open(Tree::Type::kSequence, line_); }
  bool end_array() override { return builder_.close(); }

  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& e) override {
    syntax_error_ = e.what();
    // Drops "[json.exception.parse_error.101] parse error at line 1, column 2: ".
    if (const size_t at = syntax_error_.find(": "); at != std::string::npos) {
      syntax_error_.erase(0, at + 2);
    }
    return false;
  }
  const std::string& syntax_error() const { return syntax_error_; }

 private:
  TreeBuilder& builder_;
  const uint32_t& line_;
  std::string syntax_error_;
};

}  // namespace

std::expected<Tree, TreeError> parse_json(std::string_view text, const TreeLimits& limits,
                                          uint32_t first_line) {
  TreeBuilder builder(limits);
  uint32_t line = first_line;
  Sax sax(builder, line);
  CountingIterator begin(text.data(), &line);
  CountingIterator end(text.data() + text.size(), &line);
  if (nlohmann::json::sax_parse(begin, end, &sax)) return builder.take();
  if (!sax.syntax_error().empty()) return std::unexpected(TreeError{line, sax.syntax_error()});
  return std::unexpected(builder.error());
}

}  // namespace ringway::model
