#include "ledger/evidence/tar.h"

#include <gtest/gtest.h>

#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

// Two files as the writer would lay them out.
Bytes small_tar() {
  const std::string first = "twelve bytes";
  const TarLayout layout = lay_out({{"manifest.json", first.size()}, {"cosigned/3-w", 512}});
  Bytes out(static_cast<std::size_t>(layout.bytes));
  for (const TarEntry& entry : layout.entries) {
    const TarBlock header = tar_header(entry.name, entry.bytes);
    std::copy(header.begin(), header.end(),
              out.begin() + static_cast<std::ptrdiff_t>(entry.offset - kTarBlockBytes));
  }
  std::copy(first.begin(), first.end(), out.begin() + kTarBlockBytes);
  std::fill_n(out.begin() + 3 * kTarBlockBytes, 512, std::uint8_t{7});
  return out;
}

Result<std::vector<TarEntry>> read(const Bytes& bytes, std::size_t entries_max = 8) {
  test::MemoryFileSystem fs;
  AIOSS_TRY(const auto file, fs.open("x.aioss", os::OpenMode::kReadWriteCreate));
  AIOSS_TRY(const std::size_t written, file->write_at(0, bytes));
  EXPECT_EQ(written, bytes.size());
  return read_tar(*file, entries_max);
}

TEST(Tar, ComesBackAsItWasLaidOut) {
  const Bytes bytes = small_tar();
  EXPECT_TRUE(looks_like_tar(bytes));
  const auto entries = read(bytes);
  ASSERT_TRUE(entries.has_value()) << entries.error().message;
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ((*entries)[0].name, "manifest.json");
  EXPECT_EQ((*entries)[0].offset, 512U);
  EXPECT_EQ((*entries)[0].bytes, 12U);
  EXPECT_EQ((*entries)[1].name, "cosigned/3-w");
  EXPECT_EQ((*entries)[1].offset, 1'536U);
  EXPECT_EQ(bytes.size(), 3'072U);
}

// As GNU tar writes it: `tar --format=ustar --mode=0444 --owner=0 --group=0 --mtime=@0` of a file
// "a" with two bytes, but for the names of owner and group, which are absent here.
TEST(Tar, HeaderIsUstar) {
  const TarBlock block = tar_header("a", 2);
  const std::string_view text = as_text(block);
  EXPECT_EQ(text.substr(0, 2), std::string_view("a\0", 2));
  EXPECT_EQ(text.substr(100, 8), std::string_view("0000444\0", 8));
  EXPECT_EQ(text.substr(124, 12), std::string_view("00000000002\0", 12));
  EXPECT_EQ(text.substr(136, 12), std::string_view("00000000000\0", 12));
  EXPECT_EQ(text.substr(148, 8), std::string_view("006076\0 ", 8));
  EXPECT_EQ(text.substr(156, 1), "0");
  EXPECT_EQ(text.substr(257, 8), std::string_view("ustar\00000", 8));
}

// One content has one file: whatever bit of headers, padding or end is another, it is refused.
TEST(Tar, EveryBitOutsideTheContentsIsChecked) {
  const Bytes good = small_tar();
  std::uint64_t flips = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    const bool content = (at >= 512 && at < 524) || (at >= 1'536 && at < 2'048);
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes bad = good;
      bad[at] ^= static_cast<std::uint8_t>(1U << bit);
      const auto entries = read(bad);
      if (content) {
        EXPECT_TRUE(entries.has_value());
        break;
      }
      // Another good name has another checksum, so no single bit makes one.
      ASSERT_FALSE(entries.has_value()) << "byte " << at << " bit " << bit;
      ++flips;
    }
  }
  std::printf("tar: %llu flips refused\n", static_cast<unsigned long long>(flips));
}

TEST(Tar, CutsAndSurplusAreRefused) {
  const Bytes good = small_tar();
  for (std::size_t size = 0; size < good.size(); ++size) {
    ASSERT_FALSE(read(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))))
        << size;
  }
  Bytes longer = good;
  longer.resize(good.size() + 512);
  EXPECT_FALSE(read(longer).has_value());
  EXPECT_FALSE(read(good, 1).has_value());
}

TEST(Tar, NamesThatLeaveTheFolderAreRefused) {
  for (const std::string name : {"/etc/passwd", "../x", "a/../../b", "a+b", "a b"}) {
    Bytes bad = small_tar();
    TarBlock header = tar_header(std::string(name.size(), 'a'), 12);
    std::copy(name.begin(), name.end(), header.begin());
    std::uint64_t sum = 0;
    std::fill_n(header.begin() + 148, 8, std::uint8_t{' '});
    for (const std::uint8_t byte : header) sum += byte;
    char digits[8];
    std::snprintf(digits, sizeof digits, "%06llo", static_cast<unsigned long long>(sum));
    std::copy_n(digits, 7, header.begin() + 148);
    std::copy(header.begin(), header.end(), bad.begin());
    EXPECT_FALSE(read(bad).has_value()) << name;
  }
}

}  // namespace
}  // namespace aioss::ledger
