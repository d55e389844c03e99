// That frames are taken many at a time must not show: everything that a walk says is what one says
// that takes them one by one.
#include "ledger/reading/walk.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>

#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

using test::MemoryFileSystem;

std::string text_of(const SegmentState& segment, std::string text) {
  const auto put = [&text](auto number) { text += ' ' + std::to_string(number); };
  text += segment.file;
  put(segment.header.segment_number);
  put(segment.records);
  put(segment.bytes);
  put(segment.sealed);
  put(segment.last_group.offset);
  put(segment.last_group.index);
  text += as_text(segment.last_group.chain_before);
  return text;
}

// All that a walk tells, and all that its visitor saw.
std::string story(MemoryFileSystem& fs, WalkOptions options, std::size_t frames_at_once,
                  std::uint64_t stop_after) {
  std::string text;
  const auto put = [&text](auto number) { text += ' ' + std::to_string(number); };
  options.frames_at_once = frames_at_once;
  options.visit = [&](const Record& record) {
    put(record.index);
    put(static_cast<unsigned>(record.type));
    put(record.flags);
    text += as_text(record.leaf);
    text += as_text(record.chain);
    text += as_text(codec::encode(record.body));
    return record.index < stop_after;
  };
  const auto walked = walk(fs, options);
  if (!walked) return walked.error().message;
  const WalkState& state = walked->state;
  for (const auto number :
       {state.next_index, state.segments, state.bytes, state.tree.size(), state.untracked_requests,
        walked->offset, walked->tail_bytes, state.first_unknown_type.value_or(~0ULL)}) {
    put(number);
  }
  for (const std::uint64_t request : state.open_requests) put(request);
  put(state.first_wall_ns);
  put(state.last_wall_ns);
  put(static_cast<int>(walked->damage));
  put(walked->stopped);
  text += walked->problem + walked->file + state.origin.value_or("no origin");
  text += as_text(state.public_key);
  text += as_text(state.chain);
  for (const Digest& digest : state.tree.frontier()) text += as_text(digest);
  if (walked->root_at) text += as_text(*walked->root_at);
  return text_of(state.previous, text_of(state.segment, text));
}

WalkOptions options_of(std::optional<std::uint64_t> root_size) {
  WalkOptions options;
  options.directory = test::kDirectory;
  options.root_size = root_size;
  return options;
}

void expect_same(MemoryFileSystem& fs, std::uint64_t number, const std::string& what) {
  const WalkOptions options = options_of(number % 12);
  const std::uint64_t stop_after = number % 5 == 0 ? number % 11 : ~0ULL;
  const std::string expected = story(fs, options, 1, stop_after);
  for (const std::size_t frames : {2U, 256U}) {
    ASSERT_EQ(story(fs, options, frames, stop_after), expected) << what << ", frames " << frames;
  }
}

TEST(Walk, SaysTheSameOfEveryCutHoweverManyFramesItTakesAtOnce) {
  const std::size_t step = test::long_form() ? 1 : 13;
  for (const bool closed : {true, false}) {
    const test::SmallLedger small = test::make_small_ledger(closed);
    for (const std::string& path : test::segment_paths(*small.fs)) {
      Bytes& content = small.fs->content(path);
      const Bytes good = content;
      for (std::size_t end = good.size(); end > 0; end -= std::min(end, step)) {
        content.resize(end);
        expect_same(*small.fs, end, path + " cut at " + std::to_string(end));
      }
      content = good;
    }
  }
}

TEST(Walk, SaysTheSameOfEveryChangedByteHoweverManyFramesItTakesAtOnce) {
  const test::SmallLedger small = test::make_small_ledger(true);
  const std::size_t step = test::long_form() ? 1 : 13;
  std::size_t changes = 0;
  for (const std::string& path : test::segment_paths(*small.fs)) {
    Bytes& content = small.fs->content(path);
    const Bytes good = content;
    const std::vector<test::FrameAt> frames = test::frames_of(good);
    std::size_t frame = 0;
    for (std::size_t at = 0; at < good.size(); at += step) {
      while (frame + 1 < frames.size() && frames[frame + 1].offset <= at) ++frame;
      content[at] = static_cast<std::uint8_t>(content[at] ^ (1U << at % 8));
      expect_same(*small.fs, at, path + " byte " + std::to_string(at));
      // And with a good checksum, unless it was the length that changed.
      if (at >= frames[frame].offset + 8) {
        test::repair_checksum(content, frames[frame].offset);
        expect_same(*small.fs, at, path + " byte " + std::to_string(at) + ", repaired");
      }
      content = good;
      ++changes;
    }
  }
  std::printf("%zu changed bytes\n", changes);
}

