// TLS towards upstreams: what is offered, and sessions kept to be resumed.
//
// Nothing of the peer's certificate is verified and no name is sent, which is what ingress-nginx
// does unless told otherwise (proxy-ssl-verify and proxy-ssl-server-name are off): TLS keeps a
// listener on the pod network out, not somebody who answers in the pod's stead.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct ssl_ctx_st;
struct ssl_session_st;

namespace ringway::tls {

struct ClientPolicy {
  uint16_t version_min = 0x0303;  // TLS 1.2
  std::vector<std::string> alpn;  // In our order of preference; empty: not offered.
  std::string server_name;        // SNI; "": none is sent.
};

// Immutable; made by any thread, shared by workers and sessions.
class ClientContext {
 public:
  static std::shared_ptr<const ClientContext> make(const ClientPolicy& policy);
  // What upstreams of HTTP/1.1 or HTTP/2 are offered, made once: clusters do not differ in it.
  static const std::shared_ptr<const ClientContext>& of_upstreams(bool http2);
  ~ClientContext();
  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;

  ssl_ctx_st* native() const { return context_; }
  const std::string& server_name() const { return server_name_; }

 private:
  ClientContext() = default;
  ssl_ctx_st* context_ = nullptr;
  std::string server_name_;
};

// The newest session of one peer. Thread rule: one worker. Outlives the Sessions it was given to.
class ResumableSession {
 public:
  ResumableSession() = default;
  ~ResumableSession() { keep(nullptr); }
  ResumableSession(const ResumableSession&) = delete;
  ResumableSession& operator=(const ResumableSession&) = delete;

  void keep(ssl_session_st* session);  // Takes the reference.
  ssl_session_st* newest() const { return newest_; }

 private:
  ssl_session_st* newest_ = nullptr;
};

}  // namespace ringway::tls
