#include "controlplane/model/decode.h"

#include <google/protobuf/descriptor.h>

#include <charconv>

#include "base/utf8.h"
#include "controlplane/base/base64.h"
#include "controlplane/model/problem.h"
#include "kubernetes/meta.pb.h"

namespace ringway::model {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Decoded = std::expected<void, DecodeError>;

std::string_view type_name(Tree::Type type) {
  switch (type) {
    case Tree::Type::kNull:
      return "null";
    case Tree::Type::kBool:
      return "a boolean";
    case Tree::Type::kNumber:
      return "a number";
    case Tree::Type::kString:
      return "a string";
    case Tree::Type::kSequence:
      return "a list";
    case Tree::Type::kMapping:
      return "a mapping";
  }
  return "nothing";
}

DecodeError wrong_type(const Tree& tree, std::string_view expected) {
  std::string message = "must be " + std::string(expected) + ", is ";
  message += type_name(tree.type);
  if (expected == "a string" &&
      (tree.type == Tree::Type::kBool || tree.type == Tree::Type::kNumber)) {
    message += " (write it in quotes)";
  }
  return {"", tree.line, std::move(message)};
}

// Puts `name` before the path of an error that came from below.
DecodeError inside(std::string_view name, DecodeError error) {
  const bool joined = error.field.empty() || error.field.front() == '[';
  error.field = std::string(name) + (joined ? "" : ".") + error.field;
  return error;
}

std::expected<int32_t, DecodeError> decode_int32(const Tree& tree) {
  if (tree.type != Tree::Type::kNumber) return std::unexpected(wrong_type(tree, "a number"));
  int32_t value = 0;
  const char* end = tree.text.data() + tree.text.size();
  const auto [at, error] = std::from_chars(tree.text.data(), end, value);
  if (error != std::errc() || at != end) {
    return std::unexpected(
        DecodeError{"", tree.line, "must be a 32-bit integer, is " + quote(tree.text)});
  }
  return value;
}

std::expected<std::string, DecodeError> decode_text(const Tree& tree, FieldDescriptor::Type type) {
  if (tree.type != Tree::Type::kString) return std::unexpected(wrong_type(tree, "a string"));
  if (type != FieldDescriptor::TYPE_BYTES) {
    // One such string would make proxies refuse the whole transaction that carries it.
    if (!is_utf8(tree.text)) return std::unexpected(DecodeError{"", tree.line, "is not UTF-8 text"});
    return tree.text;
  }
  std::optional<std::string> bytes = base64_decode(tree.text);
  if (!bytes) return std::unexpected(DecodeError{"", tree.line, "is not base64"});
  return *std::move(bytes);
}

Decoded decode_scalar(const Tree& tree, Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      auto text = decode_text(tree, field.type());
      if (!text) return std::unexpected(std::move(text).error());
      if (field.is_repeated()) {
        reflection.AddString(&message, &field, *std::move(text));
      } else {
        reflection.SetString(&message, &field, *std::move(text));
      }
      return {};
    }
    case FieldDescriptor::CPPTYPE_INT32: {
      const auto value = decode_int32(tree);
      if (!value) return std::unexpected(value.error());
      reflection.SetInt32(&message, &field, *value);
      return {};
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (tree.type != Tree::Type::kBool) return std::unexpected(wrong_type(tree, "a boolean"));
      reflection.SetBool(&message, &field, tree.text == "true");
      return {};
    default:
      // The messages of api/proto/kubernetes use no other type; decode_test walks all of them.
      return std::unexpected(DecodeError{"", tree.line, "has a type that is not decoded"});
  }
}

Decoded decode_int_or_string(const Tree& tree, kubernetes::IntOrString& value) {
  if (tree.type == Tree::Type::kString) {
    value.set_name(tree.text);
    return {};
  }
  const auto number = decode_int32(tree);
  if (!number) return std::unexpected(number.error());
  value.set_number(*number);
  return {};
}

Decoded decode_message(const Tree& tree, Message& message) {
  if (message.GetDescriptor() == kubernetes::IntOrString::descriptor()) {
    return decode_int_or_string(tree, static_cast<kubernetes::IntOrString&>(message));
  }
  return decode(tree, message);
}

Decoded decode_map(const Tree& tree, Message& message, const FieldDescriptor& field) {
  if (tree.type != Tree::Type::kMapping) return std::unexpected(wrong_type(tree, "a mapping"));
  const FieldDescriptor& key = *field.message_type()->map_key();
  const FieldDescriptor& value = *field.message_type()->map_value();
  for (size_t i = 0; i < tree.items.size(); ++i) {
    if (tree.items[i].type == Tree::Type::kNull) continue;
    if (!is_utf8(tree.keys[i])) return std::unexpected(DecodeError{"", tree.line, "has a key that is not UTF-8 text"});
    Message& entry = *message.GetReflection()->AddMessage(&message, &field);
    entry.GetReflection()->SetString(&entry, &key, tree.keys[i]);
    if (Decoded done = decode_scalar(tree.items[i], entry, value); !done) {
      return std::unexpected(inside("[" + tree.keys[i] + "]", std::move(done).error()));
    }
  }
  return {};
}

Decoded decode_list(const Tree& tree, Message& message, const FieldDescriptor& field) {
  if (tree.type != Tree::Type::kSequence) return std::unexpected(wrong_type(tree, "a list"));
  for (size_t i = 0; i < tree.items.size(); ++i) {
    const bool nested = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    Decoded done = nested ? decode_message(tree.items[i],
                                           *message.GetReflection()->AddMessage(&message, &field))
                          : decode_scalar(tree.items[i], message, field);
    if (!done) {
      return std::unexpected(inside("[" + std::to_string(i) + "]", std::move(done).error()));
    }
  }
  return {};
}

Decoded decode_field(const Tree& tree, Message& message, const FieldDescriptor& field) {
  if (field.is_map()) return decode_map(tree, message, field);
  if (field.is_repeated()) return decode_list(tree, message, field);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return decode_message(tree, *message.GetReflection()->MutableMessage(&message, &field));
  }
  return decode_scalar(tree, message, field);
}

}  // namespace

std::expected<void, DecodeError> decode(const Tree& tree, Message& message) {
  if (tree.type != Tree::Type::kMapping) return std::unexpected(wrong_type(tree, "a mapping"));
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const Tree* value = tree.find(field.json_name());
    if (value == nullptr || value->type == Tree::Type::kNull) continue;
    if (Decoded done = decode_field(*value, message, field); !done) {
      return std::unexpected(inside(field.json_name(), std::move(done).error()));
    }
  }
  return {};
}

}  // namespace ringway::model
