#include "dataplane/http/codec_testing.h"

#include <algorithm>
#include <cstring>

#include "dataplane/http/request_parser.h"
#include "dataplane/http/response_parser.h"

namespace ringway::http::testing {
namespace {

constexpr std::string_view kBodyPrefix = "body ";

void join_body(std::vector<std::string>& events, std::string_view data) {
  if (data.empty()) return;
  if (events.empty() || !events.back().starts_with(kBodyPrefix)) events.emplace_back(kBodyPrefix);
  events.back().append(data);
}

std::string join_lines(const std::vector<std::string>& events) {
  std::string text;
  for (const std::string& event : events) text += event + "\n";
  return text;
}

std::string body_text(BodyLength length) {
  switch (length.kind) {
    case BodyKind::kNone:
      return "none";
    case BodyKind::kKnown:
      return std::to_string(length.bytes);
    case BodyKind::kChunked:
      return "chunked";
    case BodyKind::kUntilClose:
      return "until_close";
  }
  return "?";
}

// Both twins of the scan must say the same of the same bytes.
std::string twin_difference(std::string_view text, const Limits& limits) {
  std::string verdicts[2];
  for (const ScanKind kind : {ScanKind::kPortable, ScanKind::kVector}) {
    std::string& verdict = verdicts[static_cast<int>(kind)];
    RequestHead request;
    HeadProgress progress;
    ParseResult parsed = parse_request_head(text, limits, progress, request, kind);
    verdict = std::to_string(static_cast<int>(parsed.status)) + error_name(parsed.error).data() +
              std::to_string(parsed.bytes) + describe(request.headers) +
              std::string(request.target);
    ResponseHead response;
    progress = {};
    parsed = parse_response_head(text, limits, progress, response, kind);
    verdict += std::to_string(static_cast<int>(parsed.status)) + error_name(parsed.error).data() +
               std::to_string(parsed.bytes) + describe(response.headers) +
               std::string(response.reason);
  }
  if (verdicts[0] == verdicts[1]) return "";
  return "DIFFERENCE of scans: " + verdicts[0] + " / " + verdicts[1];
}

// Calls one(pieces) with every way of cutting and compares what it returns.
std::string same_for_all_cuts(
    std::string_view text,
    const std::function<std::string(const std::vector<std::string_view>&)>& one) {
  const std::string whole = one({text});
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < text.size(); ++i) bytes.push_back(text.substr(i, 1));
  const std::string single = one(bytes);
  if (single != whole) return "DIFFERENCE byte by byte:\n" + single + "whole:\n" + whole;
  const size_t step = std::max<size_t>(1, text.size() / 600);
  for (size_t cut = 1; cut < text.size(); cut += step) {
    const std::string split = one({text.substr(0, cut), text.substr(cut)});
    if (split != whole)
      return "DIFFERENCE cut at " + std::to_string(cut) + ":\n" + split + "whole:\n" + whole;
  }
  return whole;
}

}  // namespace

io::Slice slice_of(io::BufferPool& pool, std::string_view text) {
  io::Slice slice = pool.take();
  CHECK(text.size() <= slice.tail().size());
  std::memcpy(slice.tail().data(), text.data(), text.size());
  slice.extend(static_cast<uint32_t>(text.size()));
  return slice;
}

void feed_text(io::BufferPool& pool, std::string_view text,
               const std::function<void(io::Slice)>& feed) {
  while (!text.empty()) {
    const size_t bytes = std::min<size_t>(text.size(), pool.buffer_bytes());
    feed(slice_of(pool, text.substr(0, bytes)));
    text.remove_prefix(bytes);
  }
}

std::string text_of(const io::SliceQueue& queue) {
  std::string text;
  queue.for_each([&](const io::Slice& slice) {
    text += slice.view();
    return true;
  });
  return text;
}

std::string describe(const HeaderList& headers) {
  std::string text;
  for (const Header& header : headers)
    text.append(" ").append(header.name()).append("=").append(header.value()).append(";");
  return text;
}

std::string describe(const RequestHead& head) {
  std::string text(head.method_text);
  text.append(" ").append(head.path).append(head.query);
  text += head.version == Version::k10 ? " 1.0" : " 1.1";
  if (!head.scheme.empty()) text.append(" scheme=").append(head.scheme);
  text.append(" at=").append(head.authority).append(" body=").append(body_text(head.body));
  if (!head.keep_alive) text += " close";
  if (head.expect_continue) text += " expect";
  if (head.upgrade) text.append(" upgrade=").append(head.upgrade_protocol);
  if (head.asterisk) text += " asterisk";
  if (head.underscore_fields > 0) text += " underscores=" + std::to_string(head.underscore_fields);
  return text + describe(head.headers);
}

std::string describe(const ResponseHead& head) {
  std::string text = std::to_string(head.status);
  text += head.version == Version::k10 ? " 1.0" : " 1.1";
  text.append(" body=").append(body_text(head.body));
  if (!head.keep_alive) text += " close";
  return text + describe(head.headers);
}

ServerHarness::ServerHarness(const Limits& server_limits)
    : limits(server_limits), codec(std::make_unique<H1ServerCodec>(*this, output, pool, limits)) {}

