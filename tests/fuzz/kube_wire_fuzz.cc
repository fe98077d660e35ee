// What an API server sends: pages of lists, lines of watches, refusals. Whatever comes in, what is
// cut out of it lies inside of it, and an object that cannot be read is a problem without control
// characters.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "controlplane/kube/resource.h"
#include "controlplane/kube/wire.h"

namespace {

using namespace ringway;

bool inside(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void read(std::string_view object) {
  (void)kube::read_head(object);
  for (const model::Kind kind :
       {model::Kind::kIngress, model::Kind::kIngressClass, model::Kind::kService,
        model::Kind::kEndpointSlice, model::Kind::kSecret, model::Kind::kConfigMap}) {
    const auto item = kube::read_item(kube::resource_of(kind), object);
    if (item) {
      CHECK(item->object != nullptr && item->object->key.kind == kind);
      CHECK(kube::same_content(*item->message, *item->message));
      continue;
    }
    for (const char c : model::format(item.error().problem)) {
      CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto page = kube::cut_list(text)) {
    for (const std::string_view item : page->items) {
      CHECK(!item.empty() && inside(item, text));
      read(item);
    }
  }
  if (const auto event = kube::cut_event(text)) {
    CHECK(!event->object.empty() && inside(event->object, text));
    read(event->object);
  }
  (void)kube::read_status(text);
  read(text);
  return 0;
}
