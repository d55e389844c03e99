// The cache of hashes and the thread that computes them.
#include "runtime/catalogue/hasher.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "os/clock.h"
#include "runtime/calls/answer.h"
#include "runtime/testing/held_file_system.h"

namespace aioss::runtime {
namespace {

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

  // Of a running hasher.
  struct Asked {
    std::shared_ptr<Answer<ModelHash>> answer = std::make_shared<Answer<ModelHash>>();
    Hasher::Ticket ticket = 0;
  };
  Asked ask(Hasher& hasher, const std::string& name) {
    Asked asked;
    asked.ticket = hasher.hash_model(
        open({name}), [answer = asked.answer](auto result) { answer->give(std::move(result)); });
    return asked;
  }
  static ModelHash wait(const Asked& asked) {
    const auto result = asked.answer->wait_for(std::chrono::seconds(10));
    EXPECT_TRUE(result && *result);
    return result && *result ? **result : ModelHash{};
  }

  testing::HeldFileSystem fs_;
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
  cache.put(info, Digest{}, info.modified_ns + kNsPerSecond);
  EXPECT_FALSE(cache.find(info)) << "another write in the same instant would go unnoticed";
  cache.put(info, Digest{}, info.modified_ns + 3 * kNsPerSecond);
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
  fs_.faults().arm(os::FaultPoint::kWrite, {1, ENOSPC, true, {}});
  EXPECT_TRUE(hash(cache, {"m"}));
  EXPECT_TRUE(hash(cache, {"m"})->cached);
}

TEST_F(HasherTest, ReadErrorIsAnError) {
  add("m", "abc");
  HashCache cache(fs_, "");
  fs_.faults().arm(os::FaultPoint::kRead, {1, EIO, true, {}});
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

constexpr std::size_t kReadBytes = std::size_t{1} << 20;  // of one block

TEST_F(HasherTest, CancelledJobEndsBetweenTwoBlocks) {
  add("large", std::string(4 * kReadBytes, 'x'));
  add("small", "abc");
  HashCache cache(fs_, "");
  fs_.hold_reads(path("large"));
  Hasher hasher(fs_, cache, clock_);
  const Asked first = ask(hasher, "large");
  ASSERT_TRUE(fs_.wait_until_read_is_held());
  hasher.cancel(first.ticket);
  hasher.cancel(first.ticket);  // as good as once
  // The file is wanted again: by a new job, from its beginning.
  const Asked again = ask(hasher, "large");
  const Asked other = ask(hasher, "small");
  hasher.cancel(again.ticket);
  fs_.release();
  EXPECT_EQ(wait(other).sha256, crypto::sha256(as_bytes("abc")));
  EXPECT_EQ(fs_.reads(path("large")), 1) << "it was read on, or begun again";
  EXPECT_FALSE(first.answer->wait_for(std::chrono::milliseconds(0))) << "an answer to nobody";
  EXPECT_FALSE(again.answer->wait_for(std::chrono::milliseconds(0)));
}

TEST_F(HasherTest, OneFileIsHashedOnceForAllWhoWait) {
  const std::string content(2 * kReadBytes, 'x');
  // Fresh, so that no cache can stand in for the shared job.
  std::ofstream(path("m"), std::ios::trunc) << content;
  HashCache cache(fs_, "");
  fs_.hold_reads(path("m"));
  Hasher hasher(fs_, cache, clock_);
  const Asked first = ask(hasher, "m");
  ASSERT_TRUE(fs_.wait_until_read_is_held());
  const Asked second = ask(hasher, "m");
  const Asked third = ask(hasher, "m");
  hasher.cancel(first.ticket);  // the others still want it
  fs_.release();
  for (const Asked& asked : {second, third}) {
    const ModelHash hash = wait(asked);
    EXPECT_EQ(hash.sha256, crypto::sha256(as_bytes(content)));
    EXPECT_FALSE(hash.cached);
  }
  EXPECT_EQ(fs_.reads(path("m")), 3) << "two blocks and the end, once";
  EXPECT_FALSE(first.answer->wait_for(std::chrono::milliseconds(0)));
}

TEST_F(HasherTest, AnotherFileUnderTheSameNameIsAnotherJob) {
  add("m", "abc");
  HashCache cache(fs_, "");
  fs_.hold_reads(path("m"));
  Hasher hasher(fs_, cache, clock_);
  const Asked first = ask(hasher, "m");
  ASSERT_TRUE(fs_.wait_until_read_is_held());
  std::filesystem::rename(path("m"), path("old"));  // still open
  add("m", "abd");
  const Asked second = ask(hasher, "m");
  fs_.release();
  EXPECT_EQ(wait(first).sha256, crypto::sha256(as_bytes("abc")));
  EXPECT_EQ(wait(second).sha256, crypto::sha256(as_bytes("abd")));
}

TEST_F(HasherTest, StoppingTellsThoseWhoWait) {
  add("large", std::string(4 * kReadBytes, 'x'));
  add("small", "abc");
  HashCache cache(fs_, "");
  fs_.hold_reads(path("large"));
  std::optional<Hasher> hasher(std::in_place, fs_, cache, clock_);
  const Asked running = ask(*hasher, "large");
  const Asked queued = ask(*hasher, "small");
  ASSERT_TRUE(fs_.wait_until_read_is_held());
  std::thread stopping([&] { hasher.reset(); });
  fs_.release();
  stopping.join();
  for (const Asked& asked : {running, queued}) {
    const auto result = asked.answer->wait_for(std::chrono::milliseconds(0));
    ASSERT_TRUE(result) << "a job was dropped without a word";
  }
}

// ---- sealed copies ------------------------------------------------------------------------------

TEST_F(HasherTest, ASealedCopyIsWhatWasHashed) {
  add("m", "abc");
  HashCache cache(fs_, directory_);
  Hasher hasher(fs_, cache, clock_);
  Asked asked;
  const auto model = open({"m"});
  hasher.seal_model(model, [answer = asked.answer](auto result) { answer->give(result); });
  const ModelHash hash = wait(asked);
  EXPECT_TRUE(hash.sealed);
  EXPECT_FALSE(hash.cached);
  EXPECT_EQ(hash.sha256, crypto::sha256(as_bytes("abc")));
  EXPECT_EQ(hash.parts, std::vector<Digest>{hash.sha256});
  add("m", "xyz!");  // into the same file
  EXPECT_FALSE(model->was_changed()) << "of what the worker reads nothing has changed";
  ASSERT_EQ(model->descriptors().size(), 1U);
  char bytes[8] = {};
  EXPECT_EQ(::pread(model->descriptors()[0], bytes, sizeof bytes, 0), 3);
  EXPECT_STREQ(bytes, "abc");
}

TEST_F(HasherTest, EveryCallerHasItsOwnSealedCopy) {
  add("m", "abc");
  HashCache cache(fs_, directory_);
  Hasher hasher(fs_, cache, clock_);
  Asked one, two;
  const auto first = open({"m"}), second = open({"m"});
  hasher.seal_model(first, [answer = one.answer](auto result) { answer->give(result); });
  hasher.seal_model(second, [answer = two.answer](auto result) { answer->give(result); });
  EXPECT_EQ(wait(one).sha256, wait(two).sha256);
  EXPECT_EQ(first->sealed.size(), 1U);
  EXPECT_EQ(second->sealed.size(), 1U);
}

}  // namespace
}  // namespace aioss::runtime
