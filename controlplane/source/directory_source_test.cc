#include "controlplane/source/directory_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace ringway::source {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string service(const std::string& name, int port = 80) {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         "}\nspec: {ports: [{port: " + std::to_string(port) + "}]}\n";
}

class DirectorySourceTest : public testing::Test {
 protected:
  DirectorySourceTest() {
    std::string pattern = fs::temp_directory_path() / "ringway-source-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~DirectorySourceTest() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  // "+name" and "-name", and problems as "!message"; "(none)" when nothing came.
  static std::vector<std::string> text(const std::optional<Batch>& batch) {
    if (!batch) return {"(none)"};
    std::vector<std::string> out;
    for (const auto& object : batch->changes.upserts) out.push_back("+" + object->key.name);
    for (const auto& key : batch->changes.removals) out.push_back("-" + key.name);
    for (const auto& problem : batch->problems) out.push_back("!" + problem.message);
    return out;
  }
  std::vector<std::string> next(milliseconds timeout = seconds(5)) {
    return text(source().next(timeout));
  }

  DirectorySource& source() {
    if (!source_) source_.emplace(root_.string() + "/");
    return *source_;
  }

  fs::path root_;
  std::optional<DirectorySource> source_;
};

TEST_F(DirectorySourceTest, TheFirstBatchIsEverything) {
  write("a.yaml", service("one") + "---\n" + service("two"));
  write("sub/b.yml", service("three"));
  write("sub/c.json", R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"four"}})");
  write(".hidden.yaml", service("five"));
  write("notes.txt", "x");
  const std::optional<Batch> batch = source().next(seconds(5));
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->full);
  EXPECT_THAT(text(batch), ElementsAre("+four", "+one", "+three", "+two"));
  EXPECT_EQ(batch->changes.upserts[1]->location.file, (root_ / "a.yaml").string());
  EXPECT_THAT(next(milliseconds(30)), ElementsAre("(none)"));
}

TEST_F(DirectorySourceTest, AnEmptyDirectoryIsAFullBatchToo) {
  const std::optional<Batch> batch = source().next(seconds(5));
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->full);
  EXPECT_THAT(text(batch), IsEmpty());
}

TEST_F(DirectorySourceTest, FollowsWritesRenamesAndRemovals) {
  write("a.yaml", service("one"));
  next();
  write("a.yaml", service("one", 81));
  const std::optional<Batch> batch = source().next(seconds(5));
  EXPECT_THAT(text(batch), ElementsAre("+one"));
  EXPECT_FALSE(batch->full);
  write("x.tmp", service("two"));
  fs::rename(root_ / "x.tmp", root_ / "a.yaml");
  EXPECT_THAT(next(), ElementsAre("+two", "-one"));
  fs::remove(root_ / "a.yaml");
  EXPECT_THAT(next(), ElementsAre("-two"));
}

TEST_F(DirectorySourceTest, FollowsDirectoriesThatComeAndGo) {
  next();
  write("sub/deep/a.yaml", service("one"));
  EXPECT_THAT(next(), ElementsAre("+one"));
  write("sub/deep/a.yaml", service("one", 81));
  EXPECT_THAT(next(), ElementsAre("+one"));
  fs::remove_all(root_ / "sub");
  EXPECT_THAT(next(), ElementsAre("-one"));
}

TEST_F(DirectorySourceTest, OneDocumentOfManyIsOneChange) {
  write("a.yaml", service("one") + "---\n" + service("two") + "---\n" + service("three"));
  next();
  write("a.yaml", service("one") + "---\n" + service("two", 81) + "---\n" + service("three"));
  EXPECT_THAT(next(), ElementsAre("+two"));
}

TEST_F(DirectorySourceTest, ADirectoryReplacedUnderItsNameIsWatched) {
  write("sub/a.yaml", service("one"));
  next();
  fs::rename(root_ / "sub", root_ / ".old");
  write("sub/a.yaml", service("two"));
  std::vector<std::string> seen = next();
  if (seen.size() < 2) seen = next();  // It may have been looked at between the two steps.
  EXPECT_THAT(seen, testing::Contains("+two"));
  write("sub/a.yaml", service("three"));
  EXPECT_THAT(next(), ElementsAre("+three", "-two"));
  write(".r1/a.yaml", service("four"));
  write(".r2/a.yaml", service("five"));
  fs::create_directory_symlink(".r1", root_ / "link");
  EXPECT_THAT(next(), ElementsAre("+four"));
  fs::create_directory_symlink(".r2", root_ / ".next");
  fs::rename(root_ / ".next", root_ / "link");
  EXPECT_THAT(next(), ElementsAre("+five", "-four"));
  write(".r2/a.yaml", service("six"));
  EXPECT_THAT(next(), ElementsAre("+six", "-five"));
}

