#include "dataplane/http/kept_fields.h"

#include <cstring>

#include "dataplane/http/block.h"

namespace ringway::http {
namespace {

// Before each name and value.
struct Sizes {
  uint32_t name;
  uint32_t value;
};

}  // namespace

void KeptFields::keep(const HeaderList& fields, io::BufferPool& pool) {
  size_t bytes = 0;
  for (const Header& field : fields) bytes += sizeof(Sizes) + field.name_size + field.value_size;
  memory_.reset();
  if (bytes == 0) return;
  memory_ = take_block(pool, static_cast<uint32_t>(bytes));
  std::byte* out = memory_.tail().data();
  const auto put = [&out](const void* from, size_t size) {
    if (size > 0) std::memcpy(out, from, size);
    out += size;
  };
  for (const Header& field : fields) {
    const Sizes sizes{field.name_size, field.value_size};
    put(&sizes, sizeof sizes);
    put(field.name_data, sizes.name);
    put(field.value_data, sizes.value);
  }
  memory_.extend(static_cast<uint32_t>(bytes));
}

void KeptFields::read(HeaderList& fields) const {
  fields.clear();
  std::string_view rest = memory_.view();
  while (!rest.empty()) {
    Sizes sizes;
    std::memcpy(&sizes, rest.data(), sizeof sizes);
    rest.remove_prefix(sizeof sizes);
    const std::string_view name = rest.substr(0, sizes.name);
    const std::string_view value = rest.substr(sizes.name, sizes.value);
    fields.add(header_name_of(name), name, value);
    rest.remove_prefix(sizes.name + sizes.value);
  }
}

}  // namespace ringway::http
