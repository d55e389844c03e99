// Receipts and fork proofs: what is good is accepted, and nothing else.
#include <gtest/gtest.h>

#include "codec/base64.h"
#include "codec/hex.h"
#include "ledger/evidence/fork_proof.h"
#include "ledger/evidence/json_fields.h"
#include "ledger/evidence/receipt.h"
#include "ledger/format/commitment.h"
#include "ledger/reading/disk_tree.h"
#include "ledger/reading/history.h"
#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

using test::kDirectory;

struct Life {
  test::MemoryFileSystem fs;
  test::FixedClock clock;
  test::CountingRandom random;
  std::unique_ptr<Ledger> ledger;
  VerifierKey key;
  Commitment prompt = commit(random, "the prompt"), answer = commit(random, "the answer");

  explicit Life(std::uint64_t others = 40) {
    InitOptions making;
    making.directory = kDirectory;
    making.origin = test::kOrigin;
    const auto identity = init(fs, clock, random, making);
    EXPECT_TRUE(identity.has_value());
    key = *parse_verifier_key(identity->verifier_key);
    ledger = std::move(*Ledger::open(fs, clock, random, test::open_options(3'000)));
    append_others(others);
    answer_one("req_mine");
    append_others(others);
  }
  std::uint64_t append(RecordType type, codec::Map body) {
    return ledger->append_and_wait(type, std::move(body))->index;
  }
  void append_others(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      append(RecordType::kInferResult,
             test::result_body(append(RecordType::kInferRequest, test::request_body())));
    }
  }
  void answer_one(const std::string& id) {
    codec::Map request;
    request.set(key::kRequestId, codec::Value::text(id))
        .set(key::infer_request::kPromptCommitment, codec::Value::bytes(prompt.value));
    const std::uint64_t index = append(RecordType::kInferRequest, std::move(request));
    codec::Map choice;
    choice.set(key::choice::kOutputCommitment, codec::Value::bytes(answer.value));
    codec::Map result;
    result.set(key::kRequestId, codec::Value::text(id))
        .set(key::kRefIndex, codec::Value::uint(index))
        .set(key::infer_result::kChoices,
             codec::Value::array({codec::Value::map(std::move(choice))}));
    append(RecordType::kInferResult, std::move(result));
  }
  Result<Receipt> receipt(const std::string& id) {
    const ReceiptSource source{ledger->history(), ledger->identity().origin,
                               [this](std::uint64_t) { return ledger->checkpoint_now(); }};
    return make_receipt(source, id);
  }
  Receipt good_receipt() {
    Receipt receipt = *this->receipt("req_mine");
    receipt.salts = Salts{prompt.salt, std::nullopt, {answer.salt}};
    return receipt;
  }
};

ReceiptCheck with(const VerifierKey& key) {
  return {key, {}};
}

Claim claim(Claim::Of of, std::string_view text, std::uint64_t choice = 0) {
  const ByteView bytes = as_bytes(text);
  return {of, choice, {Bytes(bytes.begin(), bytes.end())}};
}

TEST(Receipt, ProvesTheRecordsOfARequest) {
  Life life;
  const std::string text = write_receipt(life.good_receipt());
  const auto parsed = parse_receipt(text);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(write_receipt(*parsed), text);
  const DocumentReport report = judge_receipt(*parsed, with(life.key));
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.facts["request_id"], "req_mine");
  EXPECT_EQ(judge_receipt(*parsed, {}).verdict, Verdict::kUnknown);
  VerifierKey other = life.key;
  other.public_key[0] ^= 1;
  EXPECT_EQ(judge_receipt(*parsed, with(other)).verdict, Verdict::kTampered);
  other = life.key;
  other.name = "someone.else";
  EXPECT_EQ(judge_receipt(*parsed, with(other)).verdict, Verdict::kTampered);
}

TEST(Receipt, OpensTheCommitmentsToPromptAndAnswer) {
  Life life;
  const Receipt receipt = life.good_receipt();
  const auto verdict = [&](const Receipt& of, Claim one) {
    return judge_receipt(of, {life.key, {std::move(one)}}).verdict;
  };
  EXPECT_EQ(verdict(receipt, claim(Claim::Of::kPrompt, "the prompt")), Verdict::kOk);
  EXPECT_EQ(verdict(receipt, claim(Claim::Of::kAnswer, "the answer")), Verdict::kOk);
  EXPECT_EQ(verdict(receipt, claim(Claim::Of::kPrompt, "another")), Verdict::kTampered);
  EXPECT_EQ(verdict(receipt, claim(Claim::Of::kAnswer, "the answer ")), Verdict::kTampered);
  EXPECT_EQ(verdict(receipt, claim(Claim::Of::kAnswer, "the answer", 1)), Verdict::kUsage);
  Receipt without = receipt;
  without.salts.reset();
  EXPECT_EQ(judge_receipt(without, with(life.key)).verdict, Verdict::kOk);
  EXPECT_EQ(verdict(without, claim(Claim::Of::kPrompt, "the prompt")), Verdict::kUsage);
}

// Every leaf of the document changed in every way that keeps it a document.
void mutate(codec::Json& value, const std::function<void()>& check) {
  if (value.is_object() || value.is_array()) {
    for (codec::Json& member : value) mutate(member, check);
    return;
  }
  const codec::Json good = value;
  if (value.is_number_unsigned()) {
    for (const std::uint64_t other : {good.get<std::uint64_t>() + 1, std::uint64_t{0},
                                      ~std::uint64_t{0}, good.get<std::uint64_t>() ^ 1U}) {
      value = other;
      if (value != good) check();
    }
  } else if (value.is_string()) {
    const std::string text = good.get<std::string>();
    const std::size_t step = std::max<std::size_t>(1, text.size() / (test::long_form() ? 400 : 24));
    for (std::size_t at = 0; at < text.size(); at += step) {
      std::string bad = text;
      bad[at] = bad[at] == 'A' ? 'B' : 'A';
      value = bad;
      check();
    }
    value = "";
    check();
  }
  value = nullptr;
  check();
  value = good;
}

TEST(Receipt, NoChangeOfIt_IsAccepted) {
  Life life;
  Receipt receipt = life.good_receipt();
  receipt.salts.reset();  // nobody signed those
  codec::Json document = *parse_document(write_receipt(receipt));
  std::uint64_t mutations = 0;
  std::uint64_t accepted = 0;
  mutate(document, [&] {
    ++mutations;
    const auto parsed = parse_receipt(codec::dump_json(document));
    if (!parsed) return;
    if (judge_receipt(*parsed, with(life.key)).verdict != Verdict::kOk) return;
    ++accepted;
    ADD_FAILURE() << codec::dump_json(document).substr(0, 200);
  });
  for (const char* member : {"origin", "ledger_id", "request_id", "request", "result", "size",
                             "checkpoint", "keys", "format"}) {
    codec::Json without = document;
    without.erase(member);
    ++mutations;
    const auto parsed = parse_receipt(codec::dump_json(without));
    EXPECT_FALSE(parsed && judge_receipt(*parsed, with(life.key)).verdict == Verdict::kOk)
        << member;
  }
  std::printf("receipt: %llu mutations, %llu false accepts\n",
              static_cast<unsigned long long>(mutations),
              static_cast<unsigned long long>(accepted));
  EXPECT_GT(mutations, 200U);
}

TEST(Receipt, RecordsOfAnotherRequestAreRefused) {
  Life life;
  life.answer_one("req_other");
  const Receipt mine = *life.receipt("req_mine");
  const Receipt other = *life.receipt("req_other");
  Receipt mixed = other;
  mixed.end = life.receipt("req_mine")->end;
  EXPECT_EQ(judge_receipt(mixed, with(life.key)).verdict, Verdict::kTampered);
  mixed = other;
  mixed.request_id = "req_mine";
  EXPECT_EQ(judge_receipt(mixed, with(life.key)).verdict, Verdict::kTampered);
  mixed = other;
  std::swap(*mixed.request, mixed.end);
  EXPECT_EQ(judge_receipt(mixed, with(life.key)).verdict, Verdict::kTampered);
  mixed = other;
  mixed.request.reset();
  EXPECT_EQ(judge_receipt(mixed, with(life.key)).verdict, Verdict::kTampered);
}

TEST(Receipt, OfAbortsAndOfWhatHasNoEnd) {
  Life life(3);
  codec::Map refused;
  refused.set(key::kRequestId, codec::Value::text("req_refused"));
  life.append(RecordType::kInferAbort, refused);
  const auto receipt = life.receipt("req_refused");
  ASSERT_TRUE(receipt.has_value());
  EXPECT_TRUE(receipt->aborted && !receipt->request);
  EXPECT_EQ(judge_receipt(*parse_receipt(write_receipt(*receipt)), with(life.key)).verdict,
            Verdict::kOk);
  codec::Map open;
  open.set(key::kRequestId, codec::Value::text("req_open"));
  life.append(RecordType::kInferRequest, open);
  EXPECT_EQ(life.receipt("req_open").error().code, Code::kConflict);
  EXPECT_EQ(life.receipt("req_never").error().code, Code::kNotFound);
  life.ledger.reset();  // as a crash would
  life.ledger = std::move(*Ledger::open(life.fs, life.clock, life.random, test::open_options()));
  const auto crashed = life.receipt("req_open");
  ASSERT_TRUE(crashed.has_value()) << crashed.error().message;
  EXPECT_EQ(judge_receipt(*crashed, with(life.key)).verdict, Verdict::kOk);
}

// A rewritten record with its checksum repaired is noticed before a receipt is given out.
TEST(Receipt, IsNotMadeFromALedgerThatWasRewritten) {
  Life life;
  const std::uint64_t victim = life.receipt("req_mine")->end.index;
  std::vector<std::string> paths = test::segment_paths(life.fs);
  for (const std::string& path : paths) {
    Bytes& content = life.fs.content(path);
    for (const test::FrameAt& frame : test::frames_of(content)) {
      if (parse_frame(ByteView(content).subspan(frame.offset)).frame.index != victim) continue;
      content[frame.offset + frame.bytes - 24] ^= 1;  // in the commitment
      test::repair_checksum(content, frame.offset);
    }
  }
  const auto receipt = life.receipt("req_mine");
  ASSERT_FALSE(receipt.has_value());
  EXPECT_EQ(receipt.error().code, Code::kCorrupt);
}

// Two ledgers that were one: a copy of the folder goes on by itself.
struct Forked {
  Life life{10};
  test::MemoryFileSystem* fs = nullptr;
  std::unique_ptr<test::MemoryFileSystem> other;
  std::string note, other_note;  // signed

