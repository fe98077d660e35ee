// Flags of the subcommands: one table each, from which both the parser and --help are made.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringway::cli {

struct Flag {
  std::string name;   // "--http"
  std::string value;  // What the value is called in --help: "PORT"; "" for a switch.
  std::string help;   // Lines are wrapped at '\n' by the author.
  // Takes the value ("" for a switch); returns what is wrong with it.
  std::function<std::optional<std::string>(std::string_view value)> take;
};

struct Command {
  std::string synopsis;     // "ringway run DIR [flags]"
  std::string description;  // Shown above the flags by --help.
  std::string argument;     // Name of the one positional argument; "" = none is taken.
  std::vector<Flag> flags;
  std::string epilogue;  // Shown below the flags.
};

struct Parsed {
  bool help = false;
  std::string argument;
};

// `arguments`: what follows the subcommand. "--name value" and "--name=value" both work; "--" ends
// flags. The error is one line that names the flag.
std::expected<Parsed, std::string> parse(const Command& command,
                                         const std::vector<std::string>& arguments);

std::string help_text(const Command& command);

// For Flag::take.
std::optional<std::string> take_text(std::string_view value, std::string& to);  // Not empty.
std::optional<std::string> take_word(std::string_view value, std::string& to,
                                     const std::vector<std::string_view>& words);
std::optional<std::string> take_number(std::string_view value, std::string& to, uint32_t min,
                                       uint32_t max);

}  // namespace ringway::cli
