#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/random.h"
#include "controlplane/translate/testing.h"

namespace ringway::translate {
namespace {

namespace fs = std::filesystem;

// A fixed day: the certificates of testdata are valid for a hundred years.
constexpr int64_t kNow = 4'000'000'000;

std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The first line may be "# options: word word=value …".
Options options_of(const std::string& text) {
  Options options;
  options.http_addresses = {"0.0.0.0:8080"};
  options.https_addresses = {"0.0.0.0:8443"};
  options.redirect_https_port = 8443;
  options.classless = Classless::kServedWithoutClasses;
  constexpr std::string_view kPrefix = "# options: ";
  if (!text.starts_with(kPrefix)) return options;
  std::istringstream words(text.substr(kPrefix.size(), text.find('\n') - kPrefix.size()));
  for (std::string word; words >> word;) {
    const std::string value = word.substr(std::min(word.find('=') + 1, word.size()));
    if (word == "loopback")
      options.loopback_endpoints = true;
    else if (word == "external_names")
      options.external_names = true;
    else if (word == "ssl_passthrough")
      options.ssl_passthrough = true;
    else if (word == "use_proxy_protocol")
      options.use_proxy_protocol = true;
    else if (word.starts_with("config_map="))
      options.config_map = value;
    else if (word.starts_with("tcp_services="))
      options.tcp_services = value;
    else if (word.starts_with("udp_services="))
      options.udp_services = value;
    else if (word == "no_https")
      options.https_addresses.clear();
    else if (word.starts_with("default_backend="))
      options.default_backend = value;
    else if (word.starts_with("default_certificate="))
      options.default_certificate = value;
    else
      ADD_FAILURE() << "unknown option " << word;
  }
  return options;
}

std::vector<fs::path> golden_inputs() {
  std::vector<fs::path> inputs;
  for (const auto& entry : fs::directory_iterator(TESTDATA)) {
    if (entry.path().string().ends_with(".in.yaml")) inputs.push_back(entry.path());
  }
  std::ranges::sort(inputs);
  return inputs;
}

// Every testdata/NAME.in.yaml is a test. Run with UPDATE_GOLDEN=1 to rewrite NAME.out.textproto,
// and review the change as you would review code: the diff is the behaviour change.
class TranslateGoldenTest : public testing::TestWithParam<fs::path> {};

TEST_P(TranslateGoldenTest, MatchesGolden) {
  const std::string stem = GetParam().stem().stem().string();
  const fs::path golden = GetParam().parent_path() / (stem + ".out.textproto");
  const std::string input = read_file(GetParam());
  Translator translator(options_of(input));
  Held held;
  held.apply(translator.apply({.upserts = objects_of(input)}, kNow));
  const std::string got = held.dump();
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << got;
  EXPECT_EQ(got, read_file(golden)) << "see " << golden;
}

TEST_P(TranslateGoldenTest, DoesNotDependOnTheOrderOfObjects) {
  const std::string input = read_file(GetParam());
  std::vector<model::ObjectPtr> objects = objects_of(input);
  Translator translator(options_of(input));
  Held expected;
  expected.apply(translator.apply({.upserts = objects}, kNow));
  for (uint64_t seed = 0; seed < 5; ++seed) {
    Random random(seed);
    for (size_t i = objects.size(); i > 1; --i) {
      std::swap(objects[i - 1], objects[random.below(static_cast<uint32_t>(i))]);
    }
    Translator shuffled(options_of(input));
    Held one_by_one;
    for (const model::ObjectPtr& object : objects) {
      one_by_one.apply(shuffled.apply({.upserts = {object}}, kNow));
    }
    ASSERT_EQ(one_by_one.exact(), expected.exact()) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Testdata, TranslateGoldenTest, testing::ValuesIn(golden_inputs()),
                         [](const auto& test) { return test.param.stem().stem().string(); });

}  // namespace
}  // namespace ringway::translate
