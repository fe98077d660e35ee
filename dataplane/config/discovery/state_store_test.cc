#include "dataplane/config/discovery/state_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "base/random.h"

namespace ringway::config {
namespace {

using ::testing::HasSubstr;

ResourceSet sample() {
  ResourceSet set;
  v1::Resource resource;
  resource.set_name("shop/web:80");
  resource.set_version(11);
  resource.mutable_cluster()->mutable_metadata()->set_service("web");
  set.upsert(resource);
  resource.Clear();
  resource.set_name("shop/tls");
  resource.set_version(12);
  resource.mutable_certificate()->set_chain_pem("the chain");
  resource.mutable_certificate()->set_private_key_pem("the secret key");
  set.upsert(resource);
  set.set_version("abc");
  return set;
}

const ResourceKey kCertificate{v1::RESOURCE_TYPE_CERTIFICATE, "shop/tls"};

class StateStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/ringway-state-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ + "/configuration.state"; }
  std::string read() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& text) const { std::ofstream(path(), std::ios::binary) << text; }
  std::string folder_;
};

TEST_F(StateStoreTest, MemoryKeepsKeysDiskDoesNot) {
  const ResourceSet set = sample();
  const std::string with = encode_state(set, Keys::kInclude),
                    without = encode_state(set, Keys::kLeaveOut);
  EXPECT_THAT(with, HasSubstr("the secret key"));
  EXPECT_THAT(without, Not(HasSubstr("the secret key")));
  EXPECT_THAT(without, HasSubstr("the chain"));
  const auto whole = decode_state(with), redacted = decode_state(without);
  ASSERT_TRUE(whole && redacted);
  EXPECT_EQ(whole->version(), "abc");
  EXPECT_FALSE(whole->find(kCertificate)->keyless);
  EXPECT_TRUE(redacted->find(kCertificate)->keyless);
  EXPECT_EQ(redacted->size(), 2u);
  // A keyless certificate stays keyless over another crash.
  EXPECT_TRUE(decode_state(encode_state(*redacted, Keys::kInclude))->find(kCertificate)->keyless);
}

TEST_F(StateStoreTest, WhatDoesNotCheckIsRefusedAsAWhole) {
  const std::string good = encode_state(sample(), Keys::kLeaveOut);
  struct Case {
    const char* name;
    std::string text;
    const char* error;
  };
  std::string older = good, newer_flags = good, flipped = good, magic = good;
  older[8] = 0;
  newer_flags[12] = 4;
  flipped[good.size() - 3] ^= 1;
  magic[0] = 'X';
  for (const Case& c :
       {Case{"empty", "", "shorter than its head"},
        Case{"head_only", good.substr(0, 32), "truncated"},
        Case{"half_a_head", good.substr(0, 20), "shorter than its head"},
        Case{"truncated", good.substr(0, good.size() - 1), "truncated"},
        Case{"longer", good + "x", "truncated, or longer"},
        Case{"older_format", older, "format 0, this build reads 1"},
        Case{"unknown_flags", newer_flags, "flags"}, Case{"flipped", flipped, "checksum"},
        Case{"another_file", magic, "not a configuration"},
        Case{"zeroes", std::string(4096, '\0'), "not a configuration"}}) {
    SCOPED_TRACE(c.name);
    write(c.text);
    const auto loaded = load_state_file(folder_);
    ASSERT_FALSE(loaded.has_value());
    EXPECT_THAT(loaded.error(), HasSubstr(c.error));
    EXPECT_THAT(loaded.error(), HasSubstr(path()));
  }
}

TEST_F(StateStoreTest, EveryFlippedBitIsSeen) {
  const std::string good = encode_state(sample(), Keys::kInclude);
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] ^= static_cast<char>(1 << (at % 8));
    const auto decoded = decode_state(bad);
    // The one flag bit there is says whether keys are in, which nothing depends on.
    if (decoded.has_value()) {
      EXPECT_EQ(at, 12u);
    }
  }
}

TEST_F(StateStoreTest, AnAbsentFileIsAnEmptySetAndAFolderIsAnError) {
  const auto absent = load_state_file(folder_);
  ASSERT_TRUE(absent.has_value());
  EXPECT_TRUE(absent->empty());
  std::filesystem::create_directory(path());
  EXPECT_FALSE(load_state_file(folder_).has_value());
}

TEST_F(StateStoreTest, MemoryFilesAreSealedAndReadBack) {
  const auto fd = make_sealed_memory(encode_state(sample(), Keys::kInclude));
  ASSERT_TRUE(fd.has_value());
  EXPECT_EQ(::write(*fd, "x", 1), -1);
  EXPECT_EQ(::ftruncate(*fd, 0), -1);
  const auto loaded = load_state_memory(*fd);
  ASSERT_TRUE(loaded.has_value()) << loaded.error();
  EXPECT_EQ(loaded->resource(kCertificate)->certificate().private_key_pem(), "the secret key");
  EXPECT_TRUE(load_state_memory(*fd).has_value()) << "its offset is left alone";
  ::close(*fd);
}

TEST_F(StateStoreTest, AnythingElseIsNoMemoryFile) {
  const int unsealed = ::memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_THAT(load_state_memory(unsealed).error(), HasSubstr("not sealed"));
  ::close(unsealed);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_FALSE(load_state_memory(null).has_value());
  ::close(null);
  EXPECT_FALSE(load_state_memory(-1).has_value());
}

TEST_F(StateStoreTest, WritesAreCoalesced) {
  io::TimerWheel wheel(0);
  ResourceSet set = sample();
  std::vector<int> handed;
  uint64_t now_ns = kNsPerSecond;
  wheel.advance(now_ns);
  {
    StateStore store(wheel,
                     {.directory = folder_, .hand_over = [&](int fd) { handed.push_back(fd); }});
    for (int i = 0; i < 300; ++i) {  // Three seconds, a change every 10 ms.
      set.set_version("v" + std::to_string(i));
      store.save(set, now_ns);
      now_ns += 10 * kNsPerMs;
      wheel.advance(now_ns);
    }
    store.flush();
    EXPECT_GE(handed.size(), 28u);
    EXPECT_LE(handed.size(), 32u);
    const StateStoreStatus status = store.status();
    EXPECT_GE(status.disk_writes, 1u);
    EXPECT_LE(status.disk_writes, 5u);
    EXPECT_EQ(status.errors, 0u);
    EXPECT_EQ(load_state_file(folder_)->version(), "v299");
    EXPECT_EQ(load_state_memory(handed.back())->version(), "v299");
    set.set_version("last");
    store.save(set, now_ns);
  }
  EXPECT_EQ(load_state_file(folder_)->version(), "last") << "the destructor writes what waits";
  EXPECT_THAT(read(), Not(HasSubstr("the secret key")));
  EXPECT_EQ(std::filesystem::status(path()).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  for (const int fd : handed) ::close(fd);
}

TEST_F(StateStoreTest, AFullOrMissingDiskIsAnErrorInTheStatusAndTheOldFileStays) {
  io::TimerWheel wheel(0);
  const ResourceSet set = sample();
  write("old");
  std::filesystem::create_directory(
      folder_ + "/configuration.state.tmp");  // The temporary file cannot be made.
  StateStore store(wheel, {.directory = folder_});
  store.save(set, 0);
  store.flush();
  EXPECT_EQ(store.status().errors, 1u);
  EXPECT_NE(store.status().last_error, "");
  EXPECT_EQ(read(), "old");
}

}  // namespace
}  // namespace ringway::config
