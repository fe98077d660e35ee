#include "dataplane/tls/client_hello.h"

#include <openssl/bytestring.h>

namespace ringway::tls {
namespace {

// True when the extension, a list of 16-bit numbers behind a length of `length_bytes` bytes, holds
// `wanted`.
bool list_holds(const SSL_CLIENT_HELLO& hello, uint16_t extension, int length_bytes,
                uint16_t wanted) {
  const uint8_t* data = nullptr;
  size_t length = 0;
  if (SSL_early_callback_ctx_extension_get(&hello, extension, &data, &length) != 1) return false;
  CBS body;
  CBS list;
  CBS_init(&body, data, length);
  if ((length_bytes == 1 ? CBS_get_u8_length_prefixed(&body, &list)
                         : CBS_get_u16_length_prefixed(&body, &list)) != 1) {
    return false;
  }
  uint16_t value = 0;
  while (CBS_get_u16(&list, &value) == 1) {
    if (value == wanted) return true;
  }
  return false;
}

bool lists_ecdsa_suite(const SSL_CLIENT_HELLO& hello) {
  CBS suites;
  CBS_init(&suites, hello.cipher_suites, hello.cipher_suites_len);
  uint16_t suite = 0;
  while (CBS_get_u16(&suites, &suite) == 1) {
    switch (suite) {
      case TLS1_CK_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 & 0xffff:
      case TLS1_CK_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 & 0xffff:
      case TLS1_CK_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 & 0xffff:
        return true;
      default:
        break;
    }
  }
  return false;
}

}  // namespace

bool takes_ecdsa(const SSL_CLIENT_HELLO& hello, uint16_t signature) {
  if (!list_holds(hello, TLSEXT_TYPE_signature_algorithms, 2, signature)) return false;
  return list_holds(hello, TLSEXT_TYPE_supported_versions, 1, TLS1_3_VERSION) ||
         lists_ecdsa_suite(hello);
}

}  // namespace ringway::tls
