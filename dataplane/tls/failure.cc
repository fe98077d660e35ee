#include "dataplane/tls/failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace ringway::tls {
namespace {

struct NamedReason {
  int reason;
  std::string_view name;
};

constexpr NamedReason kReasons[] = {
    {SSL_R_NO_SHARED_CIPHER, "no_shared_cipher"},
    {SSL_R_NO_SHARED_GROUP, "no_shared_group"},
    {SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS, "no_common_signature_algorithms"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "no_application_protocol"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "unsupported_protocol"},
    {SSL_R_INAPPROPRIATE_FALLBACK, "inappropriate_fallback"},
    {SSL_R_WRONG_VERSION_NUMBER, "not_tls"},
    {SSL_R_HTTP_REQUEST, "http_request"},  // Plain HTTP on the port of HTTPS.
    {SSL_R_HTTPS_PROXY_REQUEST, "http_request"},
    {SSL_R_CLIENTHELLO_PARSE_FAILED, "bad_client_hello"},
    {SSL_R_CLIENTHELLO_TLSEXT, "bad_client_hello"},
    {SSL_R_PARSE_TLSEXT, "bad_client_hello"},
    {SSL_R_ERROR_PARSING_EXTENSION, "bad_client_hello"},
    {SSL_R_DECODE_ERROR, "decode_error"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, "message_too_large"},
    {SSL_R_ENCRYPTED_LENGTH_TOO_LONG, "record_too_large"},
    {SSL_R_DATA_LENGTH_TOO_LONG, "record_too_large"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "bad_record_mac"},
    {SSL_R_DIGEST_CHECK_FAILED, "bad_finished"},
    {SSL_R_UNEXPECTED_MESSAGE, "unexpected_message"},
    {SSL_R_UNEXPECTED_RECORD, "unexpected_message"},
    {SSL_R_NO_RENEGOTIATION, "renegotiation"},
    {SSL_R_TOO_MANY_KEY_UPDATES, "too_many_key_updates"},
    {SSL_R_TOO_MANY_EMPTY_FRAGMENTS, "too_many_empty_records"},
    {SSL_R_TOO_MANY_WARNING_ALERTS, "too_many_warnings"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "alert_bad_certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "alert_certificate_expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "alert_certificate_unknown"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "alert_unknown_ca"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "alert_handshake_failure"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "alert_protocol_version"},
};

}  // namespace

std::string_view failure_reason(uint32_t error) {
  if (error == 0) return "closed_in_handshake";
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return "protocol_error";
  const int reason = ERR_GET_REASON(error);
  for (const NamedReason& named : kReasons) {
    if (named.reason == reason) return named.name;
  }
  return reason >= SSL_AD_REASON_OFFSET ? "alert_other" : "protocol_error";
}

}  // namespace ringway::tls
