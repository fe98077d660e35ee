// The command line of ringway-controller.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "base/log.h"
#include "controlplane/cluster_flags.h"
#include "controlplane/kube_flags.h"
#include "controlplane/serve/nginx_metrics.h"
#include "controlplane/serve/server.h"
#include "controlplane/snapshot/removal_guard.h"
#include "controlplane/translate/options.h"

namespace ringway {

struct ControllerOptions {
  bool help = false;
  bool version = false;
  std::string directory;      // --source dir:DIR
  bool kubernetes = false;    // --source kubernetes
  KubeOptions kube;           // Its API server is that of `cluster` too.
  ClusterOptions cluster;
  std::string admin = "off";  // "off" or "host:port"
  serve::ServerOptions server;
  translate::Options translate;
  snapshot::RemovalGuardOptions guard;
  serve::NginxMetricsOptions nginx_metrics;
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
};

// The error is one line that names the flag; the caller prints it and exits with 2.
std::expected<ControllerOptions, std::string> parse_controller_flags(int argc, char** argv);
std::string controller_usage();

}  // namespace ringway
