#include "ledger/evidence/bundle.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "codec/json.h"
#include "ledger/evidence/manifest.h"
#include "ledger/evidence/tar.h"
#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

using test::kDirectory;
using test::SmallLedger;

constexpr const char* kPath = "out.aioss";

Result<Exported> export_to(os::FileSystem& fs, std::uint64_t first = 0,
                           std::optional<std::uint64_t> after = {}) {
  ExportOptions options;
  options.directory = kDirectory;
  options.path = kPath;
  options.first = first;
  options.after = after;
  return export_bundle(fs, options);
}

DocumentReport judge(test::MemoryFileSystem& fs, const SmallLedger& small) {
  return judge_bundle(fs, kPath, *parse_verifier_key(small.verifier_key));
}

std::vector<TarEntry> entries_of(test::MemoryFileSystem& fs) {
  const auto file = fs.open(kPath, os::OpenMode::kRead);
  auto entries = read_tar(**file, 64);
  EXPECT_TRUE(entries.has_value());
  return *entries;
}

TEST(Bundle, EveryRangeVerifiesAlone) {
  const SmallLedger small = test::make_small_ledger(true);
  std::uint64_t bundles = 0;
  for (std::uint64_t first = 0; first < small.records; first += 1 + first / 4) {
    for (std::uint64_t after = first + 1; after <= small.records; after += 3) {
      auto fs = small.fs->copy();
      const auto exported = export_to(*fs, first, after);
      ASSERT_TRUE(exported.has_value()) << exported.error().message;
      EXPECT_EQ(exported->size, small.records);
      EXPECT_EQ(exported->bytes, fs->content(kPath).size());
      for (const std::string& path : test::segment_paths(*fs)) {
        ASSERT_TRUE(fs->remove(path).has_value());
      }
      const DocumentReport report = judge(*fs, small);
      ASSERT_EQ(report.verdict, Verdict::kOk) << first << " to " << after << report.finding;
      EXPECT_EQ(judge_bundle(*fs, kPath, std::nullopt).verdict, Verdict::kUnknown);
      ++bundles;
    }
  }
  std::printf("bundle: %llu ranges\n", static_cast<unsigned long long>(bundles));
}

TEST(Bundle, RefusesWhatTheCheckpointDoesNotCover) {
  const SmallLedger small = test::make_small_ledger(true);
  EXPECT_EQ(export_to(*small.fs, 0, small.records + 1).error().code, Code::kInvalidArgument);
  EXPECT_EQ(export_to(*small.fs, 3, 3).error().code, Code::kInvalidArgument);
  EXPECT_FALSE(small.fs->has(kPath));
  ASSERT_TRUE(export_to(*small.fs).has_value());
  EXPECT_FALSE(export_to(*small.fs).has_value());  // there is one already
  EXPECT_TRUE(small.fs->has(kPath));
}

// Those of which a retention drop left the leaf alone.
std::vector<bool> pruned_records(test::MemoryFileSystem& fs, std::uint64_t count) {
  std::vector<bool> pruned(count, true);
  EXPECT_TRUE(read_records(fs, kDirectory, 0, [&](const Record& record) {
                pruned[record.index] = false;
                return true;
              }).has_value());
  return pruned;
}

TEST(Bundle, NeedsEveryRecordOfItsRange) {
  const SmallLedger small = test::make_small_ledger(true);
  test::prune_by_hand(*small.fs, 0);
  const std::vector<bool> pruned = pruned_records(*small.fs, small.records);
  ASSERT_TRUE(pruned[2]);
  std::uint64_t refused = 0, exported = 0;
  for (std::uint64_t first = 0; first < small.records; ++first) {
    for (std::uint64_t after = first + 1; after <= small.records; ++after) {
      const auto end = pruned.begin() + static_cast<std::ptrdiff_t>(after);
      const auto gone = std::find(pruned.begin() + static_cast<std::ptrdiff_t>(first), end, true);
      auto fs = small.fs->copy();
      const auto bundle = export_to(*fs, first, after);
      ASSERT_EQ(bundle.has_value(), gone == end) << first << " to " << after;
      if (bundle) {
        // Its first chain value may be that of a record of which only the leaf is left.
        ASSERT_EQ(judge(*fs, small).verdict, Verdict::kOk) << first << " to " << after;
        ++exported;
        continue;
      }
      EXPECT_EQ(bundle.error().code, Code::kNotFound);
      const std::string named = "record " + std::to_string(gone - pruned.begin()) + " ";
      EXPECT_NE(bundle.error().message.find(named), std::string::npos) << bundle.error().message;
      EXPECT_FALSE(fs->has(kPath));
      ++refused;
    }
  }
  EXPECT_GT(exported, 10U);
  EXPECT_GT(refused, 10U);
}

