// Checks a certificate chain and its key with OpenSSL, so that a proxy is never given what it must
// refuse. Pure; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::translate {

struct LeafFacts {
  int64_t not_before_s = 0;  // Seconds since the epoch, from the leaf.
  int64_t not_after_s = 0;
  std::vector<std::string> dns_names;  // subjectAltName dNSName, lower case. The common name does
                                       // not count (RFC 9525 §2).
};

// Both are PEM; the leaf is first in `chain`. The error is one line and quotes nothing of the key.
// Keys: RSA from 2048 bits, ECDSA on P-256, P-384 or P-521.
std::expected<LeafFacts, std::string> check_key_pair(std::string_view chain, std::string_view key);

// Whether a name of the leaf covers `host`: equal, or "*." for exactly one label (RFC 9525 §6.3).
// A wildcard `host` is covered by the same wildcard only.
bool covers(const LeafFacts& leaf, std::string_view host);

}  // namespace ringway::translate