  // Each has so many more records behind the fork.
  Forked(std::uint64_t here, std::uint64_t there) {
    EXPECT_TRUE(life.ledger->close().has_value());
    life.ledger.reset();
    other = life.fs.copy();
    note = grow(life.fs, here, 1);
    other_note = grow(*other, there, 2);
  }
  std::string grow(test::MemoryFileSystem& disk, std::uint64_t count, std::uint64_t what) {
    auto opened = Ledger::open(disk, life.clock, life.random, test::open_options());
    EXPECT_TRUE(opened.has_value());
    for (std::uint64_t i = 0; i < count; ++i) {
      codec::Map body;
      body.set(16, codec::Value::uint(what));
      EXPECT_TRUE((*opened)->append_and_wait(RecordType::kInferPart, std::move(body)).has_value());
    }
    EXPECT_TRUE((*opened)->close().has_value());
    return (*opened)->checkpoint();
  }
};

TEST(ForkProof, TwoSignedHistoriesAreProven) {
  for (const auto& [here, there] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {1, 1}, {5, 2}, {40, 9}, {9, 40}, {41, 40}}) {
    SCOPED_TRACE(std::to_string(here) + " and " + std::to_string(there));
    Forked forked(here, there);
    test::MemoryFileSystem& larger = here >= there ? forked.life.fs : *forked.other;
    const auto proof = make_fork_proof(larger, kDirectory, *parse_note(forked.note),
                                       *parse_note(forked.other_note));
    ASSERT_TRUE(proof.has_value()) << proof.error().message;
    const std::string text = write_fork_proof(*proof);
    // What a retention drop left proves the same.
    const auto pruned = larger.copy();
    test::prune_by_hand(*pruned, 0);
    const auto again = make_fork_proof(*pruned, kDirectory, *parse_note(forked.note),
                                       *parse_note(forked.other_note));
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_EQ(write_fork_proof(*again), text);
    const auto parsed = parse_fork_proof(text);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    EXPECT_EQ(judge_fork_proof(*parsed, forked.life.key).verdict, Verdict::kFork);
    EXPECT_EQ(judge_fork_proof(*parsed, std::nullopt).verdict, Verdict::kUnknown);

    codec::Json document = *parse_document(text);
    std::uint64_t mutations = 0;
    mutate(document, [&] {
      ++mutations;
      const auto bad = parse_fork_proof(codec::dump_json(document));
      if (!bad) return;
      // The id only matters where keys changed.
      if (document["ledger_id"] != codec::to_hex(*proof->ledger_id)) return;
      EXPECT_NE(judge_fork_proof(*bad, forked.life.key).verdict, Verdict::kFork);
    });
    std::printf("fork proof: %llu mutations\n", static_cast<unsigned long long>(mutations));
  }
}

