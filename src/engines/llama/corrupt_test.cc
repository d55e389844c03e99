// Files that are not models, or not whole ones. Each is opened in a process of its own, because
// llama.cpp asserts on some of them: what matters is that a worker ends with an error or at worst
// an abort, never goes on with a damaged model as if nothing were wrong, and that what is plainly
// broken is an error.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "engines/llama/test_models.h"
#include "os/environment.h"
#include "os/file.h"

namespace aioss::engines::llama {
namespace {

constexpr std::size_t kHeadBytes = std::size_t{2} << 20;  // header and vocabulary of SmolLM2
constexpr std::uint64_t kModelBytes = 98'362'432;

// An unnamed file with these first bytes, the rest of `size` a hole that reads as zeros.
class TemporaryFile final {
 public:
  TemporaryFile(const std::string& head, std::uint64_t size) : file_(std::tmpfile()) {
    EXPECT_EQ(std::fwrite(head.data(), 1, head.size(), file_), head.size());
    EXPECT_EQ(std::fflush(file_), 0);
    EXPECT_EQ(ftruncate(fileno(file_), static_cast<off_t>(size)), 0);
  }
  ~TemporaryFile() { std::fclose(file_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  int fd() const { return fileno(file_); }

 private:
  std::FILE* file_;
};

const std::string& head() {
  static const std::string bytes = [] {
    const os::Fd fd = open_model_file(kSmolLm2);
    std::string out(kHeadBytes, '\0');
    EXPECT_EQ(pread(fd.get(), out.data(), out.size(), 0), static_cast<ssize_t>(out.size()));
    return out;
  }();
  return bytes;
}

enum Outcome { kOpened = 0, kCorrupt = 10, kUnsupported = 11, kOtherError = 12 };

// Runs in the child.
[[noreturn]] void open_and_exit(int fd) {
  const auto model = open_model(fd);
  if (model) std::_Exit(kOpened);
  std::fprintf(stderr, "%s\n", model.error().message.c_str());
  std::_Exit(model.error().code == Code::kModelCorrupt  ? kCorrupt
             : model.error().code == Code::kUnsupported ? kUnsupported
                                                        : kOtherError);
}

void expect_corrupt(const std::string& bytes, std::uint64_t size, const char* words) {
  const TemporaryFile file(bytes, size);
  EXPECT_EXIT(open_and_exit(file.fd()), testing::ExitedWithCode(kCorrupt), words);
}

template <typename T>
std::string with(std::string bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}

TEST(LlamaCorruptDeathTest, NotGguf) {
  expect_corrupt("", 0, "not a GGUF file");
  expect_corrupt("GG", 2, "not a GGUF file");
  expect_corrupt(std::string(5000, 'x'), 5000, "not a GGUF file");
  expect_corrupt("GGUF", 4, "");
  expect_corrupt("GGUF", 1 << 20, "");
  expect_corrupt("FUGG" + std::string(100, '\0'), 1000, "not a GGUF file");
}

TEST(LlamaCorruptDeathTest, Truncated) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  for (const std::uint64_t size : {8u, 20u, 24u, 31u, 1000u, 100'000u, 1'000'000u}) {
    expect_corrupt(head().substr(0, size), size, "");
  }
  // Within the weights: the header is whole.
  expect_corrupt(head(), kModelBytes / 2, "");
  expect_corrupt(head(), kModelBytes - 1, "");
}

TEST(LlamaCorruptDeathTest, AbsurdCounts) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  constexpr std::size_t kVersionAt = 4;
  constexpr std::size_t kTensorsAt = 8;
  constexpr std::size_t kKeysAt = 16;
  constexpr std::size_t kFirstKeyLengthAt = 24;
  expect_corrupt(with<std::uint32_t>(head(), kVersionAt, 99), kModelBytes, "");
  for (const std::uint64_t absurd : {std::uint64_t{1} << 31, std::uint64_t{1} << 40,
                                     ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
    expect_corrupt(with(head(), kTensorsAt, absurd), kModelBytes, "");
    expect_corrupt(with(head(), kKeysAt, absurd), kModelBytes, "");
    expect_corrupt(with(head(), kFirstKeyLengthAt, absurd), kModelBytes, "");
  }
  expect_corrupt(with(head(), kTensorsAt, std::uint64_t{0}), kModelBytes, "");
}

// Sets a 32-bit value of the header.
std::string with_key(const std::string& key, std::uint32_t value) {
  const std::size_t at = head().find(key);
  EXPECT_NE(at, std::string::npos);
  return with(head(), at + key.size() + sizeof(std::uint32_t), value);  // after its type
}

TEST(LlamaCorruptDeathTest, AbsurdParameters) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  for (const char* key : {"llama.block_count", "llama.embedding_length",
                          "llama.attention.head_count", "llama.feed_forward_length"}) {
    for (const std::uint32_t value : {0u, 1u, 7u, 100'000u, 0xFFFFFFFFu}) {
      const TemporaryFile file(with_key(key, value), kModelBytes);
      // An abort is contained; opening it would not be.
      EXPECT_EXIT(
          open_and_exit(file.fd()),
          [&](int status) {
            const bool died = testing::KilledBySignal(SIGABRT)(status) ||
                              testing::KilledBySignal(SIGFPE)(status) ||
                              testing::KilledBySignal(SIGSEGV)(status);
            if (died) std::printf("%s = %u ends the process\n", key, value);
            return died || testing::ExitedWithCode(kCorrupt)(status) ||
                   testing::ExitedWithCode(kUnsupported)(status) ||
                   testing::ExitedWithCode(kOtherError)(status);
          },
          "")
          << key << " = " << value;
    }
  }
}

TEST(LlamaCorruptDeathTest, UnknownArchitectureIsUnsupported) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const std::string key = "general.architecture";
  const std::size_t at = head().find(key) + key.size() + 4 + 8;
  ASSERT_EQ(head().substr(at, 5), "llama");
  std::string bytes = head();
  bytes.replace(at, 5, "llamo");
  const TemporaryFile file(bytes, kModelBytes);
  EXPECT_EXIT(open_and_exit(file.fd()), testing::ExitedWithCode(kUnsupported),
              "unknown model architecture");
}

TEST(LlamaCorruptDeathTest, FlippedBytesOfTheHeader) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const int rounds = os::environment("AIOSS_LONG") ? 400 : 16;
  int errors = 0;
  int opened = 0;
  int died = 0;
  std::uint64_t state = 1;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = head();
    for (int i = 0; i < 4; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      // Mostly among the first keys, where structure is; vocabulary text is most of the rest.
      const std::size_t range = i % 2 == 0 ? 1500 : 1'500'000;
      bytes[(state >> 20) % range] ^= static_cast<char>(1u << ((state >> 60) & 7));
    }
    const TemporaryFile file(bytes, kModelBytes);
    EXPECT_EXIT(
        open_and_exit(file.fd()),
        [&](int status) {
          if (testing::ExitedWithCode(kOpened)(status)) return ++opened > 0;
          const bool signaled = testing::KilledBySignal(SIGABRT)(status) ||
                                testing::KilledBySignal(SIGSEGV)(status) ||
                                testing::KilledBySignal(SIGFPE)(status);
          return (signaled ? ++died : ++errors) > 0;
        },
        "");
  }
  std::printf("%d errors, %d opened, %d ended the process\n", errors, opened, died);
  EXPECT_GT(errors, 0);
}

}  // namespace
}  // namespace aioss::engines::llama
