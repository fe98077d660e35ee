// A tree → a message of api/proto/kubernetes, by the json_name of its fields. Written over
// protobuf's reflection instead of JsonStringToMessage: that one has no line numbers, and resolves
// the type anew in every call, which costs more than all the rest for the small objects of a
// cluster.
#pragma once

#include <google/protobuf/message.h>

#include <expected>
#include <string>

#include "controlplane/model/tree.h"

namespace ringway::model {

struct DecodeError {
  std::string field;  // Path as Kubernetes writes it: "spec.rules[0].host".
  uint32_t line = 0;
  std::string message;
};

// Fills `message`, which must be empty, from a mapping. As an API server does: unknown fields are
// ignored, null is the same as absent, a value of another type is an error (a number is not a
// string). bytes fields are base64. kubernetes.IntOrString takes a number or a string.
std::expected<void, DecodeError> decode(const Tree& tree, google::protobuf::Message& message);

}  // namespace ringway::model
