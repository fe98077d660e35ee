#include "controlplane/model/problem.h"

#include <gtest/gtest.h>

namespace ringway::model {
namespace {

TEST(Problem, IsFormattedAsCompilersDo) {
  Problem problem{.object = {Kind::kIngress, "shop", "front"},
                  .location = {"a.yaml", 12, 2},
                  .field = "spec.rules[0].host",
                  .reason = Reason::kInvalidValue,
                  .severity = Severity::kWarning,
                  .message = "bad"};
  EXPECT_EQ(format(problem), "a.yaml:12: warning: Ingress shop/front: spec.rules[0].host: bad");
  problem.location = {};
  problem.field.clear();
  EXPECT_EQ(format(problem), "warning: Ingress shop/front: bad");
  problem.object.name.clear();
  problem.severity = Severity::kError;
  EXPECT_EQ(format(problem), "error: bad");
  problem.field = "metadata.annotations[a\x1b[31m\n]";
  EXPECT_EQ(format(problem), "error: metadata.annotations[a\\x1b[31m\\x0a]: bad");
}

TEST(Problem, QuotesValuesSoThatNoneReachesATerminalRaw) {
  EXPECT_EQ(quote("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(quote("x\r\n\x1b[31m"), R"("x\x0d\x0a\x1b[31m")");
  EXPECT_EQ(quote(std::string_view("\0", 1)), R"("\x00")");
  EXPECT_EQ(quote(std::string(100, 'a')), "\"" + std::string(80, 'a') + "\"…");
}

}  // namespace
}  // namespace ringway::model
