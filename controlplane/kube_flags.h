// Flags of ringway-controller that are about a cluster. Names as ingress-nginx has them where they
// mean the same.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/kube/config.h"
#include "controlplane/kube/kubernetes_source.h"
#include "controlplane/translate/options.h"

namespace ringway {

struct KubeOptions {
  kube::ConfigFlags api;
  kube::SourceOptions source;
  std::vector<std::string> controllers;  // As often as --controller-class was given.
};

// Takes a flag with a value. nullopt: it is none of these. The error says what is wanted.
std::optional<std::expected<void, std::string>> take_kube_flag(KubeOptions& kube,
                                                               translate::Options& translate,
                                                               std::string_view name,
                                                               const std::string& value);

// What can only be said when all flags are read.
std::expected<void, std::string> check_kube_flags(const KubeOptions& kube);

extern const char* const kKubeUsage;

}  // namespace ringway
