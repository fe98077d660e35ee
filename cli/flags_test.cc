#include "cli/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ringway::cli {
namespace {

using testing::HasSubstr;

class FlagsTest : public testing::Test {
 protected:
  std::string error(const std::vector<std::string>& arguments) {
    const auto parsed = parse(command_, arguments);
    return parsed ? "" : parsed.error();
  }

  std::string port_;
  bool on_ = false;
  Command command_ = {
      .synopsis = "x DIR",
      .description = "Does x.\n",
      .argument = "DIR",
      .flags = {{"--port", "PORT", "a port;\ntwo lines",
                 [this](auto value) { return take_number(value, port_, 1, 65535); }},
                {"--on", "", "a switch",
                 [this](auto) -> std::optional<std::string> {
                   on_ = true;
                   return std::nullopt;
                 }}},
      .epilogue = ""};
};

TEST_F(FlagsTest, TakesValuesInBothForms) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--port", "80", "dir", "--on"},
        {"dir", "--port=80", "--on"},
        {"--on", "--port=80", "--", "dir"}}) {
    port_.clear();
    on_ = false;
    const auto parsed = parse(command_, arguments);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_EQ(parsed->argument, "dir");
    EXPECT_EQ(port_, "80");
    EXPECT_TRUE(on_);
  }
}

TEST_F(FlagsTest, SaysInOneLineWhatIsWrong) {
  EXPECT_EQ(error({}), "DIR is missing");
  EXPECT_EQ(error({"a", "b"}), "unexpected argument \"b\"");
  EXPECT_EQ(error({"a", "--prot", "1"}), "unknown flag --prot");
  EXPECT_EQ(error({"a", "--port"}), "--port needs a value: PORT");
  EXPECT_EQ(error({"a", "--on=x"}), "--on takes no value");
  for (const char* value : {"0", "65536", "", "80x", "-1", "99999999999"}) {
    EXPECT_EQ(error({"a", "--port=" + std::string(value)}),
              "--port: must be a number from 1 to 65535, not \"" + std::string(value) + "\"");
  }
}

TEST_F(FlagsTest, HelpListsEveryFlag) {
  EXPECT_TRUE(parse(command_, {"--port", "80", "--help"})->help);
  const std::string text = help_text(command_);
  EXPECT_THAT(text, HasSubstr("Usage: x DIR\n\nDoes x.\n\nFlags:\n"));
  EXPECT_THAT(text, HasSubstr("  --port PORT  a port;\n               two lines\n"));
  EXPECT_THAT(text, HasSubstr("  --on         a switch\n"));
}

}  // namespace
}  // namespace ringway::cli
