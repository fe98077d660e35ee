// Last words: a fatal signal prints what, where and the call stack to stderr, then takes its usual
// course (core dump, exit by signal).
#pragma once

#include <string_view>

namespace ringway::process {

// Installs handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT and SIGSYS on an alternate stack.
// Call once per process, in the data process, and install_crash_stack() in each further thread.
// Function names need a program linked with exported symbols (ENABLE_EXPORTS); without, addresses
// for addr2line. `name`: of the program, a constant.
void install_crash_handlers(std::string_view name);
// Gives the calling thread an alternate stack, so that a stack overflow is told too. The stack
// lives until the thread ends.
void install_crash_stack();

}  // namespace ringway::process
