#include "engines/fake/gguf_vocabulary.h"

#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include "engines/fake/test_gguf.h"

namespace aioss::engines::fake {
namespace {

Result<std::uint32_t> read(const std::string& file) {
  std::FILE* const temporary = std::tmpfile();
  EXPECT_EQ(std::fwrite(file.data(), 1, file.size(), temporary), file.size());
  std::fflush(temporary);
  auto found = gguf_vocabulary(::fileno(temporary));
  std::fclose(temporary);
  return found;
}

TEST(GgufVocabulary, IsFoundBehindKeysOfEveryKind) {
  const std::string file = gguf_head(5) + gguf_text("general.architecture") + gguf_u32(8) +
                           gguf_text("llama") + gguf_text("llama.context_length") + gguf_u32(4) +
                           gguf_u32(2048) + gguf_text("list") + gguf_u32(9) + gguf_u32(5) +
                           gguf_u64(3) + gguf_u32(1) + gguf_u32(2) + gguf_u32(3) +
                           gguf_text("names") + gguf_u32(9) + gguf_u32(8) + gguf_u64(2) +
                           gguf_text("a") + gguf_text("bc") + gguf_tokens(400);
  const auto found = read(file);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(*found, 400U);
}

TEST(GgufVocabulary, NothingUntrueIsBelieved) {
  EXPECT_FALSE(read(""));
  EXPECT_FALSE(read("aioss-fake 1\n"));
  EXPECT_FALSE(read("GGUF" + gguf_u32(1) + gguf_u64(0) + gguf_u64(1) + gguf_tokens(400)))
      << "a version";
  EXPECT_FALSE(read(gguf_head(1) + gguf_text("x") + gguf_u32(4) + gguf_u32(1))) << "no tokens";
  EXPECT_FALSE(read(gguf_head(1u << 20) + gguf_tokens(400))) << "too many keys";
  EXPECT_FALSE(read(gguf_head(1) + gguf_u64(~std::uint64_t{0}) + "x")) << "a key without end";
  EXPECT_FALSE(read(gguf_head(2) + gguf_text("x") + gguf_u32(8) + gguf_u64(~std::uint64_t{0}) +
                    gguf_tokens(400)));
  EXPECT_FALSE(read(gguf_head(2) + gguf_text("x") + gguf_u32(9) + gguf_u32(9) + gguf_u64(1) +
                    gguf_tokens(400)));
  EXPECT_FALSE(read(gguf_head(2) + gguf_text("x") + gguf_u32(77) + gguf_tokens(400)))
      << "an unknown type";
  EXPECT_FALSE(read(gguf_head(1) + gguf_text("tokenizer.ggml.tokens") + gguf_u32(9) + gguf_u32(8) +
                    gguf_u64(1) + gguf_text("a")))
      << "too few";
  const std::string whole = gguf_head(1) + gguf_tokens(20);
  const std::size_t count_ends = whole.find("tokenizer.ggml.tokens") + 21 + 16;
  for (std::size_t bytes = 0; bytes < count_ends; ++bytes) {
    EXPECT_FALSE(read(whole.substr(0, bytes))) << bytes;
  }
}

}  // namespace
}  // namespace aioss::engines::fake
