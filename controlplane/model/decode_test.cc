#include "controlplane/model/decode.h"

#include <gtest/gtest.h>

#include "controlplane/model/object.h"

namespace ringway::model {
namespace {

template <class Message>
std::expected<Message, std::string> decode_yaml(std::string_view text) {
  const auto tree = parse_yaml(text, 1, {});
  if (!tree) return std::unexpected(tree.error().message);
  Message message;
  const auto done = decode(*tree, message);
  if (!done) {
    const DecodeError& e = done.error();
    return std::unexpected(std::to_string(e.line) + ": " + e.field + ": " + e.message);
  }
  return message;
}

TEST(Decode, ReadsEveryKindOfField) {
  const auto slice = decode_yaml<kubernetes::EndpointSlice>(R"(
metadata:
  name: a
  labels: {kubernetes.io/service-name: s, other: "1"}
  resourceVersion: "12"
addressType: IPv4
endpoints:
- addresses: [10.0.0.1, 10.0.0.2]
  conditions: {ready: false, serving: null}
  nodeName: n1
ports:
- {name: http, port: 8080}
- port: null
)");
  ASSERT_TRUE(slice) << slice.error();
  EXPECT_EQ(slice->metadata().labels().at("kubernetes.io/service-name"), "s");
  ASSERT_EQ(slice->endpoints_size(), 1);
  EXPECT_EQ(slice->endpoints(0).addresses(1), "10.0.0.2");
  EXPECT_TRUE(slice->endpoints(0).conditions().has_ready());
  EXPECT_FALSE(slice->endpoints(0).conditions().ready());
  EXPECT_FALSE(slice->endpoints(0).conditions().has_serving());
  EXPECT_EQ(slice->ports(0).port(), 8080);
  EXPECT_EQ(slice->ports(1).port(), 0);
}

TEST(Decode, IntOrStringTakesBoth) {
  const auto service = decode_yaml<kubernetes::Service>(
      "spec: {ports: [{port: 80, targetPort: http}, {port: 81, targetPort: 8081}]}");
  ASSERT_TRUE(service) << service.error();
  EXPECT_EQ(service->spec().ports(0).target_port().name(), "http");
  EXPECT_EQ(service->spec().ports(1).target_port().number(), 8081);
}

TEST(Decode, BytesAreBase64) {
  const auto secret = decode_yaml<kubernetes::Secret>("data: {tls.crt: aGk=}");
  ASSERT_TRUE(secret) << secret.error();
  EXPECT_EQ(secret->data().at("tls.crt"), "hi");
}

TEST(Decode, NamesTheFieldAndTheLineOfAWrongValue) {
  const std::pair<const char*, const char*> kCases[] = {
      {"spec:\n  rules:\n  - host: a\n  - host: 1",
       "4: spec.rules[1].host: must be a string, is a number (write it in quotes)"},
      {"metadata:\n  annotations:\n    a/b: true",
       "3: metadata.annotations[a/b]: must be a string, is a boolean (write it in quotes)"},
      {"spec: []", "1: spec: must be a mapping, is a list"},
      {"spec:\n  rules: {}", "2: spec.rules: must be a list, is a mapping"},
      {"spec: {defaultBackend: {service: {port: {number: x}}}}",
       "1: spec.defaultBackend.service.port.number: must be a number, is a string"},
      {"spec: {defaultBackend: {service: {port: {number: 4294967296}}}}",
       "1: spec.defaultBackend.service.port.number: must be a 32-bit integer, is \"4294967296\""},
  };
  for (const auto& [text, message] : kCases) {
    const auto ingress = decode_yaml<kubernetes::Ingress>(text);
    ASSERT_FALSE(ingress) << text;
    EXPECT_EQ(ingress.error(), message);
  }
}

TEST(Decode, EveryFieldOfTheMessagesHasATypeThatIsDecoded) {
  using google::protobuf::FieldDescriptor;
  for (const google::protobuf::FileDescriptor* file :
       {kubernetes::Ingress::descriptor()->file(), kubernetes::Service::descriptor()->file(),
        kubernetes::Secret::descriptor()->file(), kubernetes::ObjectMeta::descriptor()->file()}) {
    for (int i = 0; i < file->message_type_count(); ++i) {
      for (int j = 0; j < file->message_type(i)->field_count(); ++j) {
        const FieldDescriptor& field = *file->message_type(i)->field(j);
        const auto type = field.cpp_type();
        EXPECT_TRUE(type == FieldDescriptor::CPPTYPE_STRING ||
                    type == FieldDescriptor::CPPTYPE_MESSAGE ||
                    (type == FieldDescriptor::CPPTYPE_INT32 && !field.is_repeated()) ||
                    (type == FieldDescriptor::CPPTYPE_BOOL && !field.is_repeated()))
            << field.full_name();
      }
    }
  }
}

}  // namespace
}  // namespace ringway::model
