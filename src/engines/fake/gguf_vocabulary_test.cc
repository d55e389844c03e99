#include "engines/fake/gguf_vocabulary.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

namespace aioss::engines::fake {
namespace {

std::string u32(std::uint32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string u64(std::uint64_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string text(const std::string& value) {
  return u64(value.size()) + value;
}

std::string head(std::uint64_t keys) {
  return "GGUF" + u32(3) + u64(0) + u64(keys);
}
std::string tokens(std::uint64_t count) {
  std::string out = text("tokenizer.ggml.tokens") + u32(9) + u32(8) + u64(count);
  for (std::uint64_t i = 0; i < count; ++i) out += text("t" + std::to_string(i));
  return out;
}

Result<std::uint32_t> read(const std::string& file) {
  std::FILE* const temporary = std::tmpfile();
  EXPECT_EQ(std::fwrite(file.data(), 1, file.size(), temporary), file.size());
  std::fflush(temporary);
  auto found = gguf_vocabulary(::fileno(temporary));
  std::fclose(temporary);
  return found;
}

TEST(GgufVocabulary, IsFoundBehindKeysOfEveryKind) {
  const std::string file = head(5) + text("general.architecture") + u32(8) + text("llama") +
                           text("llama.context_length") + u32(4) + u32(2048) + text("list") +
                           u32(9) + u32(5) + u64(3) + u32(1) + u32(2) + u32(3) + text("names") +
                           u32(9) + u32(8) + u64(2) + text("a") + text("bc") + tokens(400);
  const auto found = read(file);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(*found, 400U);
}

TEST(GgufVocabulary, NothingUntrueIsBelieved) {
  EXPECT_FALSE(read(""));
  EXPECT_FALSE(read("aioss-fake 1\n"));
  EXPECT_FALSE(read("GGUF" + u32(1) + u64(0) + u64(1) + tokens(400))) << "a version";
  EXPECT_FALSE(read(head(1) + text("x") + u32(4) + u32(1))) << "no tokens";
  EXPECT_FALSE(read(head(1u << 20) + tokens(400))) << "too many keys";
  EXPECT_FALSE(read(head(1) + u64(~std::uint64_t{0}) + "x")) << "a key without end";
  EXPECT_FALSE(read(head(2) + text("x") + u32(8) + u64(~std::uint64_t{0}) + tokens(400)));
  EXPECT_FALSE(read(head(2) + text("x") + u32(9) + u32(9) + u64(1) + tokens(400)));
  EXPECT_FALSE(read(head(2) + text("x") + u32(77) + tokens(400))) << "an unknown type";
  EXPECT_FALSE(read(head(1) + text("tokenizer.ggml.tokens") + u32(9) + u32(8) + u64(1) + text("a")))
      << "too few";
  const std::string whole = head(1) + tokens(20);
  const std::size_t count_ends = whole.find("tokenizer.ggml.tokens") + 21 + 16;
  for (std::size_t bytes = 0; bytes < count_ends; ++bytes) {
    EXPECT_FALSE(read(whole.substr(0, bytes))) << bytes;
  }
}

}  // namespace
}  // namespace aioss::engines::fake
