#include "controlplane/kube_flags.h"

#include <charconv>

#include "controlplane/model/manifest.h"

namespace ringway {
namespace {

using Taken = std::expected<void, std::string>;
Taken wrong(const char* want) { return std::unexpected(std::string("want ") + want); }

Taken take_namespaces(KubeOptions& kube, std::string_view value) {
  while (!value.empty()) {
    const size_t end = std::min(value.find(','), value.size());
    const std::string name(value.substr(0, end));
    if (!model::valid_name(name)) return wrong("a namespace, or several with commas between");
    kube.source.namespaces.push_back(name);
    value.remove_prefix(std::min(end + 1, value.size()));
  }
  return {};  // Empty, as in ingress-nginx: all.
}

Taken take_secrets(KubeOptions& kube, std::string_view value) {
  if (value != "referenced" && value != "all") return wrong("referenced or all");
  kube.source.all_secrets = value == "all";
  return {};
}

Taken take_seconds(std::chrono::milliseconds& target, std::string_view value) {
  uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  const bool whole = error == std::errc() && end == value.data() + value.size();
  if (!whole || seconds < 10 || seconds > 86'400) return wrong("seconds, 10 to 86400");
  target = std::chrono::seconds(seconds);
  return {};
}

// The first one stands in place of the default, further ones beside it.
Taken take_controller(KubeOptions& kube, translate::Options& translate, const std::string& value) {
  if (value.find('/') == std::string::npos) return wrong("DOMAIN/NAME");
  kube.controllers.push_back(value);
  translate.controller_names = kube.controllers;
  return {};
}

// ingress-nginx writes it without the slash.
Taken take_prefix(translate::Options& translate, std::string value) {
  if (value.empty()) return wrong("a value");
  if (!value.ends_with('/')) value += '/';
  translate.annotation_prefix = std::move(value);
  return {};
}

}  // namespace

std::optional<std::expected<void, std::string>> take_kube_flag(KubeOptions& kube,
                                                               translate::Options& translate,
                                                               std::string_view name,
                                                               const std::string& value) {
  if (name == "--controller-class" || name == "--controller-name")
    return take_controller(kube, translate, value);
  if (name == "--annotation-prefix" || name == "--annotations-prefix")
    return take_prefix(translate, value);
  if (name == "--watch-namespace") return take_namespaces(kube, value);
  if (name == "--secrets") return take_secrets(kube, value);
  if (name == "--compare-seconds") return take_seconds(kube.source.timings.compare_every, value);
  if (name == "--silence-seconds") return take_seconds(kube.source.timings.silence_max, value);
  if (name == "--watch-namespace-selector") {
    kube.source.namespace_selector = value;
    return Taken();
  }
  if (name == "--configmap") {
    if (!translate::valid_name_option(value)) return wrong("namespace/name");
    kube.source.configmaps.push_back(value);
    translate.config_map = value;
    return Taken();
  }
  std::string* const text = name == "--kubeconfig" ? &kube.api.kubeconfig
                            : name == "--context"  ? &kube.api.context
                                                   : nullptr;
  if (text == nullptr) return std::nullopt;
  if (value.empty()) return wrong("a value");
  *text = value;
  return Taken();
}

std::expected<void, std::string> check_kube_flags(const KubeOptions& kube) {
  if (!kube.source.namespaces.empty() && !kube.source.namespace_selector.empty()) {
    return std::unexpected(
        "--watch-namespace and --watch-namespace-selector: only one of the two can be given");
  }
  return {};
}

const char* const kKubeUsage = R"(
Cluster
  --kubeconfig FILE, --context NAME   Which API server. Without: KUBECONFIG, the pod's service account, ~/.kube/config.
  --watch-namespace NAME[,NAME]   Only these namespaces (all).
  --watch-namespace-selector SEL  Only namespaces with these labels, e.g. team=web,env!=test.
  --secrets referenced|all        Read Secrets by name as Ingresses name them (referenced), or list all.
  --configmap NS/NAME             The controller's own ConfigMap (docs/configmap.md); of DIR too.
  --compare-seconds N             List everything again this often and compare (300).
  --silence-seconds N             Give up a watch that sends nothing for so long (180).
)";

}  // namespace ringway
