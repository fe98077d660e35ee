#include "controlplane/kube/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ringway::kube {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  // Kubernetes gives a pod the API server's address, and kubectl its files, in no other way.
  const char* value = std::getenv(name);  // tidy: allow(getenv)
  return value == nullptr ? "" : value;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ':');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!in || !std::getline(in, line)) return std::nullopt;
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

std::expected<Config, std::string> in_cluster_config(const std::string& directory,
                                                     const std::string& host,
                                                     const std::string& port) {
  if (host.empty() || port.empty()) {
    return std::unexpected(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: outside a pod, name a "
        "file with --kubeconfig");
  }
  Config config;
  const bool v6 = host.find(':') != std::string::npos && host.front() != '[';
  config.server = "https://" + (v6 ? "[" + host + "]" : host) + ":" + port;
  config.token_file = directory + "/token";
  config.origin = "the service account";
  if (!exists(config.token_file)) {
    return std::unexpected("there is no token at " + config.token_file +
                           ": the pod needs a service account with automountServiceAccountToken");
  }
  config.ca.file = directory + "/ca.crt";
  if (!exists(config.ca.file)) return std::unexpected("there is no CA at " + config.ca.file);
  config.ns = first_line(directory + "/namespace").value_or("");
  return config;
}

std::expected<Config, std::string> load_config(const ConfigFlags& flags) {
  if (!flags.kubeconfig.empty()) return kubeconfig({flags.kubeconfig}, flags.context, true);
  if (const auto files = split_list(environment("KUBECONFIG")); !files.empty()) {
    return kubeconfig(files, flags.context, false);
  }
  const std::string host = environment("KUBERNETES_SERVICE_HOST");
  const std::string directory(kServiceAccountDirectory);
  if (flags.context.empty() && !host.empty() && exists(directory + "/token")) {
    return in_cluster_config(directory, host, environment("KUBERNETES_SERVICE_PORT"));
  }
  const std::string home = environment("HOME") + "/.kube/config";
  if (exists(home)) return kubeconfig({home}, flags.context, true);
  return std::unexpected(
      "no API server is known: not in a pod with a service account, KUBECONFIG is not set, and "
      "there is no " +
      home + "; name a file with --kubeconfig");
}

}  // namespace ringway::kube
