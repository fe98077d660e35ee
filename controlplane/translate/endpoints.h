// EndpointSlices → the endpoints of one Service port.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"
#include "controlplane/translate/options.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::translate {

inline constexpr char kServiceNameLabel[] = "kubernetes.io/service-name";

// All slices of the Service merged, ordered by address and port, each such pair once (the readiest
// of its entries counts). A slice's port belongs to the Service port of the same name; a Service
// port without a name takes every TCP port, as ingress-nginx does.
v1::Endpoints collect_endpoints(const model::Object& service, const kubernetes::ServicePort& port,
                                const std::vector<const model::Object*>& slices,
                                const Options& options, std::vector<model::Problem>& problems);

// A Service of type ExternalName: one endpoint, when the name is an IP address. Names are not
// resolved.
v1::Endpoints external_endpoint(const model::Object& service, const kubernetes::ServicePort& port,
                                const Options& options, std::vector<model::Problem>& problems);

// The address in its shortest form. Refused: what is not an address, unspecified, multicast and
// link-local ones (169.254.0.0/16 holds the metadata services of clouds, fe80::/10), and loopback
// (127.0.0.0/8, ::1) unless options allow it; also when mapped into IPv6.
std::expected<std::string, std::string> check_address(const std::string& text,
                                                      const Options& options);

}  // namespace ringway::translate
