// kubeconfig files (clientcmd/v1): clusters, users and contexts by name.
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "controlplane/base/base64.h"
#include "controlplane/kube/config.h"
#include "controlplane/model/problem.h"
#include "controlplane/model/tree.h"

namespace ringway::kube {
namespace {

namespace fs = std::filesystem;
using model::Tree;

constexpr size_t kFileBytesMax = 4u << 20;

struct Entry {
  Tree tree;
  std::string file;  // Which file it is from: paths are relative to that.
};
using Entries = std::map<std::string, Entry, std::less<>>;

struct Merged {
  Entries clusters, users, contexts;
  std::string current;
};

std::string text_of(const Tree& tree, std::string_view key) {
  const Tree* value = tree.find(key);
  return value != nullptr && value->type != Tree::Type::kNull ? value->text : "";
}

bool is_true(const Tree& tree, std::string_view key) {
  const Tree* value = tree.find(key);
  return value != nullptr && value->type == Tree::Type::kBool && value->text == "true";
}

bool has(const Tree& tree, std::string_view key) {
  const Tree* value = tree.find(key);
  return value != nullptr && value->type != Tree::Type::kNull;
}

void merge_list(const Tree& root, std::string_view list, std::string_view item,
                const std::string& file, Entries& out) {
  const Tree* entries = root.find(list);
  if (entries == nullptr) return;
  for (const Tree& entry : entries->items) {
    const Tree* body = entry.find(item);
    const std::string name = text_of(entry, "name");
    if (body != nullptr && !name.empty()) out.try_emplace(name, Entry{*body, file});
  }
}

std::expected<void, std::string> merge_file(const std::string& file, bool must_exist,
                                            Merged& merged) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    if (!must_exist) return {};
    return std::unexpected(file + ": cannot be read");
  }
  std::ostringstream bytes;
  bytes << in.rdbuf();
  const std::string text = std::move(bytes).str();
  const auto root = model::parse_yaml(text, 1, {.bytes_max = kFileBytesMax});
  if (text.size() > kFileBytesMax) return std::unexpected(file + ": too large for a kubeconfig");
  if (!root) {
    return std::unexpected(file + ":" + std::to_string(root.error().line) + ": " +
                           root.error().message);
  }
  if (root->type == Tree::Type::kNull) return {};
  if (root->type != Tree::Type::kMapping) return std::unexpected(file + ": is not a kubeconfig");
  merge_list(*root, "clusters", "cluster", file, merged.clusters);
  merge_list(*root, "users", "user", file, merged.users);
  merge_list(*root, "contexts", "context", file, merged.contexts);
  if (merged.current.empty()) merged.current = text_of(*root, "current-context");
  return {};
}

std::string resolved(const std::string& path, const std::string& file) {
  if (path.empty() || path.front() == '/') return path;
  return (fs::path(file).parent_path() / path).lexically_normal().string();
}

// "x-data" (base64) wins over "x" (a path), as in client-go.
std::expected<Pem, std::string> pem(const Entry& entry, const std::string& key) {
  Pem out;
  if (const std::string data = text_of(entry.tree, key + "-data"); !data.empty()) {
    auto decoded = base64_decode(data);
    if (!decoded) return std::unexpected(entry.file + ": " + key + "-data is not base64");
    out.data = *std::move(decoded);
  } else {
    out.file = resolved(text_of(entry.tree, key), entry.file);
    std::error_code error;
    if (!out.file.empty() && !fs::exists(out.file, error)) {
      return std::unexpected(entry.file + ": " + key + ": there is no " + out.file);
    }
  }
  return out;
}

std::expected<void, std::string> take_cluster(const Entry& entry, Config& config) {
  config.server = text_of(entry.tree, "server");
  while (config.server.ends_with('/')) config.server.pop_back();
  if (!config.server.starts_with("https://") && !config.server.starts_with("http://")) {
    return std::unexpected(entry.file + ": server " + model::quote(config.server) +
                           " must begin with https://");
  }
  config.tls_server_name = text_of(entry.tree, "tls-server-name");
  config.proxy_url = text_of(entry.tree, "proxy-url");
  config.insecure = is_true(entry.tree, "insecure-skip-tls-verify");
  auto ca = pem(entry, "certificate-authority");
  if (!ca) return std::unexpected(std::move(ca).error());
  config.ca = *std::move(ca);
  return {};
}

std::expected<void, std::string> take_user(const Entry& entry, Config& config) {
  for (const char* key : {"exec", "auth-provider", "username", "as"}) {
    if (!has(entry.tree, key)) continue;
    return std::unexpected(entry.file + ": users: \"" + key +
                           "\" is not supported; use a client certificate, token or tokenFile");
  }
  auto certificate = pem(entry, "client-certificate");
  if (!certificate) return std::unexpected(std::move(certificate).error());
  auto key = pem(entry, "client-key");
  if (!key) return std::unexpected(std::move(key).error());
  if (certificate->empty() != key->empty()) {
    return std::unexpected(entry.file + ": client-certificate and client-key go together");
  }
  config.certificate = *std::move(certificate);
  config.key = *std::move(key);
  config.token = text_of(entry.tree, "token");
  config.token_file = resolved(text_of(entry.tree, "tokenFile"), entry.file);
  return {};
}

// A bearer token in clear text is for this machine only (`kubectl proxy` and tests).
bool leaks_token(const Config& config) {
  if (config.token.empty() && config.token_file.empty()) return false;
  if (config.server.starts_with("https://")) return false;
  const std::string_view host = std::string_view(config.server).substr(7);
  for (const std::string_view local : {"127.", "localhost", "[::1]"}) {
    if (host.starts_with(local)) return false;
  }
  return true;
}

}  // namespace

std::expected<Config, std::string> kubeconfig(const std::vector<std::string>& files,
                                              const std::string& context, bool must_exist) {
  Merged merged;
  std::string names;
  for (const std::string& file : files) {
    if (auto read = merge_file(file, must_exist, merged); !read) {
      return std::unexpected(std::move(read).error());
    }
    names += (names.empty() ? "" : ":") + file;
  }
  const std::string name = context.empty() ? merged.current : context;
  if (name.empty()) {
    return std::unexpected(names + ": has no current-context; name one with --context");
  }
  const auto found = merged.contexts.find(name);
  if (found == merged.contexts.end()) {
    return std::unexpected(names + ": has no context " + model::quote(name));
  }
  const Tree& chosen = found->second.tree;
  Config config;
  config.ns = text_of(chosen, "namespace");
  config.origin = names + " (context " + name + ")";
  const std::string cluster = text_of(chosen, "cluster");
  const auto cluster_at = merged.clusters.find(cluster);
  if (cluster_at == merged.clusters.end()) {
    return std::unexpected(names + ": has no cluster " + model::quote(cluster) + " for context " +
                           model::quote(name));
  }
  if (auto taken = take_cluster(cluster_at->second, config); !taken) {
    return std::unexpected(std::move(taken).error());
  }
  if (const std::string user = text_of(chosen, "user"); !user.empty()) {
    const auto user_at = merged.users.find(user);
    if (user_at == merged.users.end()) {
      return std::unexpected(names + ": has no user " + model::quote(user) + " for context " +
                             model::quote(name));
    }
    if (auto taken = take_user(user_at->second, config); !taken) {
      return std::unexpected(std::move(taken).error());
    }
  }
  if (leaks_token(config)) {
    return std::unexpected(names + ": server " + config.server +
                           " would get the token in clear text; use https://");
  }
  return config;
}

}  // namespace ringway::kube
