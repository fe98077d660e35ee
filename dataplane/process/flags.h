// The command line of ringway-proxy.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "base/log.h"
#include "dataplane/io/ring.h"
#include "dataplane/observe/access_log.h"

namespace ringway::process {

struct ProxyOptions {
  bool help = false;     // Print usage() and exit 0.
  bool version = false;  // Print version_line() and exit 0.

  std::string controller;  // "unix:/path" or "host:port"; "" : none, serve what --state-dir holds.
  std::string controller_ca, controller_certificate,
      controller_key;           // PEM files; mutual TLS when given.
  std::string controller_name;  // Name its certificate must have; "": the host of `controller`.
  std::string node_id;          // Default: host name.
  std::string config_class;
  std::string state_dir;  // "": nothing kept on disk.

  std::string admin = "127.0.0.1:10254";  // "off": none.
  uint32_t workers = 0;                   // 0: auto.
  bool pin_workers = false;
  io::BackendChoice io = io::BackendChoice::kAuto;
  bool supervisor = true;
  bool transparent_source = false;  // Relays connect from their clients' addresses.
  uint32_t drain_timeout_seconds = 30;
  bool core_dumps = false;

  std::string access_log = "off";  // "off", "stdout" or a path.
  bool nginx_metrics = true;       // ingress-nginx's metric names beside ours.
  bool metrics_per_host = true;
  uint32_t grpc_method_metrics = 0;  // Pairs of service and method that have series; 0: none.
  std::string metrics_namespace;                      // controller_namespace of those; "": none.
  std::string metrics_class = "ringway.dev/ingress";  // controller_class
  std::string metrics_pod;                            // controller_pod; default: node_id.
  observe::AccessLogFormat access_log_format =
      observe::AccessLogFormat::kJson;  // Used when access_log is not "off".
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;

  uint32_t buffers_small = 16384;     // At most, per worker, 4 KiB each.
  uint32_t buffers_bulk = 1024;       // At most, per worker, 64 KiB each.
  uint32_t connections_max = 50'000;  // Of the process.
};

// Error: one line that names the option and what is wrong with it; the caller prints it to stderr
// and exits with 2.
std::expected<ProxyOptions, std::string> parse_flags(int argc, char** argv);
std::string usage();
std::string version_line();  // "ringway-proxy 0.1.0"

}  // namespace ringway::process
