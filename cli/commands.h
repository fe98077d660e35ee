// The subcommands. Each takes what follows its name and returns the exit code:
// 0 good, 1 a problem was found or something failed, 2 wrong usage (one line on stderr).
#pragma once

#include <string>
#include <vector>

namespace ringway::cli {

inline constexpr int kExitGood = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

int run_command(const std::vector<std::string>& arguments);
int check_command(const std::vector<std::string>& arguments);
int config_command(const std::vector<std::string>& arguments);
int probe_command(const std::vector<std::string>& arguments);
int pause_command(const std::vector<std::string>& arguments);
int install_file_command(const std::vector<std::string>& arguments);

// Prints "ringway NAME: MESSAGE (see ringway NAME --help)" and returns kExitUsage.
int usage_error(const std::string& name, const std::string& message);

}  // namespace ringway::cli
