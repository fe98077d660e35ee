// One request and its answer, as rooms that write to the API server use it; what stands in for a
// server in their tests.
#pragma once

#include <utility>

#include "controlplane/kube/api_client.h"

namespace ringway::kube {

class Caller {
 public:
  virtual ~Caller() = default;
  virtual Result call(Request request) = 0;
};

// A server. `client` outlives it. Any thread.
class ClientCaller final : public Caller {
 public:
  explicit ClientCaller(ApiClient& client) : client_(client) {}
  Result call(Request request) override { return client_.call(std::move(request)); }

 private:
  ApiClient& client_;
};

}  // namespace ringway::kube
