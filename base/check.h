// CHECK: a broken invariant ends the process with the expression and its place. Always compiled in:
// a proxy that goes on after memory went wrong harms every connection, a crash only those in flight.
// DCHECK: the same unless NDEBUG is defined, which no preset does: for places measured hot.
#pragma once

namespace ringway {

// Prints "file:line: CHECK failed: expression" to stderr and aborts. Any thread; takes no lock, allocates nothing.
[[noreturn, gnu::cold]] void check_failed(const char* file, int line, const char* expression);

}  // namespace ringway

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) [[unlikely]] ::ringway::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

#ifdef NDEBUG
#define DCHECK(condition)                     \
  do {                                        \
    if (false) { (void)(condition); }         \
  } while (false)
#else
#define DCHECK(condition) CHECK(condition)
#endif