TEST(Bundle, ARefusalSaysWhatCanBeExported) {
  const SmallLedger small = test::make_small_ledger(true);
  test::prune_by_hand(*small.fs, 0);
  const std::vector<bool> pruned = pruned_records(*small.fs, small.records);
  const auto last = std::find(pruned.rbegin(), pruned.rend(), true);
  const auto whole = static_cast<std::uint64_t>(pruned.rend() - last);
  const auto says = [&](std::uint64_t first, std::uint64_t after, const std::string& words) {
    const auto bundle = export_to(*small.fs, first, after);
    return !bundle && bundle.error().message.find(words) != std::string::npos;
  };
  EXPECT_TRUE(says(0, small.records, "--first " + std::to_string(whole)));
  EXPECT_TRUE(says(0, whole, "--after 2"));
  EXPECT_TRUE(says(2, whole, "'aioss ledger prove'"));
  EXPECT_TRUE(export_to(*small.fs, whole).has_value());
}

TEST(Bundle, ADamagedLedgerIsNotExported) {
  const SmallLedger small = test::make_small_ledger(true);
  small.fs->content(test::segment_paths(*small.fs)[1])[300] ^= 1;
  EXPECT_EQ(export_to(*small.fs).error().code, Code::kCorrupt);
  EXPECT_FALSE(small.fs->has(kPath));
}

// Every byte: headers, manifest, frames, tables, README. Only what no rule can bind may pass: other
// spellings of the manifest's JSON, of which flipping one bit of white space is none.
TEST(Bundle, EveryBitFlippedIsNoticed) {
  const SmallLedger small = test::make_small_ledger(true);
  ASSERT_TRUE(export_to(*small.fs, 2, small.records - 1).has_value());
  const Bytes good = small.fs->content(kPath);
  std::uint64_t flips = 0;
  const std::size_t step = test::long_form() ? 1 : 7;
  for (std::size_t at = 0; at < good.size(); at += step) {
    for (std::size_t bit = at % 3; bit < 8; bit += test::long_form() ? 1 : 3) {
      small.fs->content(kPath)[at] ^= static_cast<std::uint8_t>(1U << bit);
      const DocumentReport report = judge(*small.fs, small);
      EXPECT_NE(report.verdict, Verdict::kOk) << "byte " << at << " bit " << bit;
      ++flips;
      small.fs->content(kPath)[at] = good[at];
    }
  }
  std::printf("bundle: %llu flips, none accepted\n", static_cast<unsigned long long>(flips));
  EXPECT_EQ(judge(*small.fs, small).verdict, Verdict::kOk);
}

// A file of the bundle replaced, and every hash and length in the manifest made right again.
void replace_file(test::MemoryFileSystem& fs, std::string_view name, const Bytes& content) {
  Bytes& tar = fs.content(kPath);
  const std::vector<TarEntry> old = entries_of(fs);
  std::vector<Bytes> contents;
  for (const TarEntry& entry : old) {
    const auto from = tar.begin() + static_cast<std::ptrdiff_t>(entry.offset);
    contents.emplace_back(from, from + static_cast<std::ptrdiff_t>(entry.bytes));
    if (entry.name == name) contents.back() = content;
  }
  Manifest manifest = *parse_manifest(as_text(contents[0]));
  std::vector<std::pair<std::string, std::uint64_t>> files;
  for (std::size_t i = 1; i < old.size(); ++i) {
    manifest.files[old[i].name] = crypto::sha3_256(contents[i]);
    if (old[i].name == bundle_file::kFrames) manifest.frame_bytes = contents[i].size();
  }
  const std::string text = write_manifest(manifest);
  contents[0].assign(text.begin(), text.end());
  for (std::size_t i = 0; i < old.size(); ++i) files.emplace_back(old[i].name, contents[i].size());
  const TarLayout layout = lay_out(files);
  tar.assign(static_cast<std::size_t>(layout.bytes), 0);
  for (std::size_t i = 0; i < old.size(); ++i) {
    const TarBlock header = tar_header(files[i].first, files[i].second);
    const auto offset = static_cast<std::ptrdiff_t>(layout.entries[i].offset);
    std::copy(header.begin(), header.end(), tar.begin() + offset - 512);
    std::copy(contents[i].begin(), contents[i].end(), tar.begin() + offset);
  }
}

