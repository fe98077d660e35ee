#include "dataplane/tls/ticket_keys.h"

#include <openssl/aead.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

#include <array>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace ringway::tls {
namespace {

constexpr size_t kNameBytes = 16;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
static_assert(kNameBytes + kNonceBytes + kTagBytes == TicketKeys::kOverheadBytes);

}  // namespace

// AES-256-GCM-SIV (RFC 8452): nonces are drawn at random, and a nonce that comes twice gives away
// no more than that two tickets are equal. The context is read only after its making, so threads
// share it.
struct TicketKeys::Key {
  std::array<uint8_t, kNameBytes> name;
  EVP_AEAD_CTX aead;

  Key() {
    std::array<uint8_t, 32> secret;
    CHECK(RAND_bytes(name.data(), name.size()) == 1);
    CHECK(RAND_bytes(secret.data(), secret.size()) == 1);
    CHECK(EVP_AEAD_CTX_init(&aead, EVP_aead_aes_256_gcm_siv(), secret.data(), secret.size(),
                            kTagBytes, nullptr) == 1);
    OPENSSL_cleanse(secret.data(), secret.size());
  }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  ~Key() {
    EVP_AEAD_CTX_cleanup(&aead);
    OPENSSL_cleanse(&aead, sizeof aead);  // It holds the key schedule itself.
  }
};

TicketKeys::TicketKeys(uint64_t now_ns)
    : current_(std::make_unique<Key>()), rotate_at_ns_(now_ns + kPeriodNs) {}
TicketKeys::~TicketKeys() = default;

const std::shared_ptr<TicketKeys>& TicketKeys::process() {
  static const std::shared_ptr<TicketKeys> keys = std::make_shared<TicketKeys>(monotonic_ns());
  return keys;
}

void TicketKeys::rotate(uint64_t now_ns) {
  std::unique_lock lock(mutex_);
  rotate_locked(now_ns);
}

void TicketKeys::rotate_locked(uint64_t now_ns) {
  previous_ = std::exchange(current_, std::make_unique<Key>());
  rotate_at_ns_ = now_ns + kPeriodNs;
}

void TicketKeys::rotate_if_due(uint64_t now_ns) {
  {
    std::shared_lock lock(mutex_);
    if (now_ns < rotate_at_ns_) return;
  }
  std::unique_lock lock(mutex_);
  if (now_ns < rotate_at_ns_) return;  // Another thread was first.
  const bool previous_is_over = now_ns - rotate_at_ns_ >= kPeriodNs;
  rotate_locked(now_ns);
  if (previous_is_over) previous_.reset();  // Nobody came for a whole period.
}

std::optional<size_t> TicketKeys::seal(uint64_t now_ns, std::span<const uint8_t> session,
                                       std::span<uint8_t> out) {
  if (out.size() < session.size() + kOverheadBytes) return std::nullopt;
  rotate_if_due(now_ns);
  std::shared_lock lock(mutex_);
  // `session` may be the start of `out`: sealed in place first, moved behind the name and the nonce
  // then.
  std::array<uint8_t, kNonceBytes> nonce;
  CHECK(RAND_bytes(nonce.data(), nonce.size()) == 1);
  size_t sealed = 0;
  if (EVP_AEAD_CTX_seal(&current_->aead, out.data(), &sealed, out.size(), nonce.data(),
                        nonce.size(), session.data(), session.size(), current_->name.data(),
                        kNameBytes) != 1) {
    return std::nullopt;
  }
  std::memmove(out.data() + kNameBytes + kNonceBytes, out.data(), sealed);
  std::memcpy(out.data(), current_->name.data(), kNameBytes);
  std::memcpy(out.data() + kNameBytes, nonce.data(), kNonceBytes);
  return kNameBytes + kNonceBytes + sealed;
}

std::optional<size_t> TicketKeys::open(uint64_t now_ns, std::span<const uint8_t> ticket,
                                       std::span<uint8_t> out) {
  if (ticket.size() < kOverheadBytes) return std::nullopt;
  rotate_if_due(now_ns);
  std::shared_lock lock(mutex_);
  for (const Key* key : {current_.get(), previous_.get()}) {
    if (key == nullptr || std::memcmp(key->name.data(), ticket.data(), kNameBytes) != 0) continue;
    const auto sealed = ticket.subspan(kNameBytes + kNonceBytes);
    size_t opened = 0;
    if (EVP_AEAD_CTX_open(&key->aead, out.data(), &opened, out.size(), ticket.data() + kNameBytes,
                          kNonceBytes, sealed.data(), sealed.size(), key->name.data(),
                          kNameBytes) != 1) {
      return std::nullopt;
    }
    return opened;
  }
  return std::nullopt;
}

}  // namespace ringway::tls
