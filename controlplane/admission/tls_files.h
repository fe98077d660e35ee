// Certificate, key and client CA of a server on OpenSSL, read again when the files change: mounted
// Secrets and cert-manager replace them under a running process.
//
// Thread rule: any thread; handshakes run on the threads of their connections.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/file_stamp.h"

namespace ringway::admission {

struct TlsPaths {
  std::string certificate;  // PEM chain, leaf first.
  std::string key;
  std::string client_ca;  // "" = clients need no certificate.
};

class TlsFiles {
 public:
  // Reads all three. The error is one line that names the file.
  static std::expected<std::unique_ptr<TlsFiles>, std::string> load(TlsPaths paths);
  ~TlsFiles();

  // Makes `context` take certificates from here: TLS 1.2 or later, no resumption (a session would
  // outlive the check of its client). This outlives the context.
  void install(SSL_CTX& context);

  struct Material;
  // What is valid now: looks at the files at most once a second; when new ones are unusable the old
  // ones stay, and a line is logged once.
  std::shared_ptr<const Material> current();

 private:
  using Stamps = std::array<std::optional<FileStamp>, 3>;
  explicit TlsFiles(TlsPaths paths) : paths_(std::move(paths)) {}
  Stamps stamps() const;
  static int choose(SSL* ssl, void* self);

  const TlsPaths paths_;
  std::mutex mutex_;
  std::shared_ptr<const Material> material_;
  Stamps stamps_;
  uint64_t looked_ns_ = 0;
};

}  // namespace ringway::admission
