// The project's own certificate authority as a value, and when it changes. Pure but for key
// generation: the time is an argument (seconds since the epoch).
//
// A new authority goes through two stages, so that no connection fails: first it is only trusted
// (in the bundle that proxies mount), and when that has had time to reach all of them it signs. The
// one before stays trusted until it expires; its key is gone when it stops signing.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>

#include "controlplane/identity/x509.h"

namespace ringway::identity {

using SecretData = std::map<std::string, std::string>;  // Secret.data, decoded.

struct Lifetimes {
  int64_t leaf_s = 24 * 3600;
  int64_t authority_s = 365 * 24 * 3600;
  // How long a new authority is only trusted. A kubelet brings a changed Secret to a mounted volume
  // in about two minutes; proxies look at their files every half minute.
  int64_t spread_s = 3600;
};

// Certificates begin this much before they are made: clocks of nodes differ.
inline constexpr int64_t kBackdateS = 300;

struct Authority {
  KeyPair current;              // Signs.
  std::optional<KeyPair> next;  // Trusted already.
  std::string previous;         // Certificates that are still trusted, PEM; may be "".

  // All that is trusted, PEM: what peers are checked against.
  std::string bundle() const;
  bool operator==(const Authority&) const = default;
};

// In a Secret: tls.crt and tls.key (signs), next.crt and next.key, previous.crt. The error says
// which entry is missing or broken.
std::expected<Authority, std::string> read_authority(const SecretData& data);
SecretData write_authority(const Authority& authority);

// What must be stored instead of `now` held; nullopt: nothing to do. `held` empty: there is none.
std::optional<Authority> advance(const std::optional<Authority>& held, const Lifetimes& lifetimes,
                                 int64_t now_s);

// A leaf under `authority` for `key`, never longer valid than the authority itself.
std::expected<std::string, std::string> issue(const Authority& authority, const std::string& key,
                                              const Subject& subject, const Lifetimes& lifetimes,
                                              int64_t now_s);

// Whether a leaf is to be made anew: unreadable, with other names, by nobody who is trusted, or
// two thirds of its life are over.
bool leaf_is_due(const KeyPair& leaf, const Authority& authority, const Subject& subject,
                 int64_t now_s);

}  // namespace ringway::identity
