// The certificates and policy of a TLS listener: SNI index (exact by hash, wildcard by one label),
// ALPN, versions.
//
// Thread rule: built by the control thread, immutable afterwards, shared by workers and by the
// sessions that began with it.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ssl_ctx_st;

namespace ringway::tls {

class TicketKeys;  // tls/ticket_keys.h

// A checked chain and key. Several are compiled once and shared between contexts.
class Certificate {
 public:
  // Parses PEM, leaf first, at most 16 certificates; checks that the key fits the leaf. Refused:
  // encrypted keys, RSA outside 2048 to 8192 bits, curves other than P-256, P-384 and P-521, DNS
  // names with bytes that no host name has. An expired certificate is taken: it is for the caller
  // to judge. Error: one line for people, without any of the key.
  static std::expected<std::shared_ptr<const Certificate>, std::string> from_pem(
      std::string_view chain_pem, std::string_view key_pem);
  // For hosts without a certificate: P-256, one year, CN "Ringway Ingress Controller Fake
  // Certificate", as ingress-nginx has.
  static std::shared_ptr<const Certificate> self_signed();
  ~Certificate();

  int64_t not_after_unix_seconds() const;
  const std::vector<std::string>& names() const;  // DNS names of the leaf (SAN), lower case.
  std::string_view key_type() const;              // "ecdsa", "rsa"

 private:
  friend class ServerContext;
  Certificate();
  struct Data;
  std::unique_ptr<Data> data_;
};

struct ServerPolicy {
  uint16_t version_min = 0x0303;  // TLS 1.2
  // In our order of preference. A client that offers none of them gets an alert (RFC 7301, section
  // 3.2); one without the extension is served. Empty: the extension is ignored.
  std::vector<std::string> alpn{"http/1.1"};
  // A session resumes only where ticket_keys, ticket_scope, version_min and the matched host are
  // those it began with; so it outlives any exchange of certificates. Listeners that differ in what
  // they ask of a client have different scopes.
  std::string ticket_scope;
  std::shared_ptr<TicketKeys> ticket_keys;  // nullptr: those of the process.
};

class ServerContext {
 public:
  struct Entry {
    std::string host;  // "a.example.com", "*.example.com" (one label), or "*": before the fallback.
    std::shared_ptr<const Certificate> certificate;
  };
  // REQUIRES: certificates that are not nullptr.
  static std::shared_ptr<ServerContext> make(const ServerPolicy& policy, std::vector<Entry> entries,
                                             std::shared_ptr<const Certificate> fallback);
  ~ServerContext();
  // The certificate for an SNI name, in any case: exact name first, then the wildcard of its first
  // label, then the fallback. Two of one name (ECDSA and RSA) may be entries of the same host: in a
  // handshake the client's signature algorithms decide, here the ECDSA one is given. Of two with
  // the same kind of key the first counts.
  const Certificate& find(std::string_view server_name) const;
  // Whether a connection that was made for the server name may carry requests for `host`: the same
  // entry or certificate serves both, the certificate that the client was shown names it, or
  // nothing here is `host`'s own. Names in any case.
  bool covers(std::string_view server_name, std::string_view host) const;
  ssl_ctx_st* native() const;

 private:
  ServerContext();
  struct Data;
  struct Callbacks;
  std::unique_ptr<Data> data_;
};

}  // namespace ringway::tls
