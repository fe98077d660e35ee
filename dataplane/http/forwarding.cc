#include "dataplane/http/forwarding.h"

#include <cstring>

#include "dataplane/http/block.h"
#include "dataplane/http/text.h"

namespace ringway::http {
namespace {

constexpr size_t kRequestIdBytesMax = 128;
constexpr std::string_view kOriginalForwardedFor = "X-Original-Forwarded-For";

bool is_request_id(std::string_view text) {
  if (text.empty() || text.size() > kRequestIdBytesMax) return false;
  for (const char c : text) {
    const bool allowed = (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') ||
                         std::string_view("-_.:/+=@").find(c) != std::string_view::npos;
    if (!allowed) return false;
  }
  return true;
}

std::string_view first_value(const HeaderList& headers, HeaderName id) {
  const Header* header = headers.find(id);
  return header == nullptr ? std::string_view() : header->value();
}

struct Hops {
  std::string_view received;  // All X-Forwarded-For lines as one list (RFC 9110 section 5.3); ""
                              // when there was none.
  std::string_view all;       // With the peer behind.
};

// Joined in head.extra; nothing is taken when there is nothing to join.
Hops joined_hops(RequestHead& head, std::string_view peer, io::BufferPool& pool) {
  size_t bytes = peer.size();
  for (const Header& header : head.headers) {
    if (header.id == HeaderName::kXForwardedFor && header.value_size > 0)
      bytes += header.value_size + 2;
  }
  if (bytes == peer.size()) return {.received = {}, .all = peer};
  io::Slice memory = take_block(pool, static_cast<uint32_t>(bytes));
  char* const begin = reinterpret_cast<char*>(memory.tail().data());
  size_t size = 0;
  const auto put = [&](std::string_view text) {
    if (size > 0) {
      std::memcpy(begin + size, ", ", 2);
      size += 2;
    }
    std::memcpy(begin + size, text.data(), text.size());
    size += text.size();
  };
  for (const Header& header : head.headers) {
    if (header.id == HeaderName::kXForwardedFor && header.value_size > 0) put(header.value());
  }
  const size_t received = size;
  put(peer);
  memory.extend(static_cast<uint32_t>(size));
  head.extra = std::move(memory);
  return {.received = {begin, received}, .all = {begin, size}};
}

constexpr uint64_t bit(HeaderName id) { return uint64_t{1} << static_cast<unsigned>(id); }

constexpr uint64_t kOverwritten =
    bit(HeaderName::kXForwardedFor) | bit(HeaderName::kXForwardedProto) |
    bit(HeaderName::kXForwardedHost) | bit(HeaderName::kXForwardedPort) |
    bit(HeaderName::kXForwardedScheme) | bit(HeaderName::kXScheme) | bit(HeaderName::kXRealIp) |
    bit(HeaderName::kXRequestId);
constexpr uint64_t kSpoofableKnown = bit(HeaderName::kXForwardedPrefix) |
                                     bit(HeaderName::kForwarded) | bit(HeaderName::kXOriginalUri);
constexpr std::string_view kSpoofable[] = {"x-forwarded-", "x-original-", "x-ringway-", "x-envoy-"};

// A field without a well-known name. Most begin otherwise, and the first letters say so.
bool is_spoofable_name(std::string_view name) {
  if (name.size() < 8 || (name[0] | 0x20) != 'x' || name[1] != '-') return false;
  for (const std::string_view prefix : kSpoofable) {
    if ((name[2] | 0x20) == prefix[2] && starts_with_ignoring_case(name, prefix)) return true;
  }
  return false;
}

// Of a field without a well-known name: never passed on as a client sent it.
bool is_removed_name(std::string_view name, bool trusted) {
  return equals_ignoring_case(name, "proxy") || equals_ignoring_case(name, kOriginalForwardedFor) ||
         (!trusted && is_spoofable_name(name));
}

}  // namespace

bool set_forwarding_fields(RequestHead& head, const Forwarding& forwarding,
                           io::BufferPool& output_pool) {
  HeaderList& headers = head.headers;
  const auto kept = [&](HeaderName id, std::string_view ours) {
    const std::string_view theirs =
        forwarding.trusted ? first_value(headers, id) : std::string_view();
    return theirs.empty() ? ours : theirs;
  };
  const std::string_view received_id = first_value(headers, HeaderName::kXRequestId);
  const std::string_view request_id =
      is_request_id(received_id) ? received_id : forwarding.request_id;
  const std::string_view real_ip = kept(HeaderName::kXRealIp, forwarding.peer);
  const std::string_view host = kept(HeaderName::kXForwardedHost, forwarding.host);
  const std::string_view port = kept(HeaderName::kXForwardedPort, forwarding.port);
  const std::string_view proto = kept(HeaderName::kXForwardedProto, forwarding.scheme);
  const Hops hops = joined_hops(head, forwarding.peer, output_pool);

  const uint64_t removed = kOverwritten | (forwarding.trusted ? 0 : kSpoofableKnown);
  headers.remove_if([&](const Header& header) {
    if (header.id == HeaderName::kOther) return is_removed_name(header.name(), forwarding.trusted);
    return (removed & bit(header.id)) != 0;
  });
  bool added =
      headers.add(HeaderName::kXRequestId, request_id) &&
      headers.add(HeaderName::kXRealIp, real_ip) &&
      headers.add(HeaderName::kXForwardedFor, forwarding.trusted ? hops.all : forwarding.peer) &&
      headers.add(HeaderName::kXForwardedHost, host) &&
      headers.add(HeaderName::kXForwardedPort, port) &&
      headers.add(HeaderName::kXForwardedProto, proto) &&
      headers.add(HeaderName::kXForwardedScheme, proto) && headers.add(HeaderName::kXScheme, proto);
  if (!hops.received.empty())
    added = added && headers.add(HeaderName::kOther, kOriginalForwardedFor, hops.received);
  return added;
}

}  // namespace ringway::http
