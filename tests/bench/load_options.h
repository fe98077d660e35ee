// The command line of bench_load.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ringway::bench {

struct LoadOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;
  std::string authority = "bench.test";
  std::string path = "/";
  std::vector<std::string> headers;
  uint32_t hosts = 1;  // Above 1: requests take turns with "h<i>." before the authority, i < hosts.
  uint32_t fields = 0;   // That many more header fields, of about 40 bytes each.
  uint64_t upload = 0;   // POST with a body of so many bytes; 0: GET.
  uint32_t sources = 1;  // Client addresses 127.1.0.1 …, in turn: ports run out at 28,000
                         // connections of one; 1: the kernel's choice.
  bool tls = false;  // TLS 1.3 with the authority as server name; the certificate is not judged.
  bool tls_resume = false;  // Every connection after the first ones resumes the newest session.
  int connections = 64;
  double seconds = 5;
  double rate = 0;  // Requests per second of all connections together, on a fixed plan; 0: as fast
                    // as answers come.
  uint64_t requests = 0;    // Of all connections together; 0: until the time is over.
  int64_t body_bytes = -1;  // What each answer's body must have; -1: any.
  int status = 200;
  uint64_t per_connection = 0;  // Requests before the client closes and connects again; 0: never.
  double hold = 0;  // One request per connection, then idle so long; prints "idle" when all are.
};

// Ends the program with a usage message when the arguments are wrong.
LoadOptions parse_load_options(int argc, char** argv);

}  // namespace ringway::bench
