// Options → Listener resources.
#pragma once

#include <string>
#include <vector>

#include "controlplane/translate/config_map.h"
#include "controlplane/translate/options.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

// "http" and "https", each unless it has no address. `default_cluster`: of Options.default_backend,
// "" when there is none or it cannot be used.
std::vector<v1::Resource> translate_listeners(const Options& options, const GlobalSettings& global,
                                              const std::string& default_cluster);

// A PROXY header is required on it.
void set_proxy_protocol(const Options& options, v1::Listener& listener);

}  // namespace ringway::translate
