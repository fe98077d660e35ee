#include "dataplane/io/ring.h"

#include "dataplane/io/epoll_ring.h"
#include "dataplane/io/uring_ring.h"

namespace ringway::io {

std::string_view backend_name(Backend backend) {
  switch (backend) {
    case Backend::kUring:
      return "io_uring";
    case Backend::kEpoll:
      return "epoll";
    case Backend::kSim:
      return "sim";
  }
  check_failed(__FILE__, __LINE__, "a backend");
}

std::expected<RingChoice, std::string> choose_backend(BackendChoice choice) {
  if (choice == BackendChoice::kEpoll) return RingChoice{Backend::kEpoll, ""};
  std::expected<void, UringFault> probe = probe_uring();
  if (probe) return RingChoice{Backend::kUring, ""};
  const bool absent = uring_is_absent(probe.error().error);
  if (choice == BackendChoice::kUring || !absent) {
    return std::unexpected("io_uring cannot be used: " + probe.error().text());
  }
  return RingChoice{Backend::kEpoll, probe.error().text()};
}

std::unique_ptr<Ring> make_ring(Backend backend, const RingOptions& options) {
  switch (backend) {
    case Backend::kUring:
      return std::make_unique<UringRing>(options);
    case Backend::kEpoll:
      return std::make_unique<EpollRing>(options);
    case Backend::kSim:
      break;
  }
  check_failed(__FILE__, __LINE__, "a backend of the kernel");
}

}  // namespace ringway::io
