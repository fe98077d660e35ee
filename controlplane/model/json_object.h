// One JSON object of an API server → a message of api/proto/kubernetes. What the message has no
// field for (managedFields, status) is passed over while it is parsed and costs no memory. Pure;
// any thread.
#pragma once

#include <google/protobuf/message.h>

#include <expected>
#include <string_view>

#include "controlplane/model/decode.h"
#include "controlplane/model/tree.h"

namespace ringway::model {

// Same meaning and same errors as parse_json() followed by decode(), with two differences: fields
// that are not read are not checked for anything but JSON syntax, and map entries under the key
// "kubectl.kubernetes.io/last-applied-configuration" (a copy of the object, as large as itself) are
// left out. REQUIRES: `message` is empty.
std::expected<void, DecodeError> decode_json(std::string_view json,
                                             google::protobuf::Message& message,
                                             const TreeLimits& limits = {});

}  // namespace ringway::model
