// Where the API server is and who we are: the service account of a pod, or a kubeconfig file. A
// value; reading it is the only thing that touches files or the environment. One thread.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::kube {

// PEM text, or the path of a file that has it. A file is read again for each new connection, so
// that what rotates is picked up. At most one of the two is set.
struct Pem {
  std::string file;
  std::string data;
  bool empty() const { return file.empty() && data.empty(); }
};

struct Config {
  std::string server;           // "https://10.96.0.1:443"; a path may follow, no slash at the end.
  std::string tls_server_name;  // Name in the server's certificate; "" = the host of `server`.
  std::string proxy_url;        // "" = what the environment says (HTTPS_PROXY, NO_PROXY).
  Pem ca;                       // Empty: the certificates of the system.
  bool insecure = false;   // The server's certificate is not checked. Only when a file says so.
  Pem certificate, key;    // Of the client; both or neither.
  std::string token;       // Bearer token; "" = none, or token_file.
  std::string token_file;  // Wins over `token`, as in client-go.
  std::string ns;          // Of the pod or of the context; "" = unknown.
  std::string origin;  // For messages: "the service account", "/root/.kube/config (context kind)".
};

// Where Kubernetes mounts the token, the CA and the namespace of a pod's service account.
inline constexpr std::string_view kServiceAccountDirectory =
    "/var/run/secrets/kubernetes.io/serviceaccount";

// A pod's own: `host` and `port` are KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
std::expected<Config, std::string> in_cluster_config(const std::string& directory,
                                                     const std::string& host,
                                                     const std::string& port);

// Kubeconfig files merged as kubectl does: of two entries with one name the first counts, and the
// first current-context. Files that do not exist are passed over unless `must_exist`. `context` ""
// = the current one. Relative paths in a file are relative to its directory.
//
// Not supported, and said so: exec and auth-provider plugins, user name with password,
// impersonation.
std::expected<Config, std::string> kubeconfig(const std::vector<std::string>& files,
                                              const std::string& context, bool must_exist);

struct ConfigFlags {
  std::string kubeconfig;  // --kubeconfig
  std::string context;     // --context
};

// In this order: the file of the flag; KUBECONFIG (a list, separated by ':'); the service account
// when there is one; $HOME/.kube/config. With `context` set the service account is passed over.
std::expected<Config, std::string> load_config(const ConfigFlags& flags);

}  // namespace ringway::kube
