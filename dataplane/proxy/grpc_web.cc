#include "dataplane/proxy/grpc_web.h"

#include <algorithm>
#include <string>

#include "dataplane/http/text.h"
#include "dataplane/proxy/grpc.h"

namespace ringway::proxy {
namespace {

constexpr std::string_view kGrpc = "application/grpc";
constexpr std::string_view kWeb = "application/grpc-web";
constexpr std::string_view kText = "-text";
constexpr uint8_t kTrailers = 0x80;
constexpr size_t kFrameHeaderBytes = 5;
constexpr size_t kChunkBytes = 768;  // Of binary at a time: 1024 of text.

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNoDigit = 0xFF;
constexpr std::array<uint8_t, 256> make_values() {
  std::array<uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (size_t i = 0; i < kDigits.size(); ++i)
    values[static_cast<uint8_t>(kDigits[i])] = static_cast<uint8_t>(i);
  return values;
}
constexpr std::array<uint8_t, 256> kValues = make_values();

struct WebType {
  bool is_web = false;
  bool text = false;
  std::string_view suffix;  // "", or with its '+' or ';'.
};

bool begins_suffix(std::string_view rest) {
  return rest.empty() || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ';
}

WebType read_type(std::string_view value) {
  WebType out;
  if (!http::starts_with_ignoring_case(value, kWeb)) return out;
  out.suffix = value.substr(kWeb.size());
  out.text = http::starts_with_ignoring_case(out.suffix, kText);
  if (out.text) out.suffix.remove_prefix(kText.size());
  out.is_web = begins_suffix(out.suffix);
  return out;
}

class TypeWriter {
 public:
  explicit TypeWriter(std::span<char> out) : out_(out) {}
  TypeWriter& add(std::string_view text) {
    DCHECK(bytes_ + text.size() <= out_.size());
    bytes_ += text.copy(out_.data() + bytes_, out_.size() - bytes_);
    return *this;
  }
  std::string_view view() const { return {out_.data(), bytes_}; }

 private:
  std::span<char> out_;
  size_t bytes_ = 0;
};

}  // namespace

bool GrpcWeb::begin(http::RequestHead& head) {
  const http::Header* type = head.headers.find(http::HeaderName::kContentType);
  if (type == nullptr || head.method != http::Method::kPost) return false;
  const WebType asked = read_type(type->value());
  if (!asked.is_web || asked.suffix.size() > kSuffixMax) return false;
  const http::Header* accept = head.headers.find(http::HeaderName::kAccept);
  const WebType accepted = accept == nullptr ? WebType() : read_type(accept->value());
  active_ = true;
  request_text_ = asked.text;
  response_text_ = accepted.is_web ? accepted.text : asked.text;
  padded_ = false;
  digits_ = 0;
  bits_ = 0;
  head.headers.replace(http::HeaderName::kContentType,
                       TypeWriter(request_type_).add(kGrpc).add(asked.suffix).view());
  head.headers.remove(http::HeaderName::kAccept);
  if (request_text_) {  // Its length is that of the text.
    head.headers.remove(http::HeaderName::kContentLength);
    if (head.body.kind == http::BodyKind::kKnown && head.body.bytes > 0)
      head.body = {http::BodyKind::kChunked};
  }
  return true;
}

bool GrpcWeb::decode(std::string_view text, bool end, io::SliceQueue& out, io::BufferPool& pool) {
  std::array<char, kChunkBytes> chunk;
  size_t bytes = 0;
  for (const char c : text) {
    const uint8_t value = c == '=' ? 0 : kValues[static_cast<uint8_t>(c)];
    // Padding fills the last one or two places of a quantum, and nothing else stands behind it
    // there.
    if (value == kNoDigit || (c == '=' && digits_ < 2) || (c != '=' && padded_)) return false;
    const uint8_t digits_before_padding = padded_ ? 2 : c == '=' ? digits_ : 4;
    padded_ = padded_ || c == '=';
    bits_ = bits_ << 6 | value;
    if (++digits_ < 4) continue;
    const size_t whole = digits_before_padding == 4 ? 3 : digits_before_padding - 1u;
    for (size_t i = 0; i < whole; ++i) chunk[bytes++] = static_cast<char>(bits_ >> (16 - 8 * i));
    digits_ = 0;
    bits_ = 0;
    padded_ = false;
    if (bytes + 3 > chunk.size()) {
      out.append_copy(pool, {chunk.data(), bytes});
      bytes = 0;
    }
  }
  if (bytes > 0) out.append_copy(pool, {chunk.data(), bytes});
  return !end || complete();
}

void GrpcWeb::translate(http::ResponseHead& head, bool end) {
  const http::Header* type = head.headers.find(http::HeaderName::kContentType);
  if (type == nullptr || !is_grpc(head.headers)) {
    active_ = false;
    return;
  }
  std::string_view suffix = type->value().substr(kGrpc.size());
  if (suffix.size() > response_type_.size() - kWeb.size() - kText.size()) suffix = {};
  TypeWriter text(response_type_);
  text.add(kWeb);
  if (response_text_) text.add(kText);
  head.headers.replace(http::HeaderName::kContentType, text.add(suffix).view());
  if (end) return;
  head.headers.remove(
      http::HeaderName::kContentLength);  // The trailers' frame, or all of it, comes on top.
  head.body = {http::BodyKind::kChunked};
}

void GrpcWeb::encode(std::string_view bytes, io::SliceQueue& out, io::BufferPool& pool) {
  std::array<char, kChunkBytes / 3 * 4> chunk;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, kChunkBytes);
    bytes.remove_prefix(part.size());
    size_t at = 0;
    for (size_t i = 0; i < part.size(); i += 3) {
      const size_t left = std::min<size_t>(3, part.size() - i);
      uint32_t bits = 0;
      for (size_t k = 0; k < 3; ++k)
        bits = bits << 8 | (k < left ? static_cast<uint8_t>(part[i + k]) : 0);
      for (size_t k = 0; k < 4; ++k)
        chunk[at++] = k <= left ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
    }
    out.append_copy(pool, {chunk.data(), at});
  }
}

std::string_view GrpcWeb::trailers_frame(const http::HeaderList& trailers) {
  static thread_local std::string frame;  // Keeps its capacity.
  frame.assign(kFrameHeaderBytes, '\0');
  for (const http::Header& field : trailers) {
    const size_t name = frame.size();
    frame.append(field.name()).append(": ").append(field.value()).append("\r\n");
    std::transform(frame.begin() + static_cast<ptrdiff_t>(name),
                   frame.begin() + static_cast<ptrdiff_t>(name + field.name_size),
                   frame.begin() + static_cast<ptrdiff_t>(name), http::lower);
  }
  const size_t length = frame.size() - kFrameHeaderBytes;
  frame[0] = static_cast<char>(kTrailers);
  for (size_t i = 1; i < kFrameHeaderBytes; ++i)
    frame[i] = static_cast<char>(length >> (8 * (kFrameHeaderBytes - 1 - i)));
  return frame;
}

}  // namespace ringway::proxy
