#include "worker/gguf.h"

#include <gtest/gtest.h>

#include <random>

#include "worker/gguf_builder.h"

namespace aioss::worker::gguf {
namespace {

Result<Header> read(const Builder& builder) {
  const os::Fd fd = builder.file();
  return read_header(fd.get());
}

void expect_refused(const Builder& builder, std::string_view part,
                    Code code = Code::kModelCorrupt) {
  const Result<Header> header = read(builder);
  ASSERT_FALSE(header) << part;
  EXPECT_EQ(header.error().code, code);
  EXPECT_NE(header.error().message.find(part), std::string::npos) << header.error().message;
  EXPECT_EQ(header.error().message.find('\n'), std::string::npos);
}

TEST(Gguf, AGoodFileIsRead) {
  for (const std::uint32_t version : {2U, 3U}) {
    Builder b = small_model();
    b.bytes[4] = static_cast<char>(version);
    const Result<Header> header = read(b);
    ASSERT_TRUE(header) << header.error().message;
    EXPECT_EQ(header->version, version);
    EXPECT_EQ(header->metadata.size(), 13U);
    EXPECT_EQ(*header->text("general.architecture"), "llama");
    EXPECT_EQ(header->number("llama.context_length"), 2048U);
    EXPECT_EQ(header->number("general.name"), std::nullopt);
    EXPECT_EQ(header->text("nothing"), nullptr);
    EXPECT_EQ(header->alignment, 64U);
    ASSERT_EQ(header->tensors.size(), 3U);
    EXPECT_EQ(header->tensors[1].name, "blk.0.weight");
    EXPECT_EQ(header->tensors[1].type->name, "Q4_K");
    EXPECT_EQ(header->tensors[1].bytes, 288U);
    EXPECT_EQ(header->parameter_count(), 64U * 3 + 512 + 64);
    EXPECT_EQ(header->data_offset % 64, 0U);
    EXPECT_EQ(header->file_bytes, b.bytes.size());
    const auto& tokens = std::get<ArrayShape>(header->metadata.at("tokenizer.ggml.tokens"));
    EXPECT_EQ(tokens.count, 3U);
  }
}

TEST(Gguf, WhatIsNoGgufIsSaidSo) {
  Builder b;
  expect_refused(b, "not a GGUF file");
  b.bytes = "GG";
  expect_refused(b, "not a GGUF file");
  b.bytes = "PK\x03\x04 something else entirely";
  expect_refused(b, "not a GGUF file");
  int pipes[2];
  ASSERT_EQ(::pipe(pipes), 0);
  EXPECT_FALSE(read_header(pipes[0]));
  ::close(pipes[0]);
  ::close(pipes[1]);
}

TEST(Gguf, OtherVersionsAreNamed) {
  for (const std::uint32_t version : {0U, 1U, 4U, 99U}) {
    Builder b;
    b.start(0, 0, version);
    EXPECT_FALSE(read(b)) << version;
  }
  Builder old;
  expect_refused(old.start(0, 0, 1), "version 1");
  Builder big_endian;
  expect_refused(big_endian.start(0, 0, 3U << 24), "big-endian");
}

TEST(Gguf, EveryTruncationIsRefused) {
  const Builder whole = small_model();
  for (std::size_t size = 0; size < whole.bytes.size(); ++size) {
    Builder b;
    b.bytes = whole.bytes.substr(0, size);
    const Result<Header> header = read(b);
    ASSERT_FALSE(header) << size;
    const std::string_view reason = size < 4 ? "not a GGUF" : "truncated";
    EXPECT_NE(header.error().message.find(reason), std::string::npos) << size;
  }
}

TEST(Gguf, ATruncatedFileSaysHowMuchIsMissing) {
  Builder b = small_model();
  const std::size_t whole = b.bytes.size();
  b.bytes.resize(whole - 1);
  expect_refused(
      b, "needs " + std::to_string(whole) + " bytes, the file has " + std::to_string(whole - 1));
}

TEST(Gguf, AbsurdCountsAreRefusedBeforeMemoryIsSpent) {
  Builder b;
  expect_refused(b.start(1ULL << 60, 0), "1152921504606846976 tensors");
  b = {};
  expect_refused(b.start(0, ~0ULL), "metadata entries");
  b = {};
  expect_refused(b.start(0, 1).number<std::uint64_t>(~0ULL), "metadata key");
  b = {};
  expect_refused(b.start(0, 1).text("k").number<std::uint32_t>(8).number<std::uint64_t>(1ULL << 40),
                 "claims");
  b = {};
  expect_refused(b.start(0, 1)
                     .text("k")
                     .number<std::uint32_t>(9)
                     .number<std::uint32_t>(10)
                     .number<std::uint64_t>(1ULL << 62),
                 "elements");
  b = {};
  expect_refused(b.start(0, 1)
                     .text("k")
                     .number<std::uint32_t>(9)
                     .number<std::uint32_t>(10)
                     .number<std::uint64_t>(1000),
                 "truncated");
}

// Without room for so many texts, none of them is looked at.
TEST(Gguf, AnArrayLongerThanTheFileIsRefusedAtOnce) {
  const auto claim = [](std::uint32_t type, std::uint64_t count) {
    Builder b;
    b.start(0, 1).text("k").number<std::uint32_t>(9).number(type).number(count);
    return b;
  };
  const std::uint64_t begin = claim(8, 0).bytes.size();
  const auto needs = [&](std::uint64_t bytes) {
    return "needs at least " + std::to_string(begin + bytes) + " bytes";
  };
  expect_refused(claim(8, 1'000'000).text("first").text("second"), needs(8'000'000));
  expect_refused(claim(9, 1'000'000).number(4U).number<std::uint64_t>(0), needs(12'000'000));
}

// 64 texts of 16 MiB in a file of holes. After the one that crosses the bound comes nonsense, which
// is never reached.
TEST(Gguf, TheMetadatasBoundHoldsInsideAnArray) {
  Builder b;
  b.start(0, 1).text("k").number<std::uint32_t>(9).number<std::uint32_t>(8);
  const os::Fd file = b.number<std::uint64_t>(64).file();
  ASSERT_EQ(::ftruncate(file.get(), 1LL << 30), 0);
  std::uint64_t at = b.bytes.size();
  while (at <= kMetadataBytesMax) {
    ASSERT_EQ(::pwrite(file.get(), &kStringBytesMax, 8, static_cast<off_t>(at)), 8);
    at += 8 + kStringBytesMax;
  }
  const std::uint64_t nonsense = ~0ULL;
  ASSERT_EQ(::pwrite(file.get(), &nonsense, 8, static_cast<off_t>(at)), 8);
  const Result<Header> header = read_header(file.get());
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().message,
            "the metadata is larger than " + std::to_string(kMetadataBytesMax) + " bytes");
}

TEST(Gguf, NamesInMessagesAreOneShortLine) {
  Builder b;
  expect_refused(b.start(0, 2).entry("a\n\xFF", 1U).entry("a\n\xFF", 2U), "appears twice");
  b = {};
  const std::string endless(60'000, 'x');
  const Result<Header> header = read(b.start(0, 2).entry(endless, 1U).entry(endless, 2U));
  ASSERT_FALSE(header);
  EXPECT_LT(header.error().message.size(), 120U);
}

TEST(Gguf, BadMetadataIsRefused) {
  Builder b;
  expect_refused(b.start(0, 2).entry("k", 1U).entry("k", 2U), "appears twice");
  b = {};
  expect_refused(b.start(0, 1).entry("", 1U), "empty");
  b = {};
  expect_refused(b.start(0, 1).text("k").number<std::uint32_t>(13), "unknown type 13");
  b = {};
  expect_refused(b.start(0, 1).text("k").number<std::uint32_t>(7).number<std::uint8_t>(2),
                 "boolean");
  b = {};
  b.start(0, 1).text("k").number<std::uint32_t>(9);
  for (int i = 0; i < 5; ++i) b.number<std::uint32_t>(9).number<std::uint64_t>(1);
  expect_refused(b, "nested");
  for (const std::uint32_t alignment : {0U, 3U, 48U, 1U << 21}) {
    b = {};
    expect_refused(b.start(0, 1).entry("general.alignment", alignment), "power of two");
  }
  b = {};
  expect_refused(b.start(0, 1).entry("general.alignment", "32"), "power of two");
}

Builder one_tensor(std::string_view name, std::vector<std::uint64_t> dimensions, std::uint32_t type,
                   std::uint64_t offset) {
  Builder b;
  b.start(1, 0).tensor(name, std::move(dimensions), type, offset);
  return b.align(32).data(4096);
}

TEST(Gguf, BadTensorsAreRefused) {
  EXPECT_TRUE(read(one_tensor("t", {32, 4}, 2, 0)));
  expect_refused(one_tensor("t", {256}, 139, 0), "only ik_llama.cpp knows",  // its IQ4_K
                 Code::kUnsupported);
  expect_refused(one_tensor("t", {256}, 77, 0), "which this version does not know");
  expect_refused(one_tensor("", {32}, 0, 0), "no name");
  expect_refused(one_tensor(std::string(65, 'x'), {32}, 0, 0), "name");
  expect_refused(one_tensor("t", {}, 0, 0), "0 dimensions");
  expect_refused(one_tensor("t", {1, 1, 1, 1, 1}, 0, 0), "5 dimensions");
  expect_refused(one_tensor("t", {0}, 0, 0), "impossible size");
  expect_refused(one_tensor("t", {1ULL << 32, 1ULL << 32}, 0, 0), "impossible size");
  expect_refused(one_tensor("t", {1ULL << 58}, 0, 0), "truncated");
  expect_refused(one_tensor("t", {32}, 4, 0), "type 4");
  expect_refused(one_tensor("t", {32}, 43, 0), "type 43");
  expect_refused(one_tensor("t", {33}, 2, 0), "multiple");
  expect_refused(one_tensor("t", {32}, 0, 1), "aligned");
  expect_refused(one_tensor("t", {32}, 0, 4096), "truncated");
  expect_refused(one_tensor("t", {32}, 0, ~31ULL), "truncated");
}

TEST(Gguf, TensorsMustNotShareNamesOrBytes) {
  Builder b;
  b.start(2, 0).tensor("a", {32}, 0, 0).tensor("a", {32}, 0, 128);
  expect_refused(b.align(32).data(4096), "appears twice");
  b = {};
  b.start(2, 0).tensor("a", {32}, 0, 64).tensor("b", {32}, 0, 0);
  expect_refused(b.align(32).data(4096), "overlaps");
  b = {};
  b.start(2, 0).tensor("a", {32}, 0, 128).tensor("b", {32}, 0, 0);
  EXPECT_TRUE(read(b.align(32).data(4096))) << "any order is right";
}

TEST(Gguf, SplitFilesMustBelongTogether) {
  const auto part = [](std::uint32_t number, std::uint32_t count) {
    Builder b;
    b.start(0, 2).entry("split.no", number).entry("split.count", count);
    return b.file();
  };
  const os::Fd first = part(0, 2);
  const os::Fd second = part(1, 2);
  EXPECT_TRUE(read_headers({first.get(), second.get()}));
  const auto why = [](const std::vector<int>& fds) {
    const auto read = read_headers(fds);
    return read ? std::string() : read.error().message;
  };
  EXPECT_NE(why({second.get(), first.get()}).find("wrong order"), std::string::npos);
  EXPECT_NE(why({first.get()}).find("all parts of one model are needed"), std::string::npos);
  EXPECT_NE(why({first.get(), first.get()}).find("wrong order"), std::string::npos);
  EXPECT_FALSE(read_headers({}));
}

TEST(Gguf, PartsOfDifferentModelsAreRefused) {
  const auto part = [](std::uint32_t number, std::string_view tensor, std::uint32_t tensors,
                       std::string_view architecture = "llama") {
    Builder b;
    b.start(1, 4).entry("split.no", number).entry("split.count", 2U);
    b.entry("split.tensors.count", tensors).entry("general.architecture", architecture);
    b.tensor(tensor, {32}, 0, 0);
    return b.align(32).data(128).file();
  };
  const os::Fd first = part(0, "a.weight", 2);
  const auto why = [&](const os::Fd& second) {
    const auto read = read_headers({first.get(), second.get()});
    return read ? std::string() : read.error().message;
  };
  EXPECT_EQ(why(part(1, "b.weight", 2)), "");
  EXPECT_NE(why(part(1, "a.weight", 2)).find("is in two parts"), std::string::npos);
  EXPECT_NE(why(part(1, "b.weight", 3)).find("another model"), std::string::npos);
  EXPECT_NE(why(part(1, "b.weight", 2, "gemma3")).find("another model"), std::string::npos);
  const os::Fd three = part(0, "a.weight", 3);
  const os::Fd last = part(1, "b.weight", 3);
  const auto read = read_headers({three.get(), last.get()});
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("should hold 3"), std::string::npos);
}

// Every byte of the header, and random damage: refused, or read within bounds.
TEST(Gguf, MutatedFilesNeverCrash) {
  constexpr std::uint32_t kSeed = 4711;
  std::mt19937 random(kSeed);
  const Builder whole = small_model();
  std::size_t accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    Builder b = whole;
    for (auto n = random() % 3 + 1; n > 0; --n) {
      const std::size_t at = random() % (whole.bytes.size() - 900);
      b.bytes[at] = static_cast<char>(random() % 4 == 0 ? 0xFF : random());
    }
    const Result<Header> header = read(b);
    if (!header) continue;
    ++accepted;
    for (const Tensor& tensor : header->tensors) {
      ASSERT_LE(header->data_offset + tensor.offset + tensor.bytes, b.bytes.size())
          << "seed " << kSeed << ", round " << i;
    }
  }
  EXPECT_GT(accepted, 0U);
}

