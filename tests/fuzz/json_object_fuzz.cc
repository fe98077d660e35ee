// The reader of an API server's objects beside the slower way that manifests take: what the slow
// one accepts it accepts too, with the same result, but for the one annotation that it leaves out.
#include <google/protobuf/util/message_differencer.h>

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "controlplane/model/decode.h"
#include "controlplane/model/json_object.h"
#include "kubernetes/config.pb.h"
#include "kubernetes/ingress.pb.h"
#include "kubernetes/service.pb.h"

namespace {

using namespace ringway;

template <typename Message>
void compare(std::string_view text) {
  // Small bounds, so that a short input can reach them.
  const model::TreeLimits limits{.bytes_max = 1u << 16, .depth_max = 16, .nodes_max = 4096};
  Message fast, slow;
  const auto decoded = model::decode_json(text, fast, limits);
  const auto tree = model::parse_json(text, limits);
  if (!tree || !model::decode(*tree, slow)) return;
  CHECK(decoded.has_value());
  if (text.find("last-applied") != std::string_view::npos ||
      text.find("\\u") != std::string_view::npos) {
    return;  // It may be the annotation, spelled in one way or another.
  }
  CHECK(google::protobuf::util::MessageDifferencer::Equals(fast, slow));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  compare<kubernetes::Ingress>(text);
  compare<kubernetes::Service>(text);
  compare<kubernetes::Secret>(text);
  return 0;
}
