#include "dataplane/http/head_writer.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "dataplane/http/trailers.h"

namespace ringway::http {
namespace {

// The first and the last bytes of sizeof(Block): all of them, when there are at most twice as many.
// Builtins, because the fortified memcpy would check again what the caller has checked.
template <typename Block>
inline void put_ends(char* out, const char* from, size_t size) {
  Block first, last;
  __builtin_memcpy(&first, from, sizeof first);
  __builtin_memcpy(&last, from + size - sizeof last, sizeof last);
  __builtin_memcpy(out, &first, sizeof first);
  __builtin_memcpy(out + size - sizeof last, &last, sizeof last);
}

// Copies text and returns where it ends. Names and values are short: two moves that overlap do it
// without a call.
inline char* put(char* out, std::string_view text) {
  const size_t size = text.size();
  if (size >= 8) {
    if (size > 32) {
      __builtin_memcpy(out, text.data(), size);
    } else if (size >= 16) {
      put_ends<unsigned __int128>(out, text.data(), size);
    } else {
      put_ends<uint64_t>(out, text.data(), size);
    }
  } else if (size >= 4) {
    put_ends<uint32_t>(out, text.data(), size);
  } else {
    for (size_t i = 0; i < size; ++i) out[i] = text[i];
  }
  return out + size;
}

// Collects pieces on the stack, so that a usual head reaches the output queue in one copy.
class TextCollector {
 public:
  TextCollector(io::SliceQueue& output, io::BufferPool& pool) : output_(output), pool_(pool) {}
  ~TextCollector() { flush(); }
  TextCollector(const TextCollector&) = delete;
  TextCollector& operator=(const TextCollector&) = delete;

  void add(std::string_view text) {
    if (text.empty()) return;
    if (text.size() > sizeof text_ - size_) [[unlikely]] {
      flush();
      if (text.size() > sizeof text_) return output_.append_copy(pool_, text);
    }
    put(text_ + size_, text);
    size_ += text.size();
  }
  void add_number(uint64_t number, int base) {
    char digits[64];  // In any base.
    const auto result = std::to_chars(digits, digits + sizeof digits, number, base);
    add({digits, static_cast<size_t>(result.ptr - digits)});
  }
  void add_field(std::string_view name, std::string_view value) {
    const size_t bytes = name.size() + value.size() + 4;
    if (bytes > sizeof text_ - size_) [[unlikely]] {
      add(name);
      add(": ");
      add(value);
      return add("\r\n");
    }
    char* out = put(text_ + size_, name);
    *out++ = ':';
    *out++ = ' ';
    out = put(out, value);
    *out++ = '\r';
    *out++ = '\n';
    size_ += bytes;
  }

 private:
  void flush() {
    output_.append_copy(pool_, {text_, size_});
    size_ = 0;
  }

  io::SliceQueue& output_;
  io::BufferPool& pool_;
  size_t size_ = 0;
  char text_[4096];
};

constexpr uint64_t bit(HeaderName id) { return uint64_t{1} << static_cast<unsigned>(id); }

// About one connection, not about the message; made anew by the writer.
constexpr uint64_t kNotWritten =
    bit(HeaderName::kConnection) | bit(HeaderName::kKeepAlive) | bit(HeaderName::kProxyConnection) |
    bit(HeaderName::kTransferEncoding) | bit(HeaderName::kContentLength) |
    bit(HeaderName::kUpgrade) | bit(HeaderName::kHttp2Settings);

void add_fields(TextCollector& text, const HeaderList& headers, uint64_t left_out) {
  for (const Header& header : headers) {
    if ((left_out >> static_cast<unsigned>(header.id)) & 1) continue;
    text.add_field(header.name(), header.value());
  }
}

void add_framing(TextCollector& text, HeadFraming framing) {
  switch (framing.fields) {
    case FramingFields::kNone:
      break;
    case FramingFields::kChunked:
      text.add("Transfer-Encoding: chunked\r\n");
      break;
    case FramingFields::kContentLength:
      text.add("Content-Length: ");
      text.add_number(framing.content_length, 10);
      text.add("\r\n");
      break;
  }
}

}  // namespace

void write_request_head(io::SliceQueue& output, io::BufferPool& pool, const RequestHead& head,
                        HeadFraming framing) {
  TextCollector text(output, pool);
  text.add(head.method_text);
  text.add(" ");
  text.add(head.asterisk ? std::string_view("*") : head.path);
  if (!head.asterisk) text.add(head.query);
  text.add(" HTTP/1.1\r\n");
  const Header* host = head.headers.find(HeaderName::kHost);
  text.add_field("Host", host != nullptr ? host->value() : head.authority);
  add_fields(text, head.headers, kNotWritten | bit(HeaderName::kHost));
  const bool te = head.headers.has(HeaderName::kTe);
  if (head.upgrade) {
    text.add_field("Upgrade", head.upgrade_protocol);
    text.add(te ? "Connection: upgrade, TE\r\n" : "Connection: upgrade\r\n");
  } else if (te) {
    text.add("Connection: TE\r\n");  // RFC 9110 section 10.1.4
  }
  add_framing(text, framing);
  text.add("\r\n");
}

void write_response_head(io::SliceQueue& output, io::BufferPool& pool, uint16_t status,
                         const HeaderList& headers, HeadFraming framing,
                         ConnectionField connection) {
  DCHECK(status >= 100 && status <= 599);
  TextCollector text(output, pool);
  const char digits[] = {static_cast<char>('0' + status / 100),
                         static_cast<char>('0' + status / 10 % 10),
                         static_cast<char>('0' + status % 10), ' '};
  text.add("HTTP/1.1 ");
  text.add({digits, sizeof digits});
  text.add(reason_phrase(status));
  text.add("\r\n");
  add_fields(text, headers, kNotWritten);
  switch (connection) {
    case ConnectionField::kNone:
      break;
    case ConnectionField::kClose:
      text.add("Connection: close\r\n");
      break;
    case ConnectionField::kKeepAlive:
      text.add("Connection: keep-alive\r\n");
      break;
    case ConnectionField::kUpgrade: {
      const Header* upgrade = headers.find(HeaderName::kUpgrade);
      if (upgrade != nullptr) text.add_field("Upgrade", upgrade->value());
      text.add("Connection: upgrade\r\n");
      break;
    }
  }
  add_framing(text, framing);
  text.add("\r\n");
}

void write_trailers(io::SliceQueue& output, io::BufferPool& pool, const HeaderList& trailers) {
  TextCollector text(output, pool);
  for (const Header& field : trailers) {
    if (!forbidden_in_trailers(field)) text.add_field(field.name(), field.value());
  }
  text.add("\r\n");
}

void write_chunk_size(io::SliceQueue& output, io::BufferPool& pool, uint64_t bytes) {
  DCHECK(bytes > 0);
  char line[18];
  const auto result = std::to_chars(line, line + 16, bytes, 16);
  result.ptr[0] = '\r';
  result.ptr[1] = '\n';
  output.append_copy(pool, {line, static_cast<size_t>(result.ptr + 2 - line)});
}

}  // namespace ringway::http
