// What ingress-nginx says of its nginx processes and of their configuration, said of this process:
// so that dashboards and alerts made for it go on. The table: docs/operations.md.
//
// Thread rule: none; values in, text out.
#pragma once

#include <string>

#include "dataplane/observe/metrics.h"

namespace ringway::observe {

// "Reload" is a transaction of the controller that was applied. Appends whole families.
void write_nginx_process(std::string& out, const MetricsInput& input,
                         const NginxIdentity& identity);

}  // namespace ringway::observe
