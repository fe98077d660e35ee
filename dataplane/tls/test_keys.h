// Certificates and keys for tests, made on the spot.
#pragma once

#include <openssl/base.h>
#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/tls/server_context.h"

namespace ringway::tls::test {

enum class KeyKind : uint8_t { kP256, kP384, kP224, kEd25519, kRsa2048, kRsa1024 };

// One key of each kind in the process: RSA keys take long to make.
EVP_PKEY* key_of(KeyKind kind);

struct LeafOptions {
  std::vector<std::string> names{"a.example.com"};  // DNS names, bytes as they are.
  int days = 30;                                    // Until not_after; negative: expired.
};

struct Pem {
  std::string chain;
  std::string key;
};

std::string leaf_pem(EVP_PKEY* key, const LeafOptions& options);
std::string key_pem(EVP_PKEY* key);
std::string encrypted_key_pem(EVP_PKEY* key);
Pem make_pem(KeyKind kind, const LeafOptions& options = {});
std::shared_ptr<const Certificate> make_certificate(KeyKind kind, std::vector<std::string> names);
// A key of `bits` bits that is an RSA key by its arithmetic, but of factors that are not prime:
// made in no time, of no use.
bssl::UniquePtr<EVP_PKEY> hollow_rsa_key(unsigned bits);

}  // namespace ringway::tls::test
