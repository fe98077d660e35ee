#include "controlplane/model/json_object.h"

#include <google/protobuf/descriptor.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace ringway::model {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Drives a TreeBuilder with the events that belong to fields of the message.
//
// Invariant: frames_ has one entry per container that the builder has open; skip_depth_ counts the
// containers open below a value that is passed over.
class PruningSax : public nlohmann::json_sax<nlohmann::json> {
 public:
  PruningSax(TreeBuilder& builder, const Descriptor* type) : builder_(builder) {
    frames_.push_back({.type = type});  // Of the document itself; popped by nobody.
  }

  bool null() override { return scalar(Tree::Type::kNull, ""); }
  bool boolean(bool value) override { return scalar(Tree::Type::kBool, value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return skipping() || scalar(Tree::Type::kNumber, std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return skipping() || scalar(Tree::Type::kNumber, std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return skipping() || scalar(Tree::Type::kNumber, text);
  }
  bool string(string_t& text) override {
    return skipping() || scalar(Tree::Type::kString, std::move(text));
  }
  bool binary(binary_t&) override { return false; }  // Never called for JSON text.

  bool start_object(size_t) override {
    if (skips()) return enter_skipped();
    const Frame frame = inner_frame();
    frames_.push_back(frame);
    return builder_.open(Tree::Type::kMapping, 1);
  }
  bool start_array(size_t) override {
    if (skips()) return enter_skipped();
    const Frame outer = inner_frame();
    frames_.push_back({.type = outer.type, .entries = outer.entries, .array = true});
    return builder_.open(Tree::Type::kSequence, 1);
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool key(string_t& text) override {
    if (skip_depth_ > 0) return true;
    Frame& frame = frames_.back();
    frame.field = nullptr;
    skip_next_ = frame.entries ? text == "kubectl.kubernetes.io/last-applied-configuration"
                               : (frame.field = field_named(frame.type, text)) == nullptr;
    return skip_next_ || builder_.key(std::move(text), 1);
  }

  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& e) override {
    syntax_error_ = e.what();
    if (const size_t at = syntax_error_.find(": "); at != std::string::npos) {
      syntax_error_.erase(0, at + 2);  // Without nlohmann's own prefix.
    }
    return false;
  }
  const std::string& syntax_error() const { return syntax_error_; }

 private:
  // A container. `type` is the message that its values or (for arrays) items are fields of.
  struct Frame {
    const Descriptor* type = nullptr;        // nullptr: of nothing that is read.
    const FieldDescriptor* field = nullptr;  // Of the value that comes next, in an object.
    bool entries = false;                    // A map: every key counts.
    bool array = false;
  };

  static const FieldDescriptor* field_named(const Descriptor* type, const std::string& name) {
    if (type == nullptr) return nullptr;
    for (int i = 0; i < type->field_count(); ++i) {
      if (type->field(i)->json_name() == name) return type->field(i);
    }
    return nullptr;
  }

  bool skipping() const { return skip_depth_ > 0; }

  // Whether the value that begins now is passed over; takes the mark of key() away.
  bool skips() { return skip_depth_ > 0 || std::exchange(skip_next_, false); }

  bool enter_skipped() {
    ++skip_depth_;
    return true;
  }

  bool leave() {
    if (skip_depth_ > 0) {
      --skip_depth_;
      return true;
    }
    frames_.pop_back();
    return builder_.close();
  }

  // What an object (or the items of an array) is, where it begins now.
  Frame inner_frame() const {
    const Frame& outer = frames_.back();
    if (frames_.size() == 1 || outer.array) return {.type = outer.type, .entries = outer.entries};
    if (outer.field == nullptr) return {};
    if (outer.field->is_map()) return {.entries = true};
    return {.type = outer.field->message_type()};
  }

  bool scalar(Tree::Type type, std::string text) {
    return skips() || builder_.scalar(type, std::move(text), 1);
  }

  TreeBuilder& builder_;
  std::vector<Frame> frames_;
  size_t skip_depth_ = 0;
  bool skip_next_ = false;
  std::string syntax_error_;
};

}  // namespace

std::expected<void, DecodeError> decode_json(std::string_view json,
                                             google::protobuf::Message& message,
                                             const TreeLimits& limits) {
  TreeBuilder builder(limits);
  PruningSax sax(builder, message.GetDescriptor());
  if (!nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &sax)) {
    const bool syntax = !sax.syntax_error().empty();
    return std::unexpected(
        DecodeError{"", 1, syntax ? sax.syntax_error() : builder.error().message});
  }
  return decode(builder.take(), message);
}

}  // namespace ringway::model
