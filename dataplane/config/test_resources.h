// Resources for tests, as a controller sends them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dataplane/tls/test_keys.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::config::testing_resources {

// Plain text, or HTTPS with the default options.
v1::Resource listener(const std::string& name, const std::string& address, bool https = false);
// Of the set "ingress": (prefix path, cluster name) pairs.
v1::Resource table(const std::string& host,
                   const std::vector<std::pair<std::string, std::string>>& routes);
v1::Resource cluster(const std::string& name);
// Ready ones, port 8080.
v1::Resource endpoints(const std::string& cluster, const std::vector<std::string>& addresses);
v1::Resource certificate(const std::string& name, const std::vector<std::string>& hosts,
                         tls::test::KeyKind kind = tls::test::KeyKind::kP256);

}  // namespace ringway::config::testing_resources
