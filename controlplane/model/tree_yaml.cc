// YAML by yaml-cpp's event interface: no tree of its own is built, so the limits hold while
// parsing.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <istream>
#include <map>
#include <streambuf>

#include "controlplane/model/problem.h"
#include "controlplane/model/tree.h"

namespace ringway::model {
namespace {

// Ends the parse: yaml-cpp knows no other way out of an event. Caught in parse_yaml().
struct Stop {};

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

bool is_number(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  bool digits = false;
  bool dot = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      digits = true;
    } else if (c == '.' && !dot) {
      dot = true;
    } else if ((c == 'e' || c == 'E') && digits && i + 1 < text.size()) {
      std::string_view power = text.substr(i + 1);
      if (power.front() == '-' || power.front() == '+') power.remove_prefix(1);
      return !power.empty() && power.find_first_not_of("0123456789") == std::string_view::npos;
    } else {
      return false;
    }
  }
  return digits;
}

// The types that Kubernetes' own YAML reader (sigs.k8s.io/yaml, YAML 1.1 rules) gives plain
// scalars.
Tree::Type plain_type(std::string_view text) {
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return Tree::Type::kNull;
  if (is_one_of(text, {"true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes",
                       "YES",  "no",   "No",   "NO",    "on",    "On",    "ON",  "off",
                       "Off",  "OFF",  "y",    "Y",     "n",     "N"})) {
    return Tree::Type::kBool;
  }
  return is_number(text) ? Tree::Type::kNumber : Tree::Type::kString;
}

bool plain_truth(std::string_view text) {
  return is_one_of(text, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"});
}

class Handler : public YAML::EventHandler {
 public:
  Handler(TreeBuilder& builder, uint32_t first_line) : builder_(builder), first_line_(first_line) {}

  // Why the parse was stopped. Line 0: the builder knows.
  const TreeError& refusal() const { return refusal_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    value(mark, anchor, Tree::Type::kNull, "");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (builder_.awaits_key()) return take(builder_.key(text, line(mark)));
    // "?" marks a plain scalar, "!" a quoted one.
    if (tag == "?" || tag.empty()) {
      const Tree::Type type = plain_type(text);
      if (type == Tree::Type::kBool) {
        return value(mark, anchor, type, plain_truth(text) ? "true" : "false");
      }
      return value(mark, anchor, type, type == Tree::Type::kNull ? "" : text);
    }
    if (tag == "!" || tag == "tag:yaml.org,2002:str") {
      return value(mark, anchor, Tree::Type::kString, text);
    }
    if (tag == "tag:yaml.org,2002:binary") return value(mark, anchor, Tree::Type::kString, text);
    refuse(mark, "the tag " + quote(tag) + " is not read");
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto at = anchors_.find(anchor);
    if (at == anchors_.end()) refuse(mark, "an alias of a value that has not ended");
    if (builder_.awaits_key()) {
      const Tree& target = builder_.at(at->second);
      if (!target.items.empty()) refuse(mark, "a key must be a string");
      return take(builder_.key(target.text, line(mark)));
    }
    take(builder_.copy(at->second, line(mark)));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, anchor, Tree::Type::kSequence);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, anchor, Tree::Type::kMapping);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  uint32_t line(const YAML::Mark& mark) const {
    return first_line_ + static_cast<uint32_t>(std::max(mark.line, 0));
  }

  void take(bool accepted) {
    if (!accepted) throw Stop{};
  }

  [[noreturn]] void refuse(const YAML::Mark& mark, std::string message) {
    refusal_ = {line(mark), std::move(message)};
    throw Stop{};
  }

  void value(const YAML::Mark& mark, YAML::anchor_t anchor, Tree::Type type, std::string text) {
    if (builder_.awaits_key()) refuse(mark, "a key must be a string");
    take(builder_.scalar(type, std::move(text), line(mark)));
    remember(anchor);
  }

  void open(const YAML::Mark& mark, YAML::anchor_t anchor, Tree::Type type) {
    if (builder_.awaits_key()) refuse(mark, "a key must be a string");
    take(builder_.open(type, line(mark)));
    open_anchors_.push_back(anchor);
  }

  void close() {
    take(builder_.close());
    remember(open_anchors_.back());
    open_anchors_.pop_back();
  }

  void remember(YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = builder_.path_of_last();
  }

  TreeBuilder& builder_;
  const uint32_t first_line_;
  std::map<YAML::anchor_t, TreeBuilder::Path> anchors_;
  std::vector<YAML::anchor_t> open_anchors_;
  TreeError refusal_;
};

// Reads from the caller's memory without a copy.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // The get area is never written to.
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

std::expected<Tree, TreeError> parse_yaml(std::string_view text, uint32_t first_line,
                                          const TreeLimits& limits) {
  TreeBuilder builder(limits);
  Handler handler(builder, first_line);
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(handler)) return Tree{.line = first_line};
  } catch (const Stop&) {
    const bool own = handler.refusal().line != 0;
    return std::unexpected(own ? handler.refusal() : builder.error());
  } catch (const YAML::Exception& e) {
    const uint32_t line = static_cast<uint32_t>(std::max(e.mark.line, 0));
    return std::unexpected(TreeError{first_line + line, e.msg});
  } catch (const std::exception&) {
    // yaml-cpp lets a few standard exceptions out for malformed escapes.
    return std::unexpected(TreeError{first_line, "malformed YAML"});
  }
  return builder.take();
}

}  // namespace ringway::model
