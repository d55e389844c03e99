// Prompts that fork from one under way, whose source does not stop for them; and their ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "worker/scheduler.h"
#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

constexpr std::uint32_t kEveryone = 4;

std::string about(int document, ipc::RequestId id) {
  return prompt_of(600, document) + "question number " + std::to_string(id);
}

ipc::Submit of_one_tenant(ipc::RequestId id) {
  ipc::Submit submit = request(id, 0.7F);
  submit.tenant = 7;
  submit.tokens_max = 12;
  return submit;
}

class Forks : public ::testing::TestWithParam<ipc::Profile> {
 protected:
  explicit Forks(std::string_view script = kScript)
      : prefixes_(*os::create_shared_memory("prefixes", 8 << 20)),
        rig_(std::make_unique<Rig>(options(kEveryone, GetParam()), script, &prefixes_)) {}
  ~Forks() override { g_refuse_cuts = false; }

  bool fast() const { return GetParam() == ipc::Profile::kFast; }
  ipc::RequestId first_of(int document) const { return static_cast<unsigned>(document) * 10; }
  // Four at once about one document, the first of which others fork from.
  void submit(int document) {
    for (std::uint32_t i = 0; i < kEveryone; ++i) {
      const ipc::RequestId id = first_of(document) + i;
      rig_->submit(of_one_tenant(id), about(document, id));
    }
  }
  void ask(int document) {
    g_seen_calls = &rig_->calls;  // another rig may have run meanwhile
    rig_->calls.clear();
    submit(document);
    rig_->run();
  }
  void expect_as_alone(int document, std::uint32_t from = 0) {
    for (std::uint32_t i = from; i < kEveryone; ++i) {
      const ipc::RequestId id = first_of(document) + i;
      expect_same(rig_->sink.answer(id), alone(of_one_tenant(id), about(document, id), GetParam()),
                  std::to_string(id));
    }
  }
  std::uint32_t cached(ipc::RequestId id) {
    const auto& finished = rig_->sink.answer(id).finished;
    EXPECT_TRUE(finished);
    return finished ? finished->cached_tokens : 0;
  }
  void expect_forked(int document, bool all = true) {
    EXPECT_EQ(cached(first_of(document)), 0U);
    for (std::uint32_t i = 1; i < kEveryone; ++i) {
      EXPECT_EQ(cached(first_of(document) + i) >= 512, all) << i;
    }
  }
  // Calls, by number, that end a prompt with few tokens.
  std::vector<std::size_t> ends() const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < rig_->calls.size(); ++i) {
      const SeenCall::Part& part = rig_->calls[i].parts.front();
      const bool end = part.from >= 512 && part.count > 1 && part.count <= 64;
      if (end && rig_->calls[i].outputs == 1) found.push_back(i);
    }
    return found;
  }
  std::int32_t prefilled() const {
    std::int32_t tokens = 0;
    for (const SeenCall& call : rig_->calls) {
      if (call.parts.front().count > 1) tokens += call.parts.front().count;
    }
    return tokens;
  }
  // (from, tokens) of each, in no order: whose turn it is depends on what was before.
  std::vector<std::pair<std::int32_t, std::int32_t>> chunks() const {
    std::vector<std::pair<std::int32_t, std::int32_t>> all;
    for (const SeenCall& call : rig_->calls) {
      const SeenCall::Part& part = call.parts.front();
      if (part.count > 1) all.emplace_back(part.from, part.count);
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  const os::Fd prefixes_;
  const std::unique_ptr<Rig> rig_;
};
INSTANTIATE_TEST_SUITE_P(Profiles, Forks, ::testing::ValuesIn(kProfiles));

class ForksWithoutCuts : public Forks {
 protected:
  ForksWithoutCuts()
      : Forks(
            "aioss-fake 1\n"
            "context 2048\n"
            "reply The quick brown fox jumps over the lazy dog, twice.\n"
            "margin 3\n"
            "sabotage no_cut\n") {}
};
INSTANTIATE_TEST_SUITE_P(Profiles, ForksWithoutCuts, ::testing::ValuesIn(kProfiles));

TEST_P(Forks, OnceCutsAreKnownTheSourceDoesNotStopForThem) {
  ask(1);
  const auto before = chunks();
  if (fast()) {
    EXPECT_EQ(ends().size(), kEveryone);
  }
  ask(2);
  if (fast()) {
    EXPECT_EQ(ends().size(), kEveryone - 1) << "the source's end is part of a longer chunk";
  } else {
    EXPECT_EQ(chunks(), before) << "where bits count, nothing changes";
  }
  for (const int document : {1, 2}) {
    expect_forked(document);
    expect_as_alone(document);
  }
}

TEST_P(ForksWithoutCuts, TheSourceStopsForThem) {
  ask(1);
  const auto before = chunks();
  ask(2);
  EXPECT_EQ(chunks(), before);
  expect_forked(1);
  expect_forked(2);
  EXPECT_LT(prefilled(), 1'000) << "600, and four ends";
}

TEST_P(Forks, ALongEndIsNotWaitedFor) {
  ask(1);
  rig_->calls.clear();
  rig_->submit(of_one_tenant(50), prompt_of(600, 5) + prompt_of(300, 6));
  rig_->submit(of_one_tenant(51), prompt_of(600, 5) + "short");
  rig_->run();
  EXPECT_GE(cached(51), 512U);
  for (const auto& [from, count] : chunks()) {
    EXPECT_TRUE(from != 512 || count < 200) << "it stopped where the other one forks";
  }
}

TEST_P(Forks, ASourceThatEndsAtOnceLeavesThemItsState) {
  ask(1);
  rig_->calls.clear();
  ipc::Submit once = of_one_tenant(first_of(2));
  once.tokens_max = 1;
  rig_->submit(once, about(2, once.id));
  for (std::uint32_t i = 1; i < kEveryone; ++i) {
    const ipc::RequestId id = first_of(2) + i;
    rig_->submit(of_one_tenant(id), about(2, id));
  }
  rig_->run();
  expect_forked(2);
  expect_as_alone(2, 1);
  EXPECT_LT(prefilled(), 1'000);
}

TEST_P(Forks, ASourceOfSeveralChoicesFeedsBoth) {
  ask(1);
  ipc::Submit two = of_one_tenant(first_of(2));
  two.choices = 2;
  rig_->submit(two, about(2, two.id));
  rig_->submit(of_one_tenant(first_of(2) + 1), about(2, first_of(2) + 1));
  rig_->run();
  Rig lone(options(2, GetParam()));
  lone.submit(two, about(2, two.id));
  lone.run();
  for (std::uint32_t choice = 0; choice < 2; ++choice) {
    expect_same(rig_->sink.answer(two.id, choice), lone.sink.answer(two.id, choice), "a choice");
  }
  EXPECT_GE(cached(first_of(2) + 1), 512U);
}

TEST_P(Forks, ASourceThatLeavesInTheMiddleIsReplaced) {
  ask(1);
  rig_->calls.clear();
  submit(2);
  ASSERT_TRUE(rig_->scheduler->step());  // 512 of it
  rig_->scheduler->cancel(first_of(2));
  rig_->run();
  expect_as_alone(2, 1);
  EXPECT_LT(prefilled(), 1'600) << "512, 600 and three ends";
}

TEST_P(Forks, WhoLeavesWhileItWaitsIsNotCopiedTo) {
  ask(1);
  submit(2);
  ASSERT_TRUE(rig_->scheduler->step());
  rig_->scheduler->cancel(first_of(2) + 2);
  rig_->run();
  for (const std::uint32_t i : {1U, 3U}) EXPECT_GE(cached(first_of(2) + i), 512U);
}

// It has cut before, and now a window has passed.
TEST_P(Forks, ARefusedCutCostsTheOthersOnePrefill) {
  ask(1);
  g_refuse_cuts = true;
  ask(2);
  expect_as_alone(2);
  EXPECT_LT(prefilled(), 1'800) << "600 twice, and the ends";
  ask(3);  // now it is known
  expect_forked(3);
  expect_as_alone(3);
  EXPECT_LT(prefilled(), 1'000);
}

TEST_P(Forks, EndsGoOneAfterAnotherWithinWhatAShortPromptMayTake) {
  if (!fast()) GTEST_SKIP() << "ends go in a row in profile fast alone";
  ask(1);
  rig_->clock.graph_ns = 200'000'000;  // three of them: more than the target, less than the most
  ask(2);
  const std::vector<std::size_t> near = ends();
  ASSERT_EQ(near.size(), kEveryone - 1);
  EXPECT_EQ(near.back() - near.front() + 1, near.size()) << "no decode step between them";
  rig_->clock.graph_ns = 900'000'000;
  ask(3);
  const std::vector<std::size_t> far = ends();
  ASSERT_EQ(far.size(), kEveryone - 1);
  EXPECT_GE(far.back() - far.front() + 1, 2 * far.size() - 1) << "a decode step behind each";
  expect_as_alone(2);
  expect_as_alone(3);
}

}  // namespace
}  // namespace aioss::worker
