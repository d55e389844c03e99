#include "worker/tune_slot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "engines/fake/fake_engine.h"
#include "engines/fake/test_model_file.h"

namespace aioss::worker {
namespace {

// Each look at it is a millisecond later.
class CountingClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return monotonic_ns(); }
  std::int64_t monotonic_ns() const override { return now_ += 1'000'000; }

 private:
  mutable std::int64_t now_ = 0;
};

// The fake engine, with an eye on its calls.
struct Seen {
  std::set<std::uint32_t> together;  // sequences in one call
  std::uint32_t removed = 0;
  bool prefill_in_company = false;
};
Seen g_seen;
aioss_engine g_engine;

aioss_status seen_decode(aioss_session* session, const aioss_batch* batch, aioss_error* error) {
  std::set<std::int32_t> sequences;
  for (std::uint32_t i = 0; i < batch->token_count; ++i) sequences.insert(batch->sequences[i]);
  g_seen.together.insert(static_cast<std::uint32_t>(sequences.size()));
  g_seen.prefill_in_company |= sequences.size() > 1 && sequences.size() < batch->token_count;
  return engines::fake::entry()->decode(session, batch, error);
}
aioss_status seen_remove(aioss_session* session, std::int32_t sequence, std::int32_t from,
                         std::int32_t to, aioss_error* error) {
  ++g_seen.removed;
  return engines::fake::entry()->sequence_remove(session, sequence, from, to, error);
}
const float* no_numbers(aioss_session* session, std::uint32_t output) {
  static std::vector<float> row;
  const float* const logits = engines::fake::entry()->logits(session, output);
  if (logits == nullptr) return nullptr;
  row.assign(logits, logits + 256);
  row.resize(4096, 0.0F);
  row[7] = std::nanf("");
  return row.data();
}

class TuneSlotTest : public testing::Test {
 protected:
  TuneSlotTest() {
    g_seen = {};
    g_engine = *engines::fake::entry();
    g_engine.decode = seen_decode;
    g_engine.sequence_remove = seen_remove;
  }
  Result<std::unique_ptr<TuneSlot>> slot(std::uint32_t sequences, std::uint32_t cells,
                                         const std::string& script = "") {
    file_ = std::make_unique<engines::fake::TestModelFile>(script);
    const int fd = file_->fd();
    aioss_model_options options = {};
    options.struct_size = sizeof options;
    options.fds = &fd;
    options.fd_count = 1;
    model_ = std::move(*engine::Model::open(g_engine, options));
    aioss_session_options session = {};
    session.struct_size = sizeof session;
    session.sequences_max = sequences;
    session.cells_per_sequence = cells;
    session.batch_tokens_max = 64;
    std::vector<ipc::Token> text;
    for (const char c : std::string("the tide turns, and the boats come home ")) text.push_back(c);
    return TuneSlot::create(*model_, session, text, clock_);
  }

  CountingClock clock_;
  std::unique_ptr<engines::fake::TestModelFile> file_;
  std::unique_ptr<engine::Model> model_;
};

TEST_F(TuneSlotTest, TheCanaryDecodesTogetherAndBeginsAgain) {
  const auto first = slot(4, 512);
  ASSERT_TRUE(first.has_value()) << first.error().message;
  const auto said = (*first)->canary();
  ASSERT_TRUE(said.has_value()) << said.error().message;
  EXPECT_EQ(said->size(), 4U + 8 * 4 + 2 + 8 * 4);
  EXPECT_EQ(g_seen.together, (std::set<std::uint32_t>{1, 4}));
  EXPECT_FALSE(g_seen.prefill_in_company);  // profiles that count bits have none
  EXPECT_EQ(g_seen.removed, 2U);
}

TEST_F(TuneSlotTest, TheSameCanaryIsSaidAgain) {
  const auto first = (*slot(3, 512))->canary();
  const auto again = (*slot(3, 512))->canary();
  ASSERT_TRUE(first.has_value() && again.has_value());
  EXPECT_EQ(*first, *again);
}

TEST_F(TuneSlotTest, LogitsThatAreNoNumbersFailTheCanary) {
  g_engine.logits = no_numbers;
  const auto said = (*slot(2, 512))->canary();
  ASSERT_FALSE(said.has_value());
  EXPECT_EQ(said.error().code, Code::kEngineFailed);
  EXPECT_EQ(said.error().message, "the engine's logits are not numbers");
}

TEST_F(TuneSlotTest, RunsComputeWhatTheyAreAskedFor) {
  auto made = slot(4, 512);
  TuneSlot& tried = **made;
  ASSERT_TRUE(tried.canary().has_value());
  const auto one = tried.run(ipc::Regime::kDecodeOne, 16);
  const auto many = tried.run(ipc::Regime::kDecodeMany, 8);
  const auto prefill = tried.run(ipc::Regime::kPrefill, 256);
  ASSERT_TRUE(one.has_value() && many.has_value() && prefill.has_value());
  EXPECT_EQ(one->tokens, 16U);
  EXPECT_EQ(many->tokens, 32U);
  EXPECT_EQ(prefill->tokens, 256U);
  EXPECT_GT(one->ns, 0);
}

// However small its context is, and however often it is asked.
TEST_F(TuneSlotTest, RunsNeverOutgrowTheirCells) {
  for (const std::uint32_t cells : {1U, 2U, 16U, 100U}) {
    auto made = slot(2, cells);
    ASSERT_TRUE((*made)->canary().has_value()) << cells;
    for (int i = 0; i < 20; ++i) {
      for (const auto regime :
           {ipc::Regime::kDecodeOne, ipc::Regime::kDecodeMany, ipc::Regime::kPrefill}) {
        const auto run = (*made)->run(regime, 32);
        ASSERT_TRUE(run.has_value()) << cells << ": " << run.error().message;
        EXPECT_GE(run->tokens, 1U);
      }
    }
  }
}

TEST_F(TuneSlotTest, OneSequenceIsEnough) {
  auto made = slot(1, 64);
  ASSERT_TRUE((*made)->canary().has_value());
  EXPECT_TRUE((*made)->run(ipc::Regime::kDecodeMany, 4).has_value());
  EXPECT_EQ(g_seen.together, std::set<std::uint32_t>{1});
}

TEST_F(TuneSlotTest, AnEngineThatCannotDecodeTogetherFailsItsCanary) {
  const auto said = (*slot(2, 512, "sabotage no_company\n"))->canary();
  ASSERT_FALSE(said.has_value());
  EXPECT_EQ(said.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace aioss::worker
