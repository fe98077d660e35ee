// The kept configuration as bytes. Integers are little endian.
//   head     "RINGWAY\n" (8), format u32, flags u32 (1 = private keys are in), payload bytes u64,
//   checksum of the payload u64 payload  version (text), number of resources u32, then per
//   resource: type u32, keyless u8, version u64, name (text), bytes (text) text     length u32,
//   bytes
// The checksum finds torn and rotten files; it is no protection against someone who can write the
// directory.
#include <cstring>
#include <limits>
#include <optional>

#include "base/check.h"
#include "dataplane/config/discovery/state_store.h"

namespace ringway::config {
namespace {

constexpr std::string_view kMagic = "RINGWAY\n";
constexpr uint32_t kFormat = 1;
constexpr uint32_t kWithKeys = 1;
constexpr size_t kHeadBytes = 8 + 4 + 4 + 8 + 8;

template <typename T>
void put(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

void put_text(std::string& out, std::string_view text) {
  CHECK(text.size() <= std::numeric_limits<uint32_t>::max());
  put<uint32_t>(out, static_cast<uint32_t>(text.size()));
  out.append(text);
}

// FNV-1a over 8-byte words with a last mix: a torn page never goes unseen in practice, at several
// GB/s.
uint64_t checksum(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  while (!text.empty()) {
    uint64_t word = 0;
    const size_t bytes = std::min<size_t>(8, text.size());
    std::memcpy(&word, text.data(), bytes);
    text.remove_prefix(bytes);
    hash = (hash ^ word) * 0x100000001B3u;
    hash ^= hash >> 29;
  }
  return hash;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  template <typename T>
  T get() {
    if (text_.size() < sizeof(T)) {
      good_ = false;
      text_ = {};
      return 0;
    }
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i)
      value |= static_cast<T>(static_cast<uint8_t>(text_[i])) << (8 * i);
    text_.remove_prefix(sizeof(T));
    return value;
  }
  std::string_view get_text() {
    const auto length = get<uint32_t>();
    if (text_.size() < length) {
      good_ = false;
      text_ = {};
      return {};
    }
    const std::string_view text = text_.substr(0, length);
    text_.remove_prefix(length);
    return text;
  }
  bool good() const { return good_; }
  bool done() const { return text_.empty(); }

 private:
  std::string_view text_;
  bool good_ = true;
};

// Serialised without the private key; nullopt when there is none to leave out.
std::optional<std::string> without_key(const ResourceSet::Entry& entry) {
  v1::Resource resource;
  CHECK(resource.ParseFromString(entry.bytes));
  std::string& key = *resource.mutable_certificate()->mutable_private_key_pem();
  if (key.empty()) return std::nullopt;
  explicit_bzero(key.data(), key.size());
  resource.mutable_certificate()->clear_private_key_pem();
  return resource.SerializeAsString();
}

// Why a record is no resource of the set; "" when it is one.
std::string_view refusal(const ResourceKey& key, std::string_view bytes) {
  v1::Resource resource;
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max()) ||
      !resource.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return "a resource does not parse";
  }
  if (key.name.empty() || key.name != resource.name() || resource_type(resource) != key.type ||
      key.type == v1::RESOURCE_TYPE_UNSPECIFIED) {
    return "a resource is not what its record says";
  }
  return "";
}

}  // namespace

std::string encode_state(const ResourceSet& set, Keys keys) {
  std::string out;
  out.reserve(kHeadBytes + set.bytes() + set.size() * 64 + 256);
  out.append(kHeadBytes, '\0');
  put_text(out, set.version());
  put<uint32_t>(out, static_cast<uint32_t>(set.size()));
  for (const auto& [key, entry] : set.entries()) {
    std::optional<std::string> redacted;
    if (keys == Keys::kLeaveOut && key.type == v1::RESOURCE_TYPE_CERTIFICATE)
      redacted = without_key(entry);
    put<uint32_t>(out, static_cast<uint32_t>(key.type));
    put<uint8_t>(out, entry.keyless || redacted ? 1 : 0);
    put<uint64_t>(out, entry.version);
    put_text(out, key.name);
    put_text(out, redacted ? *redacted : entry.bytes);
  }
  std::string head(kMagic);
  put<uint32_t>(head, kFormat);
  put<uint32_t>(head, keys == Keys::kInclude ? kWithKeys : 0);
  put<uint64_t>(head, out.size() - kHeadBytes);
  put<uint64_t>(head, checksum(std::string_view(out).substr(kHeadBytes)));
  CHECK(head.size() == kHeadBytes);
  out.replace(0, kHeadBytes, head);
  return out;
}

std::expected<ResourceSet, std::string> decode_state(std::string_view text) {
  if (text.size() < kHeadBytes) return std::unexpected("shorter than its head");
  if (!text.starts_with(kMagic)) return std::unexpected("not a configuration of ringway-proxy");
  Reader head(text.substr(kMagic.size(), kHeadBytes - kMagic.size()));
  const auto format = head.get<uint32_t>();
  if (format != kFormat) {
    return std::unexpected("format " + std::to_string(format) + ", this build reads " +
                           std::to_string(kFormat));
  }
  const auto flags = head.get<uint32_t>();
  if ((flags & ~kWithKeys) != 0) return std::unexpected("unknown flags");
  const std::string_view payload = text.substr(kHeadBytes);
  if (head.get<uint64_t>() != payload.size())
    return std::unexpected("truncated, or longer than its head says");
  if (head.get<uint64_t>() != checksum(payload)) return std::unexpected("checksum does not match");

  Reader in(payload);
  ResourceSet set;
  set.set_version(std::string(in.get_text()));
  const auto count = in.get<uint32_t>();
  for (uint32_t i = 0; i < count && in.good(); ++i) {
    ResourceKey key;
    key.type = static_cast<v1::ResourceType>(in.get<uint32_t>());
    ResourceSet::Entry entry;
    entry.keyless = in.get<uint8_t>() != 0;
    entry.version = in.get<uint64_t>();
    key.name = in.get_text();
    entry.bytes = in.get_text();
    if (!in.good()) break;
    if (const std::string_view why = refusal(key, entry.bytes); !why.empty())
      return std::unexpected(std::string(why));
    if (set.find(key) != nullptr) return std::unexpected("a resource is there twice");
    set.upsert(std::move(key), std::move(entry));
  }
  if (!in.good() || !in.done()) return std::unexpected("records do not fill the payload");
  return set;
}

}  // namespace ringway::config