TEST_F(DirectorySourceTest, AFileHalfWrittenDoesNotFlap) {
  write("a.yaml", service("one"));
  next();
  std::ofstream out(root_ / "a.yaml", std::ios::trunc);
  out << "apiVersion: v1\nkind: Serv" << std::flush;
  EXPECT_THAT(next(milliseconds(100)), ElementsAre("(none)"));
  std::ofstream fresh(root_ / "b.yaml");
  fresh << "apiVersion: [" << std::flush;
  EXPECT_THAT(next(milliseconds(100)), ElementsAre("(none)"));
  out << "ice\nmetadata: {name: one}\n" << std::flush;
  out.close();
  fresh.close();
  EXPECT_THAT(next().front(), "+one");
}

TEST_F(DirectorySourceTest, AChangeBesideAFileHalfWrittenDoesNotMakeItFlap) {
  write("a.yaml", service("one"));
  next();
  std::ofstream out(root_ / "a.yaml", std::ios::trunc);
  out << "apiVersion: v1\nkind: Serv" << std::flush;
  write("b.yaml", service("two"));
  EXPECT_THAT(next(), ElementsAre("+two"));
  out << "ice\nmetadata: {name: one}\n";
  out.close();
  EXPECT_THAT(next(), ElementsAre("+one"));
}

TEST_F(DirectorySourceTest, ASecondLinkToAFinishedFileIsFound) {
  write("x.tmp", service("one"));
  next();
  fs::create_hard_link(root_ / "x.tmp", root_ / "a.yaml");
  fs::remove(root_ / "x.tmp");
  EXPECT_THAT(next(), ElementsAre("+one"));
}

TEST_F(DirectorySourceTest, FollowsTheLinkSwitchOfAMountedConfigMap) {
  write("..1/a.yaml", service("one"));
  write("..2/a.yaml", service("two"));
  fs::create_directory_symlink("..1", root_ / "..data");
  fs::create_symlink("..data/a.yaml", root_ / "a.yaml");
  EXPECT_THAT(next(), ElementsAre("+one"));
  fs::create_directory_symlink("..2", root_ / "..data_tmp");
  fs::rename(root_ / "..data_tmp", root_ / "..data");
  EXPECT_THAT(next(), ElementsAre("+two", "-one"));
}

TEST_F(DirectorySourceTest, LinksThatLeadBackUpAreWalkedOnce) {
  write("sub/a.yaml", service("one"));
  fs::create_directory_symlink("..", root_ / "sub/up");
  EXPECT_THAT(next(), ElementsAre("+one"));
}

TEST_F(DirectorySourceTest, ABadDocumentIsReportedAndTheOthersApply) {
  write("a.yaml", service("one") + "---\n" + service("two"));
  next();
  write("a.yaml", service("one", 81) + "---\n{broken\n");
  EXPECT_THAT(next(), ElementsAre("+one", "-two", HasSubstr("!")));
  write("a.yaml", service("one", 81));
  EXPECT_THAT(next(), IsEmpty());  // The same object, and the problem is gone.
}

TEST_F(DirectorySourceTest, OfTwoDefinitionsTheFirstByPathCounts) {
  write("b.yaml", service("one", 2));
  write("a.yaml", service("one", 1));
  const std::optional<Batch> batch = source().next(seconds(5));
  EXPECT_THAT(text(batch),
              ElementsAre("+one", HasSubstr("already defined in " + root_.string() + "/a.yaml:1")));
  const auto port = [](const Batch& b) {
    return std::get<kubernetes::Service>(b.changes.upserts.at(0)->body).spec().ports(0).port();
  };
  EXPECT_EQ(port(*batch), 1);
  fs::remove(root_ / "a.yaml");
  const std::optional<Batch> after = source().next(seconds(5));
  EXPECT_THAT(text(after), ElementsAre("+one"));
  EXPECT_EQ(port(*after), 2);
}

TEST_F(DirectorySourceTest, AMissingDirectoryIsAProblemAndIsWaitedFor) {
  fs::remove_all(root_);
  EXPECT_THAT(next(), ElementsAre(HasSubstr("No such file")));
  write("a.yaml", service("one"));
  EXPECT_THAT(next(), ElementsAre("+one"));
}

TEST_F(DirectorySourceTest, AFifoDoesNotHang) {
  ASSERT_EQ(::mkfifo((root_ / "a.yaml").c_str(), 0600), 0);
  EXPECT_THAT(next(), IsEmpty());
}

TEST_F(DirectorySourceTest, StopEndsAWaitingNext) {
  next();
  std::thread stopper([&] {
    std::this_thread::sleep_for(milliseconds(20));
    source().stop();
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(next(seconds(30)), ElementsAre("(none)"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
  stopper.join();
  EXPECT_THAT(next(seconds(30)), ElementsAre("(none)"));
}

}  // namespace
}  // namespace ringway::source
