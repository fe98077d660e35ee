// The bearer token of a Config, read again as its file changes: kubelets replace a pod's token well
// before it expires. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/kube/config.h"

namespace ringway::kube {

class Token {
 public:
  explicit Token(const Config& config) : file_(config.token_file), token_(config.token) {}

  // "" = none. The file is looked at when the last look is a minute ago (as client-go does), or
  // after expire(). When it cannot be read the token stays as it was.
  const std::string& at(uint64_t now_ns);

  // The server refused it. True: reading again may help, the next at() does.
  bool expire();

 private:
  const std::string file_;
  std::string token_;
  uint64_t read_at_ns_ = 0;
  bool fresh_ = false;
};

}  // namespace ringway::kube
