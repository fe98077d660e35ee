// What a Certificate holds: for the files of this room only.
#pragma once

#include <openssl/base.h>
#include <openssl/evp.h>
#include <openssl/pool.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/tls/server_context.h"

namespace ringway::tls {

// Invariants: chain[0] is the leaf; the private key fits it; every entry of chain parsed as X.509.
struct Certificate::Data {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> chain;
  std::vector<CRYPTO_BUFFER*> chain_view;  // chain, in the form that BoringSSL takes.
  bssl::UniquePtr<EVP_PKEY> key;           // BoringSSL wipes all memory that it frees.
  std::vector<std::string> names;
  std::string_view key_type;
  uint16_t ecdsa_signature = 0;  // SSL_SIGN_ECDSA_* of the key's curve; 0 for RSA.
  int64_t not_after_unix_seconds = 0;
};

}  // namespace ringway::tls