TEST(ForkProof, OneHistoryProvesNothing) {
  Life life(10);
  const std::string before = *life.ledger->checkpoint_now();
  life.append_others(7);
  const std::string after = *life.ledger->checkpoint_now();
  const auto proof = make_fork_proof(life.fs, kDirectory, *parse_note(before), *parse_note(after));
  ASSERT_FALSE(proof.has_value());
  EXPECT_EQ(proof.error().code, Code::kNotFound);
  ForkProof made{test::kOrigin, {}, {}, before, after, {}};
  EXPECT_EQ(judge_fork_proof(made, life.key).verdict, Verdict::kTampered);
  made.second = before;
  EXPECT_EQ(judge_fork_proof(made, life.key).verdict, Verdict::kTampered);
  // An honest consistency proof, whichever form it has.
  const Checkpoint first = parse_note(before)->checkpoint;
  const Checkpoint second = parse_note(after)->checkpoint;
  made.second = after;
  const auto facts =
      prove_on_disk(life.fs, kDirectory, second.size, [&](SubtreeSource& tree) -> Status {
        AIOSS_TRY(made.proof, prove_whole_consistency(tree, first.size, second.size));
        return ok();
      });
  ASSERT_TRUE(facts.has_value());
  EXPECT_EQ(judge_fork_proof(made, life.key).verdict, Verdict::kTampered);
}