ServerHarness::~ServerHarness() {
  codec.reset();
  head.reset();
  output.clear();
}

void ServerHarness::feed(std::string_view text) {
  feed_text(receive_pool, text, [this](io::Slice slice) { codec->feed(std::move(slice)); });
}

RequestHead* ServerHarness::new_request_head(StreamId) { return no_room ? nullptr : &head; }

void ServerHarness::on_request_head(StreamId, RequestHead& request, bool end) {
  ++heads;
  events.push_back("head " + describe(request));
  if (on_head) on_head();
  if (end) ended();
}

void ServerHarness::on_request_body(StreamId, io::Slice data, bool end) {
  CHECK(end || !data.empty());
  join_body(events, data.view());
  if (end) ended();
}

void ServerHarness::on_request_trailers(StreamId, const HeaderList& trailers) {
  events.push_back("trailers" + describe(trailers));
  ended();
}

void ServerHarness::on_request_error(StreamId, Error refused) {
  error = refused;
  events.push_back("error " + std::string(error_name(refused)) + " " +
                   std::to_string(status_of(refused)));
  if (!answer) return;
  respond(status_of(refused), "", true);
  codec->finish(0);
}

void ServerHarness::ended() {
  events.emplace_back("end");
  if (!answer) return;
  respond(200, "ok");
  codec->finish(0);
}

void ServerHarness::respond(uint16_t status, std::string_view body, bool close) {
  ResponseHead response;
  response.status = status;
  response.body = {BodyKind::kKnown, body.size()};
  codec->send_head(0, response, body.empty(), close);
  if (!body.empty()) codec->send_body(0, slice_of(pool, body), true);
}

std::string ServerHarness::text() const { return join_lines(events); }

ClientHarness::ClientHarness(const Limits& client_limits)
    : limits(client_limits), codec(std::make_unique<H1ClientCodec>(*this, output, pool, limits)) {}

ClientHarness::~ClientHarness() {
  codec.reset();
  head.reset();
  output.clear();
}

void ClientHarness::request(std::string_view method, std::string_view upgrade,
                            std::string_view websocket_key) {
  request_head.reset();
  request_head.method_text = method;
  request_head.method = method_of(method);
  request_head.path = "/";
  request_head.authority = "a";
  request_head.upgrade = !upgrade.empty();
  request_head.upgrade_protocol = upgrade;
  if (!websocket_key.empty()) request_head.headers.add(HeaderName::kSecWebsocketKey, websocket_key);
  codec->open();
  codec->send_head(0, request_head, true);
}

void ClientHarness::feed(std::string_view text) {
  feed_text(receive_pool, text, [this](io::Slice slice) { codec->feed(std::move(slice)); });
}

void ClientHarness::on_interim_response(StreamId, ResponseHead& response) {
  events.push_back("interim " + describe(response));
}

void ClientHarness::on_response_head(StreamId, ResponseHead& response, bool end) {
  events.push_back("head " + describe(response));
  if (response.status == 101 && tunnel) codec->switch_to_tunnel(0);
  if (!end) return;
  events.emplace_back("end");
  reusable_at_end = codec->reusable();
}

void ClientHarness::on_response_body(StreamId, io::Slice data, bool end) {
  CHECK(end || !data.empty());
  join_body(events, data.view());
  if (!end) return;
  events.emplace_back("end");
  reusable_at_end = codec->reusable();
}

void ClientHarness::on_response_trailers(StreamId, const HeaderList& trailers) {
  events.push_back("trailers" + describe(trailers));
  reusable_at_end = codec->reusable();
}

void ClientHarness::on_response_error(StreamId, Error refused) {
  error = refused;
  events.push_back("error " + std::string(error_name(refused)));
}

std::string ClientHarness::text() const { return join_lines(events); }

std::string server_events(std::string_view text, const ServerRun& run) {
  const std::string twins = twin_difference(text, run.limits);
  if (!twins.empty()) return twins;
  return same_for_all_cuts(text, [&](const std::vector<std::string_view>& pieces) {
    ServerHarness server(run.limits);
    server.answer = run.answer;
    for (const std::string_view piece : pieces) server.feed(piece);
    if (run.end_of_input) server.codec->on_end_of_input();
    return server.text() + (server.codec->wants_close() ? "closes\n" : "");
  });
}

std::string client_events(std::string_view text, const ClientRun& run) {
  const std::string twins = twin_difference(text, run.limits);
  if (!twins.empty()) return twins;
  return same_for_all_cuts(text, [&](const std::vector<std::string_view>& pieces) {
    ClientHarness client(run.limits);
    client.request(run.method, run.upgrade, run.websocket_key);
    for (const std::string_view piece : pieces) client.feed(piece);
    if (run.end_of_input) client.codec->on_end_of_input();
    return client.text() + (client.codec->reusable() ? "reusable\n" : "");
  });
}

std::string refusal(std::string_view text, const ServerRun& run) {
  const std::string events = server_events(text, run);
  if (events.starts_with("DIFFERENCE")) return events;
  const size_t at = events.find("error ");
  if (at == std::string::npos) return "";
  if (events.find("closes") == std::string::npos) return "refused but kept open";
  return events.substr(at + 6, events.find('\n', at) - at - 6);
}

}  // namespace ringway::http::testing
