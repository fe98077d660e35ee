#include "dataplane/tls/server_name.h"

#include <algorithm>

namespace ringway::tls {
namespace {

constexpr uint8_t kHandshakeRecord = 22;  // RFC 8446, section 5.1.
constexpr size_t kRecordHeaderBytes = 5;
constexpr size_t kRecordBytesMax = 16384;
constexpr uint8_t kClientHello = 1;  // Section 4.
constexpr size_t kMessageHeaderBytes = 4;
constexpr uint16_t kServerNameExtension = 0;  // RFC 6066, section 3.
constexpr uint8_t kHostName = 0;

// Takes bytes from the front; what does not fit makes it bad for good.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint32_t number(size_t size) {
    const auto taken = take(size);
    uint32_t value = 0;
    for (const uint8_t byte : taken) value = value << 8 | byte;
    return value;
  }
  std::span<const uint8_t> take(size_t size) {
    if (size > bytes_.size()) {
      good_ = false;
      bytes_ = {};
      return {};
    }
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  // A vector behind its own length.
  std::span<const uint8_t> vector(size_t length_bytes) {
    const size_t length = number(length_bytes);
    return take(length);
  }
  bool empty() const { return bytes_.empty(); }
  bool good() const { return good_; }

 private:
  std::span<const uint8_t> bytes_;
  bool good_ = true;
};

bool read_name(std::span<const uint8_t> extension, ServerName& out) {
  Reader body(extension);
  Reader list(body.vector(2));
  if (!body.good() || !body.empty() || list.empty()) return false;
  bool named = false;
  while (!list.empty()) {
    const auto type = list.number(1);
    const auto name = list.vector(2);
    if (!list.good() || type != kHostName || named || name.empty() || name.size() > 253)
      return false;
    named = true;
    for (size_t i = 0; i < name.size(); ++i) {
      const auto c = static_cast<char>(name[i]);
      const bool upper = c >= 'A' && c <= 'Z';
      const bool plain =
          (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
      if (!upper && !plain) return false;
      out.text[i] = upper ? static_cast<char>(c - 'A' + 'a') : c;
    }
    out.size = static_cast<uint8_t>(name.size());
  }
  return true;
}

// The body of the message: RFC 8446, section 4.1.2.
HelloParse read_hello(std::span<const uint8_t> message, ServerName& out) {
  Reader reader(message);
  reader.take(2 + 32);  // legacy_version, random
  const auto session = reader.vector(1);
  const auto suites = reader.vector(2);
  const auto compressions = reader.vector(1);
  if (!reader.good() || session.size() > 32 || suites.size() < 2 || suites.size() % 2 != 0 ||
      compressions.empty())
    return HelloParse::kMalformed;
  if (reader.empty()) return HelloParse::kNoName;  // TLS 1.2 may have no extensions.
  Reader extensions(reader.vector(2));
  if (!reader.good() || !reader.empty()) return HelloParse::kMalformed;
  bool named = false;
  while (!extensions.empty()) {
    const auto type = static_cast<uint16_t>(extensions.number(2));
    const auto body = extensions.vector(2);
    if (!extensions.good()) return HelloParse::kMalformed;
    if (type != kServerNameExtension) continue;
    if (named || !read_name(body, out)) return HelloParse::kMalformed;
    named = true;
  }
  return named ? HelloParse::kName : HelloParse::kNoName;
}

}  // namespace

HelloParse read_server_name(std::span<const std::byte> input, ServerName& out) {
  static thread_local std::array<uint8_t, kHelloBytesMax> message;
  out.size = 0;
  size_t gathered = 0;
  size_t wanted = kMessageHeaderBytes;
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(input.data()),
                                       input.size());
  size_t at = 0;
  while (gathered < wanted) {
    const auto rest = bytes.subspan(at);
    if (!rest.empty() && rest[0] != kHandshakeRecord) return HelloParse::kMalformed;
    if (rest.size() > 1 && rest[1] != 3) return HelloParse::kMalformed;
    if (rest.size() < kRecordHeaderBytes) return HelloParse::kIncomplete;
    const size_t length = size_t{rest[3]} << 8 | rest[4];
    // Empty handshake records are forbidden (RFC 8446, section 5.1): they would cost without end.
    if (length == 0 || length > kRecordBytesMax ||
        at + kRecordHeaderBytes + length > kHelloBytesMax)
      return HelloParse::kMalformed;
    const auto there =
        rest.subspan(kRecordHeaderBytes, std::min(length, rest.size() - kRecordHeaderBytes));
    std::copy(there.begin(), there.end(), message.begin() + static_cast<ptrdiff_t>(gathered));
    gathered += there.size();
    if (gathered >= kMessageHeaderBytes) {
      if (message[0] != kClientHello) return HelloParse::kMalformed;
      wanted =
          kMessageHeaderBytes + (size_t{message[1]} << 16 | size_t{message[2]} << 8 | message[3]);
      if (wanted > kHelloBytesMax) return HelloParse::kMalformed;
    } else if (gathered > 0 && message[0] != kClientHello) {
      return HelloParse::kMalformed;
    }
    if (gathered >= wanted) break;
    if (there.size() < length) return HelloParse::kIncomplete;
    at += kRecordHeaderBytes + length;
  }
  return read_hello({message.data() + kMessageHeaderBytes, wanted - kMessageHeaderBytes}, out);
}

}  // namespace ringway::tls
