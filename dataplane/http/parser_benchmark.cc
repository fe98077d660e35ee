// What a request costs from bytes to a finished head, and from a head to bytes. Not a test: run it
// on a quiet machine, in a release build.
#include <benchmark/benchmark.h>

#include "dataplane/http/forwarding.h"
#include "dataplane/http/head_writer.h"
#include "dataplane/http/hop_by_hop.h"
#include "dataplane/http/request_parser.h"

namespace ringway::http {
namespace {

constexpr std::string_view kSmall =
    "GET /index.html HTTP/1.1\r\nHost: www.example.com:8080\r\n\r\n";
static_assert(kSmall.size() == 56);

// The usual request of such comparisons: what a browser sends, 703 bytes.
constexpr std::string_view kBrowser =
    "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n"
    "Host: www.kittyhell.com\r\n"
    "User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) "
    "Gecko/20100401 Firefox/3.6.3 "
    "Pathtraq/0.9\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n"
    "Accept-Encoding: gzip,deflate\r\n"
    "Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\n"
    "Keep-Alive: 115\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; "
    "__utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; "
    "__utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/"
    "|utmcmd=referral\r\n\r\n";

void parse(benchmark::State& state, std::string_view text, ScanKind scan) {
  io::BufferPool pool({.buffer_bytes = 4096, .buffers = 4, .buffers_max = 4});
  const Limits limits;
  RequestHead head;
  for (auto _ : state) {
    HeadProgress progress;
    head.reset();
    const ParseResult parsed = parse_request_head(text, limits, progress, head, scan);
    CHECK(parsed.status == ParseStatus::kComplete && parsed.bytes == text.size());
    CHECK(complete_request_head(head, pool) == Error::kNone);
    benchmark::DoNotOptimize(head);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}
BENCHMARK_CAPTURE(parse, browser_vector, kBrowser, ScanKind::kVector);
BENCHMARK_CAPTURE(parse, browser_portable, kBrowser, ScanKind::kPortable);
BENCHMARK_CAPTURE(parse, small_vector, kSmall, ScanKind::kVector);
BENCHMARK_CAPTURE(parse, small_portable, kSmall, ScanKind::kPortable);

// The way of a head through the proxy: parse, take out, set, write.
void forward(benchmark::State& state, std::string_view text) {
  io::BufferPool pool({.buffer_bytes = 4096, .buffers = 4, .buffers_max = 4});
  const Limits limits;
  RequestHead head;
  io::SliceQueue output;
  for (auto _ : state) {
    HeadProgress progress;
    head.reset();
    parse_request_head(text, limits, progress, head);
    CHECK(complete_request_head(head, pool) == Error::kNone);
    remove_hop_by_hop(head);
    const Forwarding forwarding{.peer = "10.0.0.7",
                                .scheme = "http",
                                .host = head.authority,
                                .port = "80",
                                .request_id = "0123456789abcdef0123456789abcdef"};
    CHECK(set_forwarding_fields(head, forwarding, pool));
    write_request_head(output, pool, head, {});
    benchmark::DoNotOptimize(output.size());
    output.clear();
  }
}
BENCHMARK_CAPTURE(forward, browser, kBrowser);
BENCHMARK_CAPTURE(forward, small, kSmall);

}  // namespace
}  // namespace ringway::http

BENCHMARK_MAIN();
