#include "base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace ringway {

void check_failed(const char* file, int line, const char* expression) {
  char text[512];
  const int size = std::snprintf(text, sizeof text, "%s:%d: CHECK failed: %s\n", file, line, expression);
  if (size > 0) {
    const auto ignored = ::write(STDERR_FILENO, text, size < int{sizeof text} ? size : sizeof text - 1);
    static_cast<void>(ignored);
  }
  std::abort();
}

}  // namespace ringway
