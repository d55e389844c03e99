#include "ledger/reading/history.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "ledger/format/checkpoint.h"
#include "ledger/reading/disk_tree.h"
#include "ledger/testing/test_support.h"
#include "ledger/writing/ledger.h"

namespace aioss::ledger {
namespace {

using test::kDirectory;

struct Running {
  test::MemoryFileSystem fs;
  test::FixedClock clock;
  test::CountingRandom random;
  std::unique_ptr<Ledger> ledger;

  explicit Running(std::uint64_t segment_bytes = 6'000) {
    InitOptions making;
    making.directory = kDirectory;
    making.origin = test::kOrigin;
    EXPECT_TRUE(init(fs, clock, random, making).has_value());
    open(segment_bytes);
  }
  void open(std::uint64_t segment_bytes = 6'000) {
    ledger.reset();
    auto opened = Ledger::open(fs, clock, random, test::open_options(segment_bytes));
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    ledger = std::move(*opened);
  }
  std::uint64_t append(RecordType type, codec::Map body = {}) {
    const auto committed = ledger->append_and_wait(type, std::move(body));
    EXPECT_TRUE(committed.has_value());
    return committed ? committed->index : 0;
  }
  void append_parts(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      codec::Map body;
      body.set(16, codec::Value::uint(i));
      append(RecordType::kInferPart, std::move(body));
    }
  }
  const History& history() const { return ledger->history(); }
  std::vector<Record> all() {
    std::vector<Record> records;
    EXPECT_TRUE(read_records(fs, kDirectory, 0, [&](const Record& record) {
                  records.push_back(record);
                  return true;
                }).has_value());
    return records;
  }
};

codec::Map request_of(std::string_view id) {
  codec::Map body;
  body.set(key::kRequestId, codec::Value::text(id));
  return body;
}

codec::Map result_of(std::string_view id, std::uint64_t request) {
  codec::Map body;
  body.set(key::kRequestId, codec::Value::text(id))
      .set(key::kRefIndex, codec::Value::uint(request));
  return body;
}

void expect_all_there(Running& running) {
  const std::vector<Record> records = running.all();
  ASSERT_EQ(running.history().size(), records.size());
  for (const Record& expected : records) {
    const auto found = running.history().record(expected.index);
    ASSERT_TRUE(found.has_value()) << expected.index << ": " << found.error().message;
    EXPECT_EQ(found->record.leaf, expected.leaf) << expected.index;
    EXPECT_EQ(found->record.body, expected.body) << expected.index;
    EXPECT_EQ(found->frame, frame_of(expected)) << expected.index;
  }
  EXPECT_EQ(running.history().record(records.size()).error().code, Code::kNotFound);
}

TEST(History, EveryRecordComesBackWithItsFrame) {
  Running running;
  running.append_parts(700);
  ASSERT_GT(test::segment_paths(running.fs).size(), 5U);
  expect_all_there(running);
  running.open(100'000);
  running.append_parts(300);
  expect_all_there(running);
}

// Against the tree that is grown leaf by leaf, which chain_test.cc compares with the RFC.
std::vector<Digest> roots_of(const std::vector<Record>& records) {
  ChainHasher hasher;
  MerkleTree tree;
  std::vector<Digest> roots{tree.root(hasher)};
  for (const Record& record : records) {
    tree.add(record.leaf, hasher);
    roots.push_back(tree.root(hasher));
  }
  return roots;
}

void expect_proofs(Running& running, std::uint64_t step) {
  const std::vector<Record> records = running.all();
  const std::vector<Digest> roots = roots_of(records);
  std::uint64_t proofs = 0;
  for (std::uint64_t size = records.size(); size > 1; size -= std::min(size, step)) {
    History::Tree tree = running.history().tree();
    for (std::uint64_t index = size % 7; index < size; index += 61) {
      const auto proof = prove_inclusion(tree, index, size);
      ASSERT_TRUE(proof.has_value());
      ASSERT_EQ(root_of_inclusion(records[index].leaf, index, size, *proof), roots[size])
          << index << " in " << size;
      ++proofs;
    }
    for (std::uint64_t first = 1; first < size; first += 83) {
      const auto proof = prove_consistency(tree, first, size);
      ASSERT_TRUE(proof.has_value());
      const auto held = roots_of_consistency(first, size, roots[first], *proof);
      ASSERT_TRUE(held.has_value());
      ASSERT_EQ(held->first, roots[first]) << first << " to " << size;
      ASSERT_EQ(held->second, roots[size]) << first << " to " << size;
      ++proofs;
    }
  }
  std::printf("history: %llu proofs\n", static_cast<unsigned long long>(proofs));
}

TEST(History, ProofsLeadToTheRootOfEverySize) {
  Running running;
  running.append_parts(900);
  expect_proofs(running, 97);
  running.open();  // now the index is from recovery's walk
  running.append_parts(200);
  expect_proofs(running, 211);
}

TEST(History, ReadsBesideTheWriter) {
  Running running(40'000);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop.load()) running.append_parts(50);
  });
  const History& history = running.history();
  std::uint64_t checked = 0;
  for (std::uint64_t round = 0; round < 150; ++round) {
    const std::uint64_t size = history.size();
    const std::uint64_t index = round * 7'919 % size;
    const auto found = history.record(index);
    ASSERT_TRUE(found.has_value()) << found.error().message;
    History::Tree tree = history.tree();
    const auto proof = prove_inclusion(tree, index, size);
    const auto whole = prove_range(tree, 0, 0, size);
    ASSERT_TRUE(proof.has_value() && whole.has_value());
    auto root = RangeRoot::begin(0, {});
    EXPECT_EQ(root_of_inclusion(found->record.leaf, index, size, *proof),
              root->finish(size, whole->right));
    ++checked;
  }
  stop = true;
  writer.join();
  EXPECT_EQ(checked, 150U);
  expect_all_there(running);
}

TEST(History, FindsTheRecordsOfARequest) {
  Running running;
  std::vector<std::pair<std::string, std::uint64_t>> requests;
  for (int i = 0; i < 120; ++i) {
    const std::string id = "req_" + std::to_string(1'000 + i);
    requests.emplace_back(id, running.append(RecordType::kInferRequest, request_of(id)));
    running.append_parts(3);
    if (i % 2 == 0) continue;  // two under way at a time
    for (int of = i - 1; of <= i; ++of) {
      running.append(RecordType::kInferResult, result_of(requests[of].first, requests[of].second));
    }
  }
  for (const auto& [id, index] : requests) {
    const auto found = running.history().find_request(id);
    ASSERT_TRUE(found.has_value()) << id;
    ASSERT_TRUE(found->request && found->end) << id;
    EXPECT_EQ(found->request->record.index, index);
    EXPECT_EQ(*found->end->record.body.get_uint(key::kRefIndex, ""), index);
  }
  EXPECT_EQ(running.history().find_request("req_999").error().code, Code::kNotFound);
  EXPECT_EQ(running.history().find_request("req_1000", 4'000).error().code, Code::kNotFound);
  EXPECT_TRUE(running.history().find_request("req_1119", 4'000).has_value());
}

// Bytes that look like a request's id in records that are not of it, and records that are, but are
// neither its beginning nor its end.
TEST(History, IsNotMisledByOtherRecordsThatHoldTheId) {
  Running running;
  const std::uint64_t request = running.append(RecordType::kInferRequest, request_of("req_a"));
  const std::uint64_t result =
      running.append(RecordType::kInferResult, result_of("req_a", request));
  Bytes pattern;
  codec::encode_to(codec::Value::uint(key::kRequestId), pattern);
  codec::encode_to(codec::Value::text("req_a"), pattern);
  codec::Map decoy;
  decoy.set(16, codec::Value::bytes(pattern)).set(17, codec::Value::text("\x05\x65req_a"));
  for (int i = 0; i < 40; ++i) running.append(RecordType::kInferPart, decoy);
  running.append(RecordType::kHumanReview, result_of("req_a", request));
  const auto found = running.history().find_request("req_a");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->request->record.index, request);
  EXPECT_EQ(found->end->record.index, result);
}

TEST(History, ARequestMayHaveNoEndOrNoBeginning) {
  Running running;
  const std::uint64_t open = running.append(RecordType::kInferRequest, request_of("req_open"));
  const std::uint64_t refused = running.append(RecordType::kInferAbort, request_of("req_refused"));
  auto found = running.history().find_request("req_open");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->request->record.index, open);
  EXPECT_FALSE(found->end.has_value());
  found = running.history().find_request("req_refused");
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->request.has_value());
  EXPECT_EQ(found->end->record.index, refused);

  running.open();  // as after a crash: recovery ends what was open
  found = running.history().find_request("req_open");
  ASSERT_TRUE(found.has_value());
  ASSERT_TRUE(found->end.has_value());
  EXPECT_EQ(found->end->record.type, RecordType::kInferAbort);
  EXPECT_EQ(*found->end->record.body.get_uint(key::kRefIndex, ""), open);
  running.open();  // and that is found again
  found = running.history().find_request("req_open");
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(found->end.has_value());
}

TEST(History, NoticesADiskThatSaysSomethingElse) {
  Running running;
  running.append_parts(400);
  Bytes& content = running.fs.content(test::segment_paths(running.fs)[1]);
  const std::vector<test::FrameAt> frames = test::frames_of(content);
  const std::uint64_t first = parse_header(content).header.first_index;
  content[frames[4].offset + 70] ^= 1;
  EXPECT_EQ(running.history().record(first + 4).error().code, Code::kCorrupt);
  // With its checksum repaired it is a good frame, but no proof leads to the root any more.
  test::repair_checksum(content, frames[4].offset);
  History::Tree tree = running.history().tree();
  const std::uint64_t size = running.history().size();
  const auto found = running.history().record(first + 4);
  const auto proof = prove_inclusion(tree, first + 4, size);
  ASSERT_TRUE(proof.has_value());
  const std::vector<Digest> roots = [&] {
    auto range = prove_range(tree, 0, 0, size);
    auto root = RangeRoot::begin(0, {});
    return std::vector<Digest>{*root->finish(size, range->right)};
  }();
  if (found) {
    EXPECT_NE(root_of_inclusion(found->record.leaf, first + 4, size, *proof), roots[0]);
  }
}

// Rows above the blocks of 256: 70,000 records would take a while to write.
TEST(HistoryIndex, RootsAboveTheBlocksAreThoseOfTheTree) {
  constexpr std::uint64_t kRecords = 70'000;
  HistoryIndex index;
  ChainHasher hasher;
  MerkleTree tree;
  std::vector<Digest> leaves(kRecords);
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    leaves[i][0] = static_cast<std::uint8_t>(i);
    leaves[i][1] = static_cast<std::uint8_t>(i >> 8U);
    leaves[i][2] = static_cast<std::uint8_t>(i >> 16U);
    index.add({i, RecordType::kInferPart, leaves[i], i / 1'000 * 1'000, 128 + i % 1'000 * 100});
  }
  index.publish(kRecords);
  const auto root_over = [&](std::uint64_t first, std::uint64_t count) {
    MerkleTree part;
    for (std::uint64_t i = first; i < first + count; ++i) part.add(leaves[i], hasher);
    return part.root(hasher);
  };
  for (unsigned level = 8; level <= 16; ++level) {
    const std::uint64_t leaves_of_it = std::uint64_t{1} << level;
    const std::uint64_t last = kRecords / leaves_of_it - 1;
    EXPECT_EQ(index.subtree(level, last * leaves_of_it),
              root_over(last * leaves_of_it, leaves_of_it))
        << level;
  }
  EXPECT_EQ(index.segments().size(), 70U);
  EXPECT_EQ(index.block_start(3).index, 768U);
  EXPECT_EQ(index.block_start(3).offset, 128U + 76'800U);
  EXPECT_EQ(index.start_before(2'000, 128).index, 2'000U);
  EXPECT_EQ(index.start_before(2'000, 128 + 4'800).index, 2'048U);
  EXPECT_EQ(index.start_before(2'000, 128 + 4'799).index, 2'000U);
  EXPECT_EQ(index.start_before(2'000, 90'000).index, 2'816U);
}

TEST(Checkpoint, NowCoversWhatIsDurable) {
  Running running;
  EXPECT_EQ(running.ledger->health().checkpoint_size, 2U);
  running.append_parts(3);
  const auto note = running.ledger->checkpoint_now();
  ASSERT_TRUE(note.has_value());
  EXPECT_EQ(*note, running.ledger->checkpoint());
  EXPECT_EQ(as_text(running.fs.content("ledger/checkpoint")), *note);
  const auto parsed = parse_note(*note);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->checkpoint.size, 5U);
  EXPECT_EQ(parsed->checkpoint.root, roots_of(running.all())[5]);
  EXPECT_TRUE(signed_by(*parsed, *parse_verifier_key(running.ledger->identity().verifier_key)));
  EXPECT_EQ(running.ledger->health().checkpoint_size, 5U);
  EXPECT_EQ(*running.ledger->checkpoint_now(), *note);  // nothing new: nothing is written
  ASSERT_TRUE(running.ledger->close().has_value());
  EXPECT_EQ(running.ledger->checkpoint_now().error().code, Code::kLedgerUnavailable);
}

TEST(Checkpoint, EachSealedSegmentGetsOne) {
  Running running(1'000);
  for (int i = 0; i < 60; ++i) {
    running.append_parts(1);
    const std::uint64_t last = *parse_segment_file_name(
        test::segment_paths(running.fs).back().substr(std::string("ledger/seg/").size()));
    // Asked behind the signature, because the answer to a record comes before the seal after it.
    ASSERT_TRUE(running.ledger->append_and_wait(RecordType::kInferPart, {}).has_value());
    EXPECT_GE(running.ledger->health().checkpoint_size, last);
  }
}

constexpr std::chrono::milliseconds kPause{1};

class MovableClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return 1'750'000'000'000'000'000; }
  std::int64_t monotonic_ns() const override { return now.load(); }
  std::atomic<std::int64_t> now{1'000};
};

TEST(Checkpoint, NewRecordsDoNotWaitForOneForEver) {
  test::MemoryFileSystem fs;
  MovableClock clock;
  test::CountingRandom random;
  InitOptions making;
  making.directory = kDirectory;
  ASSERT_TRUE(init(fs, clock, random, making).has_value());
  auto opened = Ledger::open(fs, clock, random, test::open_options());
  ASSERT_TRUE(opened.has_value());
  Ledger& ledger = **opened;
  ASSERT_TRUE(ledger.append_and_wait(RecordType::kInferPart, {}).has_value());
  ASSERT_TRUE(ledger.append_and_wait(RecordType::kInferPart, {}).has_value());
  EXPECT_EQ(ledger.health().checkpoint_size, 2U);
  clock.now += 61LL * 1'000'000'000;
  ASSERT_TRUE(ledger.append_and_wait(RecordType::kInferPart, {}).has_value());
  // The writer looks at the clock after each group: behind the second record at the latest, or
  // never.
  while (ledger.health().checkpoint_size < 4) std::this_thread::sleep_for(kPause);
  EXPECT_GE(parse_note(ledger.checkpoint())->checkpoint.size, 4U);
}

TEST(Checkpoint, ManyWhoAskAreServedByFewSignatures) {
  Running running(100'000);
  std::vector<std::thread> askers;
  for (int i = 0; i < 8; ++i) {
    askers.emplace_back([&running] {
      for (int round = 0; round < 20; ++round) {
        const auto committed = running.ledger->append_and_wait(RecordType::kInferPart, {});
        ASSERT_TRUE(committed.has_value());
        const auto note = running.ledger->checkpoint_now();
        ASSERT_TRUE(note.has_value());
        EXPECT_GT(parse_note(*note)->checkpoint.size, committed->index);
      }
    });
  }
  for (std::thread& asker : askers) asker.join();
}

}  // namespace
}  // namespace aioss::ledger
