#include "dataplane/tls/server_context.h"

#include <openssl/sha.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "dataplane/tls/certificate_data.h"
#include "dataplane/tls/client_hello.h"
#include "dataplane/tls/ticket_keys.h"

namespace ringway::tls {
namespace {

// Forward secret and authenticated only, those of ingress-nginx without the finite-field ones. In
// our order, as there; within brackets in the client's, which knows whether it has AES in hardware.
// TLS 1.3 brings its own.
constexpr char kTls12Ciphers[] =
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]:ECDHE-RSA-AES256-GCM-SHA384";
constexpr char kGroups[] = "X25519:P-256:P-384";
constexpr uint32_t kTls12SessionSeconds =
    2 * 3600;  // A ticket of TLS 1.2 holds the key of all its sessions: short.
constexpr uint32_t kTls13SessionSeconds = 24 * 3600;
constexpr size_t kServerNameBytesMax = 255;

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Whether a certificate's name, in lower case, is that of the host: itself, or with one label for
// its asterisk (RFC 6125 section 6.4.3).
bool names(std::string_view name, std::string_view host) {
  if (name.starts_with("*.")) {
    const size_t dot = host.find('.');
    if (dot == std::string_view::npos || dot == 0) return false;
    name.remove_prefix(1);
    host.remove_prefix(dot);
  }
  return std::ranges::equal(name, host, [](char ours, char given) {
    return ours == (given >= 'A' && given <= 'Z' ? static_cast<char>(given - 'A' + 'a') : given);
  });
}

void hash_text(SHA256_CTX& hash, std::string_view text) {
  const uint64_t length = text.size();  // In front, so that two fields never read as another two.
  SHA256_Update(&hash, &length, sizeof length);
  SHA256_Update(&hash, text.data(), text.size());
}

}  // namespace

struct ServerContext::Data {
  struct Host {
    std::shared_ptr<const Certificate> ecdsa;
    std::shared_ptr<const Certificate> rsa;
    std::array<uint8_t, SHA256_DIGEST_LENGTH> session_scope;

    void offer(std::shared_ptr<const Certificate> certificate) {
      auto& place = certificate->data_->ecdsa_signature != 0 ? ecdsa : rsa;
      if (place == nullptr) place = std::move(certificate);
    }
    const Certificate& certificate() const { return ecdsa != nullptr ? *ecdsa : *rsa; }
  };
  using HostMap = std::unordered_map<std::string, Host, StringHash, std::equal_to<>>;

  bssl::UniquePtr<SSL_CTX> native;
  std::vector<std::string> alpn;
  std::shared_ptr<TicketKeys> ticket_keys;
  HostMap exact;     // "a.example.com"
  HostMap wildcard;  // ".example.com"
  Host fallback;

  Host& host_of(const std::string& name) {
    if (name.empty() || name == "*") return fallback;
    if (name.starts_with("*.")) return wildcard[name.substr(1)];
    return exact[name];
  }

  // `name`: lower case.
  const Host& match(std::string_view name) const {
    if (name.empty()) return fallback;
    if (const auto found = exact.find(name); found != exact.end()) return found->second;
    const size_t dot = name.find('.');
    if (dot == std::string_view::npos || dot == 0) return fallback;
    const auto found = wildcard.find(name.substr(dot));
    return found == wildcard.end() ? fallback : found->second;
  }

  // Case is folded on the stack: this runs in every handshake. A final dot is no part of a host
  // name in SNI (RFC 6066, section 3), yet some clients send it.
  const Host& match_any_case(std::string_view name) const {
    if (name.ends_with('.')) name.remove_suffix(1);
    std::array<char, kServerNameBytesMax> lower;
    if (name.size() > lower.size()) return fallback;
    std::transform(name.begin(), name.end(), lower.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return match({lower.data(), name.size()});
  }

  void set_session_scopes(const ServerPolicy& policy) {
    const auto scope_of = [&](std::string_view host) {
      SHA256_CTX hash;
      SHA256_Init(&hash);
      hash_text(hash, policy.ticket_scope);
      SHA256_Update(&hash, &policy.version_min, sizeof policy.version_min);
      hash_text(hash, host);
      std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
      SHA256_Final(digest.data(), &hash);
      return digest;
    };
    for (auto& [name, host] : exact) host.session_scope = scope_of(name);
    for (auto& [name, host] : wildcard) host.session_scope = scope_of(name);
    fallback.session_scope = scope_of("");
  }
};

// What BoringSSL calls during a handshake. The SSL_CTX carries the Data; a Session keeps both.
struct ServerContext::Callbacks {
  static const Data& data_of(const SSL* ssl) {
    return *static_cast<const Data*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  }

  // Before any other thought about the ClientHello, also before a ticket is judged.
  static ssl_select_cert_result_t select_certificate(const SSL_CLIENT_HELLO* hello) {
    const Data& data = data_of(hello->ssl);
    const char* name = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
    const Data::Host& host = data.match_any_case(name == nullptr ? std::string_view{} : name);
    const bool ecdsa =
        host.rsa == nullptr ||
        (host.ecdsa != nullptr && takes_ecdsa(*hello, host.ecdsa->data_->ecdsa_signature));
    const Certificate::Data& certificate = ecdsa ? *host.ecdsa->data_ : *host.rsa->data_;
    const bool set =
        SSL_set_chain_and_key(hello->ssl, certificate.chain_view.data(),
                              certificate.chain_view.size(), certificate.key.get(), nullptr) == 1 &&
        SSL_set_session_id_context(hello->ssl, host.session_scope.data(),
                                   host.session_scope.size()) == 1;
    return set ? ssl_select_cert_success : ssl_select_cert_error;
  }

