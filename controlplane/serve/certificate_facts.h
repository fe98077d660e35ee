// What the metrics say of a certificate: its issuer and its end.
//
// Thread rule: none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringway::serve {

struct CertificateFacts {
  int64_t not_after_s = 0;                              // Seconds since the epoch.
  std::string issuer_organization, issuer_common_name;  // The first of each; "" when there is none.
  std::string serial_number;                            // Decimal.
  std::string public_key_algorithm;  // "RSA", "ECDSA", "Ed25519", else "Unknown".
  // "<organization>-<serial>": one certificate, whatever Secrets hold it.
  std::string identifier() const { return issuer_organization + "-" + serial_number; }
};

// Of the first certificate in `chain_pem`; nullopt when it is none. Issuers' names are text from
// outside: bytes that are no UTF-8 are left out.
std::optional<CertificateFacts> read_certificate(std::string_view chain_pem);

}  // namespace ringway::serve