// Reads, or says why not in one line, and asks for no more memory than the file can fill.
void expect_sane(const Builder& builder, const std::string& where) {
  const os::Fd fd = builder.file();
  largest_allocation() = 0;
  const Result<Header> header = read_header(fd.get());
  EXPECT_LE(largest_allocation(), 4096 + 8 * builder.bytes.size()) << where;
  if (header) return;
  EXPECT_TRUE(header.error().code == Code::kModelCorrupt ||
              header.error().code == Code::kUnsupported)
      << where;
  EXPECT_GT(header.error().message.size(), 10U) << where;
  EXPECT_EQ(header.error().message.find_first_of("\n\r\x1B"), std::string::npos) << where;
}

TEST(Gguf, EveryDamagedByteIsReadOrRefusedWithinBounds) {
  constexpr std::uint32_t kSeed = 20261122;
  std::mt19937 random(kSeed);
  const Builder whole = small_model();
  const Result<Header> header = read(whole);
  ASSERT_TRUE(header);
  for (std::size_t at = 0; at < header->data_offset; ++at) {
    const auto was = static_cast<unsigned char>(whole.bytes[at]);
    const auto any = static_cast<unsigned>(random() & 0xFF);
    for (const unsigned value : {0U, 1U, 0x0AU, 0x7FU, 0x80U, 0xFFU, was ^ 1U, any}) {
      Builder b = whole;
      b.bytes[at] = static_cast<char>(value);
      expect_sane(b, "byte " + std::to_string(at) + " is " + std::to_string(value));
    }
  }
}

TEST(Gguf, EveryTruncationIsRefusedWithinBounds) {
  const Builder whole = small_model();
  for (std::size_t size = 0; size < whole.bytes.size(); ++size) {
    Builder b;
    b.bytes = whole.bytes.substr(0, size);
    expect_sane(b, "cut to " + std::to_string(size));
  }
}

TEST(Gguf, BlockSizesOfTheTypesThatMatter) {
  EXPECT_EQ(tensor_type(0)->name, "F32");
  EXPECT_EQ(tensor_type(3)->block_bytes, 20U);    // Q4_1
  EXPECT_EQ(tensor_type(14)->block_bytes, 210U);  // Q6_K
  EXPECT_EQ(tensor_type(39)->block_bytes, 17U);   // MXFP4
  EXPECT_EQ(tensor_type(5), nullptr);
  EXPECT_EQ(tensor_type(~0U), nullptr);
}

}  // namespace
}  // namespace aioss::worker::gguf
