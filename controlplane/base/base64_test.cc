#include "controlplane/base/base64.h"

#include <gtest/gtest.h>

namespace ringway {
namespace {

TEST(Base64, DecodesTheVectorsOfRfc4648) {
  const std::pair<const char*, const char*> kVectors[] = {{"", ""},
                                                          {"Zg==", "f"},
                                                          {"Zm8=", "fo"},
                                                          {"Zm9v", "foo"},
                                                          {"Zm9vYg==", "foob"},
                                                          {"Zm9vYmE=", "fooba"},
                                                          {"Zm9vYmFy", "foobar"}};
  for (const auto& [text, bytes] : kVectors) {
    EXPECT_EQ(base64_decode(text), bytes) << text;
    EXPECT_EQ(base64_encode(bytes), text);
  }
}

TEST(Base64, SkipsLineBreaks) { EXPECT_EQ(base64_decode("Zm9v\n YmFy\r\n"), "foobar"); }

TEST(Base64, RefusesWhatIsNotBase64) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "====", "Zm9v=", "Zg==Zg==",
                           "Zm-v", "Zm_v", "Zm9v!"}) {
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace ringway
