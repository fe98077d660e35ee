// The request of one active check and what becomes of it: HTTP/1.1 or HTTP/2 by the endpoint's
// protocol, a GET or the Check call of grpc.health.v1.
//
// Thread rule: the ring's thread. Bytes in by the codec, bytes out by `output`; no socket, no
// clock.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/http/codec.h"
#include "dataplane/io/ring.h"
#include "dataplane/upstream/cluster.h"

namespace ringway::upstream {

enum class Verdict : uint8_t {
  kPass,
  kFail,
  kUnknown /* our own fault or drained: says nothing about the endpoint */
};

class HealthExchange final : private http::ClientSink {
 public:
  HealthExchange(io::Ring& ring, const HealthCheckPolicy& policy, const EndpointState& endpoint);
  ~HealthExchange();

  void begin();  // Puts the request into `output`.
  void feed(io::Slice data);
  void on_end_of_input();  // Judges at the latest.

  io::SliceQueue output;
  std::optional<Verdict> verdict;
  std::string_view reason;

 private:
  http::ResponseHead* new_response_head(http::StreamId) override { return &response_; }
  void on_interim_response(http::StreamId, http::ResponseHead&) override {}
  void on_response_head(http::StreamId, http::ResponseHead& head, bool end) override;
  void on_response_body(http::StreamId, io::Slice data, bool end) override;
  void on_response_trailers(http::StreamId, const http::HeaderList& trailers) override;
  void on_response_error(http::StreamId, http::Error error) override;

  void judge(Verdict verdict, std::string_view reason);
  void judge_text(bool end);
  void judge_grpc(const http::HeaderList& fields);
  bool is_grpc() const { return policy_.kind == HealthCheckPolicy::Kind::kGrpc; }

  io::Ring& ring_;
  const HealthCheckPolicy& policy_;
  const EndpointState& endpoint_;
  http::RequestHead request_;
  http::ResponseHead response_;
  std::string body_;
  std::unique_ptr<http::ClientCodec> codec_;  // Last: refers to the others.
};

// Whether the bytes are one gRPC message that is a grpc.health.v1.HealthCheckResponse with SERVING.
bool says_serving(std::string_view grpc_body);
// The gRPC message of a HealthCheckRequest.
std::string health_check_request(std::string_view service);

}  // namespace ringway::upstream
