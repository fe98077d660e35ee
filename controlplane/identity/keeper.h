// Keeps the certificates of the discovery link: the authority and the proxies' certificate in
// Secrets, the controller's own in memory. Every replica runs one; they agree by the Secrets, which
// whoever comes first writes. No leader is needed.
//
// Thread rule: step() on one thread at a time; paths() from any thread. Invariant: what is served
// and what proxies trust overlap at every moment of a rotation, as long as proxies see a changed
// Secret within Lifetimes::spread_s.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "controlplane/identity/authority.h"
#include "controlplane/identity/memory_file.h"
#include "controlplane/identity/secret_store.h"

namespace ringway::identity {

struct KeeperOptions {
  std::string prefix = "ringway";  // Secrets PREFIX-ca and PREFIX-proxy-tls.
  std::vector<std::string> names;  // Of the controller's certificate, beside kControllerName.
  bool proxies = true;             // false: the link is a Unix socket, only the webhook needs one.
  std::vector<std::string> webhook_names;  // Of the admission webhook's certificate; empty: none.
  Lifetimes lifetimes;
};

class Keeper {
 public:
  Keeper(SecretStore& store, KeeperOptions options);

  // Reads, renews what is due, takes over what another replica renewed. The error (one line) means:
  // as before; call again. The first success fills the files.
  std::expected<void, std::string> step(int64_t now_s);
  bool ready() const { return authority_.has_value() && !serving_.pair.certificate.empty(); }

  // For serve::ServerOptions: read again by gRPC within a second of a change.
  std::string certificate_path() const { return serving_.certificate_file.path(); }
  std::string key_path() const { return serving_.key_file.path(); }
  std::string ca_path() const { return ca_file_.path(); }
  // For admission::TlsPaths.
  std::string webhook_certificate_path() const { return webhook_.certificate_file.path(); }
  std::string webhook_key_path() const { return webhook_.key_file.path(); }
  const std::string& bundle() const { return bundle_; }  // What ca_path() holds.

  uint64_t writes() const { return writes_; }  // Of Secrets, since the start.

 private:
  std::expected<void, std::string> read_or_advance_authority(int64_t now_s);
  std::expected<void, std::string> renew_proxies(int64_t now_s);
  std::expected<void, std::string> renew_own(int64_t now_s);

  // A certificate that is in memory only. One key for the process, so that certificate and key fit
  // together at every moment of a change.
  struct Own {
    Subject subject;
    KeyPair pair;
    MemoryFile certificate_file;
    MemoryFile key_file;
  };
  std::expected<void, std::string> renew(Own& own, int64_t now_s);

  SecretStore& store_;
  const KeeperOptions options_;
  const Subject proxy_;
  std::optional<Authority> authority_;
  Own serving_;
  Own webhook_;
  MemoryFile ca_file_{"ca.crt"};
  std::string bundle_;
  uint64_t writes_ = 0;
};

}  // namespace ringway::identity
