#include "cli/flags.h"

#include <algorithm>
#include <charconv>

namespace ringway::cli {

std::expected<Parsed, std::string> parse(const Command& command,
                                         const std::vector<std::string>& arguments) {
  Parsed parsed;
  bool flags_ended = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& text = arguments[i];
    if (!flags_ended && (text == "--help" || text == "-h")) {
      parsed.help = true;
      return parsed;
    }
    if (!flags_ended && text == "--") {
      flags_ended = true;
      continue;
    }
    if (flags_ended || !text.starts_with('-') || text == "-") {
      if (command.argument.empty() || !parsed.argument.empty()) {
        return std::unexpected("unexpected argument \"" + text + "\"");
      }
      parsed.argument = text;
      continue;
    }
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const auto flag = std::ranges::find(command.flags, name, &Flag::name);
    if (flag == command.flags.end()) return std::unexpected("unknown flag " + name);
    std::string value;
    if (equals != std::string::npos) {
      if (flag->value.empty()) return std::unexpected(name + " takes no value");
      value = text.substr(equals + 1);
    } else if (!flag->value.empty()) {
      if (i + 1 == arguments.size())
        return std::unexpected(name + " needs a value: " + flag->value);
      value = arguments[++i];
    }
    if (const auto wrong = flag->take(value)) {
      return std::unexpected(name + ": " + *wrong + ", not \"" + value + "\"");
    }
  }
  if (!command.argument.empty() && parsed.argument.empty()) {
    return std::unexpected(command.argument + " is missing");
  }
  return parsed;
}

std::string help_text(const Command& command) {
  size_t width = std::string_view("--help").size();
  const auto shown = [](const Flag& flag) {
    return flag.value.empty() ? flag.name : flag.name + " " + flag.value;
  };
  for (const Flag& flag : command.flags) width = std::max(width, shown(flag).size());
  std::string text = "Usage: " + command.synopsis + "\n\n" + command.description + "\nFlags:\n";
  const auto line = [&](const std::string& left, const std::string& right) {
    text += "  " + left + std::string(width - left.size() + 2, ' ');
    for (const char c : right) {
      text += c;
      if (c == '\n') text += std::string(width + 4, ' ');
    }
    text += '\n';
  };
  for (const Flag& flag : command.flags) line(shown(flag), flag.help);
  line("--help", "this text");
  if (!command.epilogue.empty()) text += "\n" + command.epilogue;
  return text;
}

std::optional<std::string> take_text(std::string_view value, std::string& to) {
  if (value.empty()) return "must not be empty";
  to = value;
  return std::nullopt;
}

std::optional<std::string> take_word(std::string_view value, std::string& to,
                                     const std::vector<std::string_view>& words) {
  if (std::ranges::find(words, value) == words.end()) {
    std::string list;
    for (const std::string_view word : words)
      list += (list.empty() ? "" : ", ") + std::string(word);
    return "must be one of " + list;
  }
  to = value;
  return std::nullopt;
}

std::optional<std::string> take_number(std::string_view value, std::string& to, uint32_t min,
                                       uint32_t max) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < min || number > max) {
    return "must be a number from " + std::to_string(min) + " to " + std::to_string(max);
  }
  to = value;
  return std::nullopt;
}

}  // namespace ringway::cli
