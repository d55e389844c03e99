// The cache of hashes and the thread that computes them.
#include "runtime/hasher.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "os/clock.h"
#include "os/fault_file_system.h"
#include "runtime/answer.h"

namespace aioss::runtime {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

class HasherTest : public ::testing::Test {
 protected:
  HasherTest() {
    std::string pattern = ::testing::TempDir() + "aioss-hasher-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~HasherTest() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void add(const std::string& name, const std::string& content) {
    std::ofstream(path(name), std::ios::trunc) << content;
    std::filesystem::last_write_time(
        path(name), std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  }
  std::shared_ptr<OpenModel> open(const std::vector<std::string>& names) {
    CatalogueEntry entry;
    entry.name = "m";
    for (const std::string& name : names) entry.paths.push_back(path(name));
    auto opened = open_model(fs_, entry);
    EXPECT_TRUE(opened);
    return opened ? *opened : nullptr;
  }
  Result<ModelHash> hash(HashCache& cache, const std::vector<std::string>& names) {
    Hasher hasher(fs_, cache, clock_);
    auto answer = std::make_shared<Answer<ModelHash>>();
    hasher.hash_model(open(names), [answer](auto result) { answer->give(std::move(result)); });
    auto result = answer->wait_for(std::chrono::seconds(10));
    EXPECT_TRUE(result);
    return result ? *result : Result<ModelHash>(Error{Code::kTimeout, "no answer"});
  }

  os::RealFileSystem real_;
  os::FaultFileSystem fs_{real_};
  os::SystemClock clock_;
  std::string directory_;
};

TEST_F(HasherTest, HashesOneFile) {
  add("m", "abc");
  HashCache cache(fs_, directory_);
  const auto result = hash(cache, {"m"});
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->cached);
  EXPECT_EQ(codec::to_hex(result->sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(HasherTest, HashesPartsInOrder) {
  add("a", "one");
  add("b", "two");
  HashCache cache(fs_, "");
  const Digest first = crypto::sha256(as_bytes("one")), second = crypto::sha256(as_bytes("two"));
  Bytes both(first.begin(), first.end());
  both.insert(both.end(), second.begin(), second.end());
  const auto result = hash(cache, {"a", "b"});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->sha256, crypto::sha256(both));
  EXPECT_NE(hash(cache, {"b", "a"})->sha256, result->sha256);
}

TEST_F(HasherTest, RemembersOverRestarts) {
  add("m", "abc");
  {
    HashCache cache(fs_, directory_);
    EXPECT_FALSE(hash(cache, {"m"})->cached);
    EXPECT_TRUE(hash(cache, {"m"})->cached);
  }
  HashCache cache(fs_, directory_);
  const auto again = hash(cache, {"m"});
  EXPECT_TRUE(again->cached);
  EXPECT_EQ(again->sha256, crypto::sha256(as_bytes("abc")));
}

TEST_F(HasherTest, ForgetsAFileThatChanged) {
  add("m", "abc");
  HashCache cache(fs_, directory_);
  EXPECT_FALSE(hash(cache, {"m"})->cached);
  std::ofstream(path("m"), std::ios::trunc) << "abd";  // same size, another time
  const auto changed = hash(cache, {"m"});
  EXPECT_FALSE(changed->cached);
  EXPECT_EQ(changed->sha256, crypto::sha256(as_bytes("abd")));
}

TEST_F(HasherTest, DoesNotRememberAFreshFile) {
  add("m", "abc");
  HashCache cache(fs_, directory_);
  const os::FileInfo info = *fs_.info(path("m"));
  cache.put(info, Digest{}, info.modified_ns + kSecondNs);
  EXPECT_FALSE(cache.find(info)) << "another write in the same instant would go unnoticed";
  cache.put(info, Digest{}, info.modified_ns + 3 * kSecondNs);
  EXPECT_TRUE(cache.find(info));
}

TEST_F(HasherTest, DamagedCacheIsAnEmptyOne) {
  add("m", "abc");
  for (const std::string damage : {"", "garbage", "\xa2", "\xa1\x00\x01"}) {
    std::ofstream(path("model-hashes.cbor"), std::ios::trunc) << damage;
    HashCache cache(fs_, directory_);
    const auto result = hash(cache, {"m"});
    ASSERT_TRUE(result);
    EXPECT_FALSE(result->cached);
    std::filesystem::remove(path("model-hashes.cbor"));
  }
}

TEST_F(HasherTest, CacheOfAnUnwritableDirectoryStillWorks) {
  add("m", "abc");
  HashCache cache(fs_, directory_);
  fs_.arm(os::FaultPoint::kWrite, {1, ENOSPC, true, {}});
  EXPECT_TRUE(hash(cache, {"m"}));
  EXPECT_TRUE(hash(cache, {"m"})->cached);
}

TEST_F(HasherTest, ReadErrorIsAnError) {
  add("m", "abc");
  HashCache cache(fs_, "");
  fs_.arm(os::FaultPoint::kRead, {1, EIO, true, {}});
  const auto result = hash(cache, {"m"});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kIo);
}

TEST_F(HasherTest, HashesTheExecutableWithSha3) {
  add("x", "abc");
  HashCache cache(fs_, "");
  Hasher hasher(fs_, cache, clock_);
  auto answer = std::make_shared<Answer<Digest>>();
  hasher.hash_executable(path("x"), [answer](auto result) { answer->give(std::move(result)); });
  auto result = answer->wait_for(std::chrono::seconds(10));
  ASSERT_TRUE(result && *result);
  EXPECT_EQ(**result, crypto::sha3_256(as_bytes("abc")));
}

}  // namespace
}  // namespace aioss::runtime