Bytes content_of(test::MemoryFileSystem& fs, std::string_view name) {
  for (const TarEntry& entry : entries_of(fs)) {
    if (entry.name != name) continue;
    const auto from = fs.content(kPath).begin() + static_cast<std::ptrdiff_t>(entry.offset);
    return {from, from + static_cast<std::ptrdiff_t>(entry.bytes)};
  }
  return {};
}

TEST(Bundle, TablesAndFramesThatWereRewrittenAreRefused) {
  const SmallLedger small = test::make_small_ledger(true);
  ASSERT_TRUE(export_to(*small.fs).has_value());
  for (const std::string_view name :
       {bundle_file::kJsonLines, bundle_file::kCsv, bundle_file::kReadme, bundle_file::kFrames}) {
    auto fs = small.fs->copy();
    const Bytes good = content_of(*fs, name);
    replace_file(*fs, name, good);
    ASSERT_EQ(judge(*fs, small).verdict, Verdict::kOk) << name;
    Bytes bad = good;
    bad.push_back('\n');
    replace_file(*fs, name, bad);
    EXPECT_EQ(judge(*fs, small).verdict, Verdict::kTampered) << name;
    bad = good;
    bad.erase(bad.end() - 8, bad.end());
    replace_file(*fs, name, bad);
    EXPECT_EQ(judge(*fs, small).verdict, Verdict::kTampered) << name;
    bad = good;
    bad[bad.size() / 2] ^= 1;
    replace_file(*fs, name, bad);
    EXPECT_EQ(judge(*fs, small).verdict, Verdict::kTampered) << name;
  }
  // A record taken out, the frames behind it chained anew: only the tree knows.
  auto fs = small.fs->copy();
  const Bytes frames = content_of(*fs, bundle_file::kFrames);
  Bytes fewer;
  std::size_t offset = 0;
  for (std::uint64_t i = 0; offset < frames.size(); ++i) {
    const std::size_t bytes = parse_frame(ByteView(frames).subspan(offset)).frame.bytes;
    if (i != 4)
      fewer.insert(fewer.end(), frames.begin() + static_cast<std::ptrdiff_t>(offset),
                   frames.begin() + static_cast<std::ptrdiff_t>(offset + bytes));
    offset += bytes;
  }
  replace_file(*fs, bundle_file::kFrames, fewer);
  EXPECT_EQ(judge(*fs, small).verdict, Verdict::kTampered);
}

TEST(Bundle, CosignedNotesComeAlongAndMustAgree) {
  const SmallLedger small = test::make_small_ledger(true);
  const auto put = [&](const std::string& name, const std::string& text) {
    const auto file = small.fs->open("ledger/anchors/" + name, os::OpenMode::kReadWriteCreate);
    ASSERT_TRUE((*file)->write_at(0, as_bytes(text)).has_value());
  };
  const std::string own(as_text(small.fs->content("ledger/checkpoint")));
  put("7-Witness.note", own + "\xE2\x80\x94 witness.example AAAA\n");
  put("8-noise.note", "noise");
  ASSERT_TRUE(export_to(*small.fs).has_value());
  DocumentReport report = judge(*small.fs, small);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.facts["cosigned"], 1);
  // The same key under another history.
  const auto key = *crypto::SigningKey::load(*small.fs, "ledger/keys/signing.key");
  put("9-fork.note", *sign_checkpoint({test::kOrigin, 5, Digest{}}, *key));
  ASSERT_TRUE(small.fs->remove(kPath).has_value());
  ASSERT_TRUE(export_to(*small.fs).has_value());
  report = judge(*small.fs, small);
  EXPECT_EQ(report.verdict, Verdict::kFork) << report.finding;
}

TEST(Bundle, WhatALaterRenderingWroteIsNotJudged) {
  const SmallLedger small = test::make_small_ledger(true);
  ASSERT_TRUE(export_to(*small.fs).has_value());
  Bytes& tar = small.fs->content(kPath);
  const std::string manifest(as_text(content_of(*small.fs, kManifestFile)));
  const std::string member = "\"rendering\":1";
  const std::size_t at = manifest.find(member);
  ASSERT_NE(at, std::string::npos);
  tar[kTarBlockBytes + at + member.size() - 1] = '2';
  EXPECT_EQ(judge(*small.fs, small).verdict, Verdict::kUnknown);
}

}  // namespace
}  // namespace aioss::ledger