// A record that goes on with index and chain as it should, and stands where none may stand.
TEST(Walk, NothingFollowsASealHoweverGood) {
  const test::SmallLedger small = test::make_small_ledger(false);
  const auto paths = test::segment_paths(*small.fs);
  for (std::size_t i = 1; i < paths.size(); ++i) ASSERT_TRUE(small.fs->remove(paths[i]));
  Bytes& content = small.fs->content(paths[0]);
  const std::vector<test::FrameAt> frames = test::frames_of(content);
  const auto frame_at = [&](const test::FrameAt& at) {
    return parse_frame(ByteView(content).subspan(at.offset)).frame;
  };
  const Frame seal = frame_at(frames.back());
  ASSERT_EQ(seal.type, static_cast<std::uint16_t>(RecordType::kSegmentSeal));
  Frame next = frame_at(frames[2]);
  const Bytes body(next.body.begin(), next.body.end());
  next.body = body;
  next.index = seal.index + 1;
  ChainHasher hasher;
  next.chain = hasher.chain(seal.chain, hasher.leaf(parse_header(content).header.ledger_id, next));
  const std::size_t end = content.size();
  encode_frame(next, content);
  for (const std::size_t frames_at_once : {1U, 2U, 256U}) {
    WalkOptions options = options_of(std::nullopt);
    options.frames_at_once = frames_at_once;
    const auto walked = walk(*small.fs, options);
    ASSERT_TRUE(walked.has_value());
    EXPECT_EQ(walked->damage, Damage::kWrong);
    EXPECT_EQ(walked->problem, "bytes follow the segment's seal");
    EXPECT_EQ(walked->offset, end);
  }
}

// Bodies of all sizes, over several windows of the reader and several segments. What the walk finds
// is compared with hashes computed one by one.
TEST(Walk, TakesLedgersOfManyWindows) {
  MemoryFileSystem fs;
  const test::FixedClock clock;
  test::CountingRandom random;
  InitOptions init_options;
  init_options.directory = test::kDirectory;
  ASSERT_TRUE(init(fs, clock, random, init_options).has_value());
  auto ledger = Ledger::open(fs, clock, random, test::open_options(3U << 20));
  ASSERT_TRUE(ledger.has_value());
  std::mt19937_64 sizes(5);
  for (int i = 0; i < 3'000; ++i) {
    codec::Map body;
    body.set(16, codec::Value::bytes(Bytes(sizes() % (i % 20 == 0 ? 65'000 : 900))));
    if (i % 500 == 499) {
      ASSERT_TRUE((*ledger)->append_and_wait(RecordType::kInferPart, body).has_value());
    } else {
      (*ledger)->append(RecordType::kInferPart, body,
                        [](const Result<Committed>& result) { ASSERT_TRUE(result.has_value()); });
    }
  }
  ASSERT_TRUE((*ledger)->close().has_value());

  ChainHasher hasher;
  MerkleTree tree;
  std::optional<Digest> root_in_the_middle;
  for (const std::string& path : test::segment_paths(fs)) {
    const Bytes& segment = fs.content(path);
    const LedgerId ledger_id = parse_header(segment).header.ledger_id;
    for (const test::FrameAt& at : test::frames_of(segment)) {
      tree.add(hasher.leaf(ledger_id, parse_frame(ByteView(segment).subspan(at.offset)).frame),
               hasher);
      if (tree.size() == 1'777) root_in_the_middle = tree.root(hasher);
    }
  }
  const auto walked = walk(fs, options_of(1'777));
  ASSERT_TRUE(walked.has_value());
  EXPECT_EQ(walked->damage, Damage::kNone) << walked->problem;
  EXPECT_GT(walked->state.segments, 2U);
  EXPECT_EQ(walked->state.next_index, tree.size());
  EXPECT_EQ(walked->state.tree.root(hasher), tree.root(hasher));
  EXPECT_EQ(walked->root_at, root_in_the_middle);
  EXPECT_EQ(story(fs, options_of(1'777), 1, ~0ULL), story(fs, options_of(1'777), 256, ~0ULL));
}

TEST(Walk, ShowsItsVisitorOnlyWhatItWants) {
  const test::SmallLedger small = test::make_small_ledger(true);
  std::vector<std::uint64_t> seen;
  WalkOptions options = options_of(std::nullopt);
  options.wants = [](std::uint64_t index, RecordType type) {
    return index > 3 && type == RecordType::kInferResult;
  };
  options.visit = [&](const Record& record) {
    EXPECT_EQ(record.type, RecordType::kInferResult);
    EXPECT_TRUE(record.body.get_uint(key::kRefIndex, "request").has_value());
    seen.push_back(record.index);
    return seen.size() < 2;
  };
  const auto walked = walk(*small.fs, options);
  ASSERT_TRUE(walked.has_value());
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_GT(seen[0], 3U);
  EXPECT_TRUE(walked->stopped);
  EXPECT_EQ(walked->state.next_index, seen[1] + 1);
}

}  // namespace
}  // namespace aioss::ledger
