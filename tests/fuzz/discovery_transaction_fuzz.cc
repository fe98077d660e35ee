// What a controller may send: gRPC frames → ControllerMessage → transaction → difference → set, and
// the set as kept state. The first byte chooses how the rest is cut into reads.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "dataplane/config/discovery/grpc_frame.h"
#include "dataplane/config/discovery/state_store.h"
#include "dataplane/config/discovery/transaction_assembly.h"

namespace {

using namespace ringway;

constexpr uint32_t kMessageBytesMax = 4096;
constexpr uint32_t kTransactionBytesMax = 8192;
constexpr uint32_t kResourcesMax = 64;

void check_set(const config::ResourceSet& set) {
  CHECK(set.size() <= kResourcesMax);
  size_t bytes = 0;
  for (const auto& [key, entry] : set.entries()) {
    v1::Resource resource;
    CHECK(resource.ParseFromString(entry.bytes));
    CHECK(resource.name() == key.name && config::resource_type(resource) == key.type);
    bytes += entry.bytes.size();
  }
  CHECK(bytes == set.bytes());
  const auto kept = config::decode_state(config::encode_state(set, config::Keys::kInclude));
  CHECK(kept.has_value() && kept->size() == set.size() && kept->bytes() == set.bytes());
}

// False: the stream is over.
bool take(std::string_view message, config::TransactionAssembly& assembly,
          config::ResourceSet& set) {
  v1::ControllerMessage parsed;
  if (!parsed.ParseFromArray(message.data(), static_cast<int>(message.size()))) return false;
  if (!parsed.has_transaction()) return true;
  const auto progress = assembly.add(std::move(*parsed.mutable_transaction()), message.size());
  if (progress != config::TransactionAssembly::Progress::kComplete)
    return progress == config::TransactionAssembly::Progress::kMore;
  auto assembled = assembly.finish(set);
  CHECK(!assembly.open());
  if (!assembled) {
    CHECK(!assembled.error().rejection.reason.empty());
    return true;
  }
  for (const auto& key : assembled->removals) CHECK(set.find(key) != nullptr);
  CHECK(assembled->entries.size() == assembled->transaction.upserts.size());
  std::move(*assembled).commit_to(set);
  check_set(set);
  return true;
}

void run_stream(std::string_view input, size_t step) {
  config::GrpcFrameDecoder decoder(kMessageBytesMax);
  config::TransactionAssembly assembly(kTransactionBytesMax, kResourcesMax);
  config::ResourceSet set;
  while (!input.empty()) {
    std::string_view part = input.substr(0, step);
    input.remove_prefix(part.size());
    while (decoder.next(part)) {
      CHECK(decoder.message().size() <= kMessageBytesMax);
      if (!take(decoder.message(), assembly, set)) return;
    }
    if (decoder.error() != config::FrameError::kNone) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  [[maybe_unused]] static auto* quiet =
      google::protobuf::SetLogHandler(nullptr);  // A line for every broken string.
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 0xff) {
    (void)config::decode_state(input);
    return 0;
  }
  run_stream(input, data[0] == 0 ? SIZE_MAX : data[0]);
  return 0;
}
