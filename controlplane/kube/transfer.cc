#include "controlplane/kube/transfer.h"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/clock.h"

namespace ringway::kube {
namespace {

// Of an answer to a stream that is no stream: a Status of a few hundred bytes.
constexpr size_t kRefusalBytesMax = 64u << 10;
constexpr int64_t kRetryAfterMaxS = 3600;

}  // namespace

void Transfer::attach(std::function<void()> on_progress) {
  on_progress_ = std::move(on_progress);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error.data());
  error[0] = '\0';
  last_byte_ns = monotonic_ns();
}

void Transfer::forget_try() {
  curl_slist_free_all(std::exchange(headers, nullptr));
  easy = nullptr;
  status = 0;
  head_complete = opened = too_large = false;
  received.clear();
  retry_after.reset();
}

Response Transfer::take_response() {
  return {.status = status,
          .body = streams_ok() ? std::string() : std::move(received),
          .retry_after = retry_after};
}

void Transfer::take_header(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // Curl writes one for HTTP/2 too. An interim head may precede.
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    status = static_cast<int>(code);
    return;
  }
  if (line.empty()) {
    head_complete = status >= 200;
    return;
  }
  constexpr std::string_view kName = "retry-after:";
  if (line.size() <= kName.size() || ::strncasecmp(line.data(), kName.data(), kName.size()) != 0) {
    return;
  }
  line.remove_prefix(kName.size());
  while (line.starts_with(' ')) line.remove_prefix(1);
  int64_t seconds = 0;  // The other form, a date, is not used by API servers.
  const auto [end, wrong] = std::from_chars(line.data(), line.data() + line.size(), seconds);
  if (wrong == std::errc() && seconds >= 0) {
    retry_after = std::chrono::seconds(std::min(seconds, kRetryAfterMaxS));
  }
}

size_t Transfer::on_header(char* bytes, size_t size, size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  transfer.last_byte_ns = monotonic_ns();
  transfer.take_header({bytes, size * count});
  if (transfer.head_complete) transfer.on_progress_();
  return size * count;
}

size_t Transfer::on_body(char* bytes, size_t size, size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  const size_t length = size * count;
  transfer.last_byte_ns = monotonic_ns();
  if (!transfer.streams_ok()) {
    const size_t most = transfer.stream ? kRefusalBytesMax : transfer.request.body_bytes_max;
    if (transfer.received.size() + length > most) {
      transfer.too_large = true;
      return 0;  // Ends the transfer.
    }
  }
  transfer.received.append(bytes, length);
  transfer.on_progress_();
  return length;
}

}  // namespace ringway::kube
