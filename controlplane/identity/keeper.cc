#include "controlplane/identity/keeper.h"

#include <utility>

#include "base/log.h"
#include "controlplane/identity/names.h"

namespace ringway::identity {
namespace {

constexpr int kTries = 5;  // Of read, decide, write; each lost race means that another replica won.

Subject own_subject(const KeeperOptions& options) {
  Subject subject{.common_name = kControllerName, .server = true};
  subject.names = {kControllerName};
  subject.names.insert(subject.names.end(), options.names.begin(), options.names.end());
  subject.uris = {kControllerUri};
  return subject;
}

Subject proxy_subject() {
  return {.common_name = "ringway-proxy", .uris = {kProxyUri}, .client = true};
}

std::unexpected<std::string> raced(const std::string& name) {
  return std::unexpected("Secret " + name + " changes all the time");
}

}  // namespace

Keeper::Keeper(SecretStore& store, KeeperOptions options)
    : store_(store),
      options_(std::move(options)),
      proxy_(proxy_subject()),
      serving_{
          own_subject(options_), {}, MemoryFile("controller.crt"), MemoryFile("controller.key")},
      webhook_{
          {.common_name = "ringway-admission", .names = options_.webhook_names, .server = true},
          {},
          MemoryFile("webhook.crt"),
          MemoryFile("webhook.key")} {}

std::expected<void, std::string> Keeper::step(int64_t now_s) {
  auto done = read_or_advance_authority(now_s);
  // Without the API server the controller's own certificate is still renewed, by what is known.
  if (!authority_) return done;
  if (auto own = renew_own(now_s); !own) return own;
  if (!done || !options_.proxies) return done;
  return renew_proxies(now_s);
}

std::expected<void, std::string> Keeper::read_or_advance_authority(int64_t now_s) {
  const std::string name = options_.prefix + "-ca";
  for (int i = 0; i < kTries; ++i) {
    const auto stored = store_.get(name);
    if (!stored) return std::unexpected(stored.error());
    std::optional<Authority> held;
    // An empty Secret is one that somebody made so that controllers need no right to create.
    if (*stored && !(*stored)->data.empty()) {
      auto read = read_authority((*stored)->data);
      if (!read) {
        // Made anew it would cut off every proxy; whoever broke it can repair or delete it.
        return std::unexpected("Secret " + name + ": " + read.error() +
                               "; delete it to have it made anew");
      }
      held = *std::move(read);
    }
    const auto wanted = advance(held, options_.lifetimes, now_s);
    if (!wanted) {
      authority_ = std::move(held);
      return {};
    }
    const auto put =
        store_.put(name, "Opaque", write_authority(*wanted), *stored ? (*stored)->version : "");
    if (!put) return std::unexpected(put.error());
    if (!*put) continue;
    ++writes_;
    log_info("discovery certificates: Secret {}: {}", name,
             !held                              ? "a new authority"
             : wanted->next                     ? "the next authority is trusted from now on"
             : wanted->current == held->current ? "expired authorities left"
                                                : "the next authority signs from now on");
    authority_ = *wanted;
    return {};
  }
  return raced(name);
}

std::expected<void, std::string> Keeper::renew(Own& own, int64_t now_s) {
  if (own.pair.key.empty()) {
    own.pair.key = make_key();
    own.key_file.replace(own.pair.key);
  }
  if (!leaf_is_due(own.pair, *authority_, own.subject, now_s)) return {};
  auto leaf = issue(*authority_, own.pair.key, own.subject, options_.lifetimes, now_s);
  if (!leaf)
    return std::unexpected("certificate of " + own.subject.common_name + ": " + leaf.error());
  own.pair.certificate = *std::move(leaf);
  own.certificate_file.replace(own.pair.certificate);
  log_info("discovery certificates: {} has a new one", own.subject.common_name);
  return {};
}

std::expected<void, std::string> Keeper::renew_own(int64_t now_s) {
  if (auto done = renew(serving_, now_s); !done) return done;
  if (!options_.webhook_names.empty()) {
    if (auto done = renew(webhook_, now_s); !done) return done;
  }
  if (std::string bundle = authority_->bundle(); bundle != bundle_) {
    bundle_ = std::move(bundle);
    ca_file_.replace(bundle_);
  }
  return {};
}

std::expected<void, std::string> Keeper::renew_proxies(int64_t now_s) {
  const std::string name = options_.prefix + "-proxy-tls";
  for (int i = 0; i < kTries; ++i) {
    const auto stored = store_.get(name);
    if (!stored) return std::unexpected(stored.error());
    SecretData data = *stored ? (*stored)->data : SecretData();
    KeyPair leaf{data["tls.crt"], data["tls.key"]};
    const bool due = leaf_is_due(leaf, *authority_, proxy_, now_s);
    if (!due && data["ca.crt"] == authority_->bundle()) return {};
    if (due) {
      leaf.key = make_key();
      auto made = issue(*authority_, leaf.key, proxy_, options_.lifetimes, now_s);
      if (!made) return std::unexpected("the proxies' certificate: " + made.error());
      leaf.certificate = *std::move(made);
    }
    const auto put = store_.put(
        name, "kubernetes.io/tls",
        {{"tls.crt", leaf.certificate}, {"tls.key", leaf.key}, {"ca.crt", authority_->bundle()}},
        *stored ? (*stored)->version : "");
    if (!put) return std::unexpected(put.error());
    if (!*put) continue;
    ++writes_;
    log_info("discovery certificates: Secret {}: {}", name,
             due ? "a new certificate for the proxies" : "the trusted authorities changed");
    return {};
  }
  return raced(name);
}

}  // namespace ringway::identity
