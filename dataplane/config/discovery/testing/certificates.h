// Certificates made on the spot for tests: a CA and what it signs, as PEM files in a folder.
#pragma once

#include <string>

namespace ringway::config::testing {

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

class TestCa {
 public:
  // Writes NAME-ca.pem into `folder`.
  TestCa(std::string folder, const std::string& name);
  ~TestCa();
  TestCa(const TestCa&) = delete;
  TestCa& operator=(const TestCa&) = delete;
  const std::string& file() const { return file_; }
  // Signs a certificate for `name` (subject alternative name: DNS, or IP when it is one). `days` <
  // 0: it ended that long ago.
  CertificateFiles sign(const std::string& name, int days = 1) const;

 private:
  struct Keys;
  const std::string folder_;
  const std::string name_;
  const std::string file_;
  Keys* keys_;
};

}  // namespace ringway::config::testing
