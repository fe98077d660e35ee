// Differences add up: after any edits, what the batches led to is what a fresh look finds.
#include "controlplane/source/directory_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/random.h"

namespace ringway::source {
namespace {

namespace fs = std::filesystem;

// Key, place and port of every object, then the problems.
std::string text_of(const std::map<model::ObjectKey, model::ObjectPtr>& objects,
                    const std::vector<model::Problem>& problems) {
  std::string out;
  for (const auto& [key, object] : objects) {
    const auto& ports = std::get<kubernetes::Service>(object->body).spec().ports();
    out += to_string(key) + " " + object->location.file + ":" +
           std::to_string(object->location.line) + " " + std::to_string(ports.at(0).port()) + "\n";
  }
  for (const model::Problem& problem : problems) out += format(problem) + "\n";
  return out;
}

void take(const Batch& batch, std::map<model::ObjectKey, model::ObjectPtr>& objects) {
  for (const auto& key : batch.changes.removals) EXPECT_EQ(objects.erase(key), 1u);
  for (const auto& object : batch.changes.upserts) {
    EXPECT_NE(objects[object->key], object) << "sent though nothing changed";
    objects[object->key] = object;
  }
}

std::string draw_file(Random& random) {
  std::string text;
  for (uint32_t documents = random.below(4); documents > 0; --documents) {
    if (random.chance(10)) {
      text += "{broken\n---\n";
      continue;
    }
    text += "apiVersion: v1\nkind: Service\nmetadata: {name: " +
            std::string(1, static_cast<char>('a' + random.below(4))) +
            "}\nspec: {ports: [{port: " + std::to_string(1 + random.below(3)) + "}]}\n---\n";
  }
  return text;
}

TEST(DirectoryFiles, DifferencesAddUpToAFreshLook) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::string pattern = fs::temp_directory_path() / "ringway-files-XXXXXX";
    const fs::path root = ::mkdtemp(pattern.data());
    Random random(seed);
    DirectoryFiles files(root);
    std::map<model::ObjectKey, model::ObjectPtr> objects;
    take(files.scan({}), objects);
    for (int step = 0; step < 60; ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(step));
      const fs::path path = root / (std::to_string(random.below(4)) + ".yaml");
      if (random.chance(25)) {
        fs::remove(path);
      } else {
        std::ofstream(root / "draft") << draw_file(random);
        fs::rename(root / "draft",
                   path);  // Another inode, so that the clock's grain does not matter.
      }
      const Batch batch = random.chance(70) ? files.scan_files({path}) : files.scan({});
      take(batch, objects);
      DirectoryFiles fresh(root);
      std::map<model::ObjectKey, model::ObjectPtr> expected;
      const Batch all = fresh.scan({});
      take(all, expected);
      ASSERT_EQ(text_of(objects, batch.problems), text_of(expected, all.problems));
    }
    fs::remove_all(root);
  }
}

// Many are read by several threads, a few by one.
TEST(DirectoryFiles, ManyFilesAtOnceAreWhatTheyAreOneByOne) {
  std::string pattern = fs::temp_directory_path() / "ringway-files-XXXXXX";
  const fs::path root = ::mkdtemp(pattern.data());
  DirectoryFiles one_by_one(root);
  one_by_one.scan({});
  Random random(7);
  std::map<model::ObjectKey, model::ObjectPtr> expected, objects;
  Batch last;
  for (int i = 0; i < 300; ++i) {
    const fs::path path = root / (std::to_string(i) + ".yaml");
    std::ofstream(path) << draw_file(random) << "apiVersion: v1\nkind: Service\nmetadata: {name: s"
                        << i << "}\nspec: {ports: [{port: " << i + 1 << "}]}\n";
    last = one_by_one.scan_files({path});
    take(last, expected);
  }
  DirectoryFiles at_once(root);
  const Batch batch = at_once.scan({});
  take(batch, objects);
  EXPECT_GE(objects.size(), 300u);
  EXPECT_EQ(text_of(objects, batch.problems), text_of(expected, last.problems));
  fs::remove_all(root);
}

}  // namespace
}  // namespace ringway::source
