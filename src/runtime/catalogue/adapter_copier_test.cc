#include "runtime/catalogue/adapter_copier.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "os/test_tree.h"
#include "runtime/calls/answer.h"

namespace aioss::runtime {
namespace {

class AdapterCopierTest : public os::TreeTest {
 protected:
  AdapterEntry entry(const std::string& name) {
    const std::string path = root_ + "/" + name;
    return {name, "llama", path, *fs_.info(path), {}};
  }
  Result<Digest> copy(AdapterEntry entry, std::shared_ptr<const AllowList> allowed = nullptr) {
    Answer<Digest> answer;
    copier_.copy(std::move(entry), memory_, std::move(allowed), given_up_,
                 [&](Result<Digest> digest) { answer.give(std::move(digest)); });
    auto given = answer.wait_for(std::chrono::seconds(60));
    return given ? std::move(*given) : Result<Digest>(Error{Code::kTimeout, "no answer"});
  }
  std::string in_memory() const {
    std::string text(std::size_t{8} << 20, '\0');
    const ssize_t count = ::pread(memory_->reader(), text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }

  os::RealFileSystem fs_;
  AdapterCopier copier_{fs_, 4};
  std::shared_ptr<os::MemoryFile> memory_ =
      std::make_shared<os::MemoryFile>(std::move(*os::MemoryFile::create("test")));
  std::shared_ptr<std::atomic<bool>> given_up_ = std::make_shared<std::atomic<bool>>(false);
};

TEST_F(AdapterCopierTest, WhatIsHashedIsWhatIsThere) {
  std::string content;
  while (content.size() < (std::size_t{3} << 20)) content += std::to_string(content.size());
  put("/a", content);
  const auto digest = copy(entry("a"));
  ASSERT_TRUE(digest) << digest.error().message;
  EXPECT_EQ(in_memory(), content + "\n");
  EXPECT_EQ(*digest, crypto::sha256(as_bytes(content + "\n")));
  put("/b", "short");
  ASSERT_TRUE(copy(entry("b")));
  EXPECT_EQ(in_memory(), "short\n");
}

TEST_F(AdapterCopierTest, AFileThatIsAnotherByNowIsRefused) {
  put("/a", "one");
  const AdapterEntry before = entry("a");
  put("/a", "another");
  const auto digest = copy(before);
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code, Code::kModelCorrupt);
  EXPECT_EQ(in_memory(), "");
  std::filesystem::remove(root_ + "/a");
  EXPECT_EQ(copy(before).error().code, Code::kNotFound);
}

TEST_F(AdapterCopierTest, TheListIsHeldAgainstTheBytes) {
  put("/a", "one");
  const auto list = [](const Digest& digest) {
    return std::make_shared<const AllowList>(
        *AllowList::parse(codec::to_hex(digest) + "  a\n", "list"));
  };
  EXPECT_TRUE(copy(entry("a"), list(crypto::sha256(as_bytes("one\n")))));
  const auto refused = copy(entry("a"), list(crypto::sha256(as_bytes("two\n"))));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kForbidden);
  EXPECT_EQ(in_memory(), "");
}

TEST_F(AdapterCopierTest, WhatIsGivenUpLeavesNothing) {
  put("/a", "one");
  const std::uint64_t before = copier_.progress();
  ASSERT_TRUE(copy(entry("a")));
  EXPECT_GT(copier_.progress(), before);
  *given_up_ = true;
  const auto digest = copy(entry("a"));
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code, Code::kCancelled);
  EXPECT_EQ(in_memory(), "");
}

}  // namespace
}  // namespace aioss::runtime
