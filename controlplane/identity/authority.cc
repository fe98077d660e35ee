#include "controlplane/identity/authority.h"

#include <algorithm>

namespace ringway::identity {
namespace {

constexpr char kCommonName[] = "Ringway controller CA";

std::string entry(const SecretData& data, const char* name) {
  const auto at = data.find(name);
  return at == data.end() ? std::string() : at->second;
}

KeyPair make(const Lifetimes& lifetimes, int64_t now_s) {
  return make_authority(kCommonName, {now_s - kBackdateS, now_s + lifetimes.authority_s});
}

// Two thirds of a certificate's life are over. An unreadable one has none.
bool is_old(const std::string& certificate, int64_t now_s) {
  const auto validity = validity_of(certificate);
  if (!validity) return true;
  const int64_t made_s = validity->not_before_s + kBackdateS;
  return now_s >= made_s + (validity->not_after_s - made_s) / 3 * 2;
}

bool is_over(const std::string& certificate, int64_t now_s) {
  const auto validity = validity_of(certificate);
  return !validity || now_s >= validity->not_after_s;
}

std::string without_expired(const std::string& bundle, int64_t now_s) {
  std::string out;
  for (const std::string& certificate : split(bundle)) {
    if (!is_over(certificate, now_s)) out += certificate;
  }
  return out;
}

}  // namespace

std::string Authority::bundle() const {
  return current.certificate + (next ? next->certificate : "") + previous;
}

std::expected<Authority, std::string> read_authority(const SecretData& data) {
  Authority authority;
  authority.current = {entry(data, "tls.crt"), entry(data, "tls.key")};
  if (!belong_together(authority.current))
    return std::unexpected("tls.crt and tls.key are no certificate and its key");
  KeyPair next{entry(data, "next.crt"), entry(data, "next.key")};
  if (!next.certificate.empty() || !next.key.empty()) {
    if (!belong_together(next))
      return std::unexpected("next.crt and next.key are no certificate and its key");
    authority.next = std::move(next);
  }
  authority.previous = entry(data, "previous.crt");
  return authority;
}

SecretData write_authority(const Authority& authority) {
  SecretData data{{"tls.crt", authority.current.certificate},
                  {"tls.key", authority.current.key},
                  {"ca.crt", authority.bundle()}};
  if (authority.next) {
    data["next.crt"] = authority.next->certificate;
    data["next.key"] = authority.next->key;
  }
  if (!authority.previous.empty()) data["previous.crt"] = authority.previous;
  return data;
}

std::optional<Authority> advance(const std::optional<Authority>& held, const Lifetimes& lifetimes,
                                 int64_t now_s) {
  if (!held) return Authority{make(lifetimes, now_s), std::nullopt, ""};
  Authority now = *held;
  now.previous = without_expired(held->previous, now_s);
  const bool over = is_over(held->current.certificate, now_s);
  if (!now.next && is_old(held->current.certificate, now_s)) now.next = make(lifetimes, now_s);
  if (now.next) {
    const auto validity = validity_of(now.next->certificate);
    const bool spread =
        validity && now_s >= validity->not_before_s + kBackdateS + lifetimes.spread_s;
    if (spread || over) {  // Over: no controller ran for months; nothing is left to protect.
      if (!over) now.previous = now.current.certificate + now.previous;
      now.current = *std::move(now.next);
      now.next.reset();
    }
  }
  if (now == *held) return std::nullopt;
  return now;
}

std::expected<std::string, std::string> issue(const Authority& authority, const std::string& key,
                                              const Subject& subject, const Lifetimes& lifetimes,
                                              int64_t now_s) {
  const auto bounds = validity_of(authority.current.certificate);
  if (!bounds) return std::unexpected(bounds.error());
  return sign(authority.current, key, subject,
              {std::max(now_s - kBackdateS, bounds->not_before_s),
               std::min(now_s + lifetimes.leaf_s, bounds->not_after_s)});
}

bool leaf_is_due(const KeyPair& leaf, const Authority& authority, const Subject& subject,
                 int64_t now_s) {
  return !belong_together(leaf) || is_old(leaf.certificate, now_s) ||
         !names_are(leaf.certificate, subject) ||
         !signed_by_one_of(leaf.certificate, authority.bundle());
}

}  // namespace ringway::identity
