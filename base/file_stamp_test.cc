#include "base/file_stamp.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace ringway {
namespace {

class FileStampTest : public ::testing::Test {
 protected:
  FileStampTest() : folder_("/tmp/ringway-stamp-" + std::to_string(::getpid())) {
    std::filesystem::create_directory(folder_);
  }
  ~FileStampTest() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }
  const std::string folder_;
};

TEST_F(FileStampTest, FollowsLinksAndSeesThemSwapped) {
  const std::string a = write("a", "same"), b = write("b", "same"), link = folder_ + "/link";
  std::filesystem::create_symlink(a, link);
  const auto before = stamp_of(link);
  ASSERT_TRUE(before.has_value());
  EXPECT_EQ(before, stamp_of(link)) << "looking changes nothing";
  std::filesystem::create_symlink(b, folder_ + "/next");
  std::filesystem::rename(folder_ + "/next", link);
  EXPECT_NE(before, stamp_of(link));
}

TEST_F(FileStampTest, NothingThere) {
  EXPECT_EQ(stamp_of(folder_ + "/none"), std::nullopt);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(read_file(folder_ + "/none", 10), std::nullopt);
}

TEST_F(FileStampTest, ReadsUpToTheBound) {
  const std::string path = write("long", std::string(40'000, 'x'));
  EXPECT_EQ(read_file(path, 40'000).value_or("").size(), 40'000u);
  EXPECT_EQ(read_file(path, 39'999), std::nullopt);
  EXPECT_EQ(errno, EFBIG);
  EXPECT_EQ(read_file(folder_, 10), std::nullopt) << "a folder";
}

}  // namespace
}  // namespace ringway
