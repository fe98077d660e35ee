#include "dataplane/tls/client_context.h"

#include <openssl/ssl.h>

#include "base/check.h"
#include "dataplane/tls/session.h"

namespace ringway::tls {

std::shared_ptr<const ClientContext> ClientContext::make(const ClientPolicy& policy) {
  std::shared_ptr<ClientContext> made(new ClientContext);
  made->context_ = SSL_CTX_new(TLS_method());
  CHECK(made->context_ != nullptr);
  SSL_CTX* context = made->context_;
  made->server_name_ = policy.server_name;
  CHECK(SSL_CTX_set_min_proto_version(context, policy.version_min) == 1);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  // Tickets are kept by whoever holds the peer's ResumableSession, not in a table here.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, Session::on_new_session);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  std::string protocols;
  for (const std::string& name : policy.alpn) {
    CHECK(!name.empty() && name.size() < 256);
    protocols += static_cast<char>(name.size());
    protocols += name;
  }
  // 0 is success, as documented for this one.
  CHECK(SSL_CTX_set_alpn_protos(context, reinterpret_cast<const uint8_t*>(protocols.data()),
                                static_cast<unsigned>(protocols.size())) == 0);
  return made;
}

const std::shared_ptr<const ClientContext>& ClientContext::of_upstreams(bool http2) {
  static const auto with_http1 = make({.alpn = {"http/1.1"}});
  static const auto with_http2 = make({.alpn = {"h2"}});
  return http2 ? with_http2 : with_http1;
}

ClientContext::~ClientContext() { SSL_CTX_free(context_); }

void ResumableSession::keep(ssl_session_st* session) {
  SSL_SESSION_free(newest_);
  newest_ = session;
}

}  // namespace ringway::tls