// What a verifier kept, against the ledger as it is now.
TEST(Verify, KeptCheckpointsFindCutsAndForks) {
  const auto verdict = [](test::MemoryFileSystem& fs, const Life& life, const std::string& kept) {
    VerifyOptions options;
    options.directory = kDirectory;
    options.verifier_key = format_verifier_key(life.key);
    options.kept.push_back({"the kept checkpoint", *parse_note(kept)});
    return verify(fs, options);
  };
  Forked forked(12, 30);
  EXPECT_EQ(verdict(forked.life.fs, forked.life, forked.note).verdict, Verdict::kOk);
  EXPECT_EQ(verdict(*forked.other, forked.life, forked.note).verdict, Verdict::kFork);
  const VerifyReport cut = verdict(forked.life.fs, forked.life, forked.other_note);
  EXPECT_EQ(cut.verdict, Verdict::kTruncated) << cut.finding;
  EXPECT_EQ(cut.kept.at(0), NoteState::kBeyond);
  std::string foreign = forked.note;
  foreign.replace(foreign.find("example"), 7, "exemple");
  EXPECT_EQ(verdict(forked.life.fs, forked.life, foreign).verdict, Verdict::kTampered);
}

TEST(Document, IsToldApartByItsFirstBytes) {
  test::MemoryFileSystem fs;
  const auto kind = [&](const std::string& text) {
    const auto file = fs.open("d", os::OpenMode::kReadWriteCreate);
    EXPECT_TRUE((*file)->truncate(0).has_value());
    EXPECT_TRUE((*file)->write_at(0, as_bytes(text)).has_value());
    return read_document(fs, "d");
  };
  EXPECT_EQ(kind(R"({"format":"aioss-receipt/1"})")->kind, DocumentKind::kReceipt);
  EXPECT_EQ(kind(R"({"format":"aioss-fork/1"})")->kind, DocumentKind::kForkProof);
  EXPECT_EQ(kind("manifest.json")->kind, DocumentKind::kBundle);
  EXPECT_EQ(kind(R"({"format":"aioss-receipt/2"})").error().code, Code::kUnsupported);
  EXPECT_EQ(kind("{").error().code, Code::kCorrupt);
  EXPECT_EQ(kind("").error().code, Code::kUsage);
  EXPECT_EQ(kind("ledger\n2\n").error().code, Code::kUsage);
  EXPECT_EQ(kind("{" + std::string(5 << 20, ' ')).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace aioss::ledger
