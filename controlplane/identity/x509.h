// Keys and certificates of the link between controller and proxies, made with OpenSSL. Values are
// PEM texts, so that they can lie in a Secret as they are. Any thread; uses OpenSSL's random
// generator. Times are seconds since the epoch.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::identity {

struct KeyPair {
  std::string certificate;  // PEM, one certificate.
  std::string key;          // PEM (PKCS #8), P-256.
  bool operator==(const KeyPair&) const = default;
};

// What a certificate is made for.
struct Subject {
  std::string common_name;
  std::vector<std::string> names;  // subjectAltName: DNS names and IP addresses.
  std::vector<std::string> uris;   // subjectAltName: URIs.
  bool server = false;             // extendedKeyUsage
  bool client = false;
};

struct Validity {
  int64_t not_before_s = 0;
  int64_t not_after_s = 0;
  bool operator==(const Validity&) const = default;
};

std::string make_key();
// Self-signed, for signing leaves only (pathlen 0).
KeyPair make_authority(const std::string& common_name, const Validity& validity);
// A leaf for the key `key` (PEM, with its private part) by `authority`. The error is one line.
std::expected<std::string, std::string> sign(const KeyPair& authority, const std::string& key,
                                             const Subject& subject, const Validity& validity);

// Of the first certificate of a PEM text.
std::expected<Validity, std::string> validity_of(std::string_view certificate);
bool names_are(std::string_view certificate, const Subject& subject);
bool belong_together(const KeyPair& pair);
// Whether the leaf was signed by one of the certificates in `bundle` (dates are not looked at).
bool signed_by_one_of(std::string_view certificate, std::string_view bundle);
// The certificates of a PEM text, each as its own PEM text; broken ones are left out.
std::vector<std::string> split(std::string_view bundle);

}  // namespace ringway::identity