  // Our order of preference. `in` is a list of names, each behind its length byte, that BoringSSL
  // has checked.
  static int select_alpn(SSL* ssl, const uint8_t** out, uint8_t* out_length, const uint8_t* in,
                         unsigned in_length, void*) {
    const std::string_view offered(reinterpret_cast<const char*>(in), in_length);
    for (const std::string& ours : data_of(ssl).alpn) {
      for (size_t at = 0; at < offered.size();) {
        const size_t length = static_cast<uint8_t>(offered[at]);
        if (offered.substr(at + 1, length) == ours) {
          *out = in + at + 1;
          *out_length = static_cast<uint8_t>(length);
          return SSL_TLSEXT_ERR_OK;
        }
        at += 1 + length;
      }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }

  static size_t ticket_overhead(SSL*) { return TicketKeys::kOverheadBytes; }

  static int seal_ticket(SSL* ssl, uint8_t* out, size_t* out_length, size_t out_length_max,
                         const uint8_t* in, size_t in_length) {
    const auto bytes =
        data_of(ssl).ticket_keys->seal(monotonic_ns(), {in, in_length}, {out, out_length_max});
    if (!bytes) return 0;
    *out_length = *bytes;
    return 1;
  }

  static ssl_ticket_aead_result_t open_ticket(SSL* ssl, uint8_t* out, size_t* out_length,
                                              size_t out_length_max, const uint8_t* in,
                                              size_t in_length) {
    const auto bytes =
        data_of(ssl).ticket_keys->open(monotonic_ns(), {in, in_length}, {out, out_length_max});
    if (!bytes) return ssl_ticket_aead_ignore_ticket;
    *out_length = *bytes;
    return ssl_ticket_aead_success;
  }

  static constexpr SSL_TICKET_AEAD_METHOD kTickets{ticket_overhead, seal_ticket, open_ticket};
};

ServerContext::ServerContext() : data_(std::make_unique<Data>()) {}
ServerContext::~ServerContext() = default;

std::shared_ptr<ServerContext> ServerContext::make(const ServerPolicy& policy,
                                                   std::vector<Entry> entries,
                                                   std::shared_ptr<const Certificate> fallback) {
  CHECK(fallback != nullptr);
  std::shared_ptr<ServerContext> context(new ServerContext);
  Data& data = *context->data_;
  for (Entry& entry : entries) {
    CHECK(entry.certificate != nullptr);
    data.host_of(lower_case(entry.host)).offer(std::move(entry.certificate));
  }
  if (data.fallback.ecdsa == nullptr && data.fallback.rsa == nullptr)
    data.fallback.offer(std::move(fallback));
  data.set_session_scopes(policy);
  data.alpn = policy.alpn;
  data.ticket_keys = policy.ticket_keys != nullptr ? policy.ticket_keys : TicketKeys::process();

  // Without X.509 objects: the chain is bytes to a server, so no session parses or keeps any.
  data.native.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* native = data.native.get();
  CHECK(native != nullptr);
  CHECK(SSL_CTX_set_min_proto_version(native,
                                      std::max<uint16_t>(policy.version_min, TLS1_2_VERSION)) == 1);
  CHECK(SSL_CTX_set_max_proto_version(native, TLS1_3_VERSION) == 1);
  CHECK(SSL_CTX_set_strict_cipher_list(native, kTls12Ciphers) == 1);
  SSL_CTX_set_options(native, SSL_OP_CIPHER_SERVER_PREFERENCE);
  CHECK(SSL_CTX_set1_curves_list(native, kGroups) == 1);
  SSL_CTX_set_app_data(native, &data);
  SSL_CTX_set_select_certificate_cb(native, Callbacks::select_certificate);
  if (!data.alpn.empty()) SSL_CTX_set_alpn_select_cb(native, Callbacks::select_alpn, nullptr);
  // Resumption by tickets only: nothing is kept here. 0-RTT stays off, since a replayed request is
  // still a request (RFC 8446, section 8); a server of BoringSSL never renegotiates.
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_early_data_enabled(native, 0);
  SSL_CTX_set_ticket_aead_method(native, &Callbacks::kTickets);
  SSL_CTX_set_timeout(native, kTls12SessionSeconds);
  SSL_CTX_set_session_psk_dhe_timeout(native, kTls13SessionSeconds);
  return context;
}

const Certificate& ServerContext::find(std::string_view server_name) const {
  return data_->match_any_case(server_name).certificate();
}

bool ServerContext::covers(std::string_view server_name, std::string_view host) const {
  const Data::Host& made_for = data_->match_any_case(server_name);
  const Data::Host& wanted = data_->match_any_case(host);
  if (&made_for == &wanted || &wanted == &data_->fallback) return true;
  for (const Certificate* shown : {made_for.ecdsa.get(), made_for.rsa.get()}) {
    if (shown == nullptr) continue;
    if (shown == wanted.ecdsa.get() || shown == wanted.rsa.get()) return true;
    if (std::ranges::any_of(shown->names(), [&](const auto& name) { return names(name, host); })) {
      return true;
    }
  }
  return false;
}

ssl_ctx_st* ServerContext::native() const { return data_->native.get(); }

}  // namespace ringway::tls
