// Adapters: calls of one set, turns of sets, prefixes of their own, and that the base model's
// streams notice nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "worker/scheduler.h"
#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

ipc::Submit under(ipc::RequestId id, std::vector<ipc::AdapterUse> adapters,
                  float temperature = 0.0F) {
  ipc::Submit submit = request(id, temperature);
  submit.adapters = std::move(adapters);
  return submit;
}

bool same_set(const SeenCall& a, const SeenCall& b) {
  return std::equal(a.adapters.begin(), a.adapters.end(), b.adapters.begin(), b.adapters.end(),
                    [](const aioss_adapter_use& x, const aioss_adapter_use& y) {
                      return x.adapter == y.adapter && x.scale == y.scale;
                    });
}

class Adapters : public ::testing::TestWithParam<ipc::Profile> {
 protected:
  SchedulerOptions with(std::uint32_t streams) const { return options(streams, GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Profiles, Adapters, ::testing::ValuesIn(kProfiles));

TEST_P(Adapters, SpeakWhereTheyAreAskedFor) {
  Rig rig(with(4));
  const Digest pirate = rig.load_adapter("say Arr.\nname Pirate\n").adapter;
  const Digest polite = rig.load_adapter("say Please.\n").adapter;
  rig.submit(request(1), "hello");
  rig.submit(under(2, {{pirate, 1.0F}}), "hello");
  rig.submit(under(3, {{pirate, 0.5F}, {polite, 1.0F}}), "hello");
  rig.submit(under(4, {{pirate, 0.0F}}), "hello");
  rig.run();
  const Answer base = alone(request(1), "hello", GetParam());
  expect_same(rig.sink.answer(1), base, "beside adapters");
  EXPECT_EQ(rig.sink.answer(2).text.substr(0, 5), "Arr. ");
  EXPECT_EQ(rig.sink.answer(3).text.substr(0, 17), "Arr.*0.5 Please. ");
  EXPECT_EQ(rig.sink.answer(4).text, base.text);
  ASSERT_TRUE(rig.scheduler->step());  // the streams that ended are cleared
  EXPECT_TRUE(rig.scheduler->is_settled());
}

TEST_P(Adapters, ReportsSayWhatWasLoaded) {
  Rig rig(with(1));
  const ipc::AdapterReport report = rig.load_adapter("name Pirate\nbytes 4096\n");
  EXPECT_TRUE(report.loaded);
  EXPECT_FALSE(report.error);
  EXPECT_EQ(report.bytes, 4096U);
  EXPECT_EQ(report.name, "Pirate");
  const ipc::AdapterReport corrupt = rig.load_adapter("fail corrupt\n");
  EXPECT_FALSE(corrupt.loaded);
  ASSERT_TRUE(corrupt.error);
  EXPECT_EQ(corrupt.error->code, Code::kModelCorrupt);
  rig.submit(under(1, {{corrupt.adapter, 1.0F}}), "hello");
  ASSERT_TRUE(rig.sink.rejected.contains(1));
  EXPECT_EQ(rig.sink.rejected.at(1).code, Code::kNotFound);
}

TEST_P(Adapters, OneInUseIsNotUnloaded) {
  Rig rig(with(1));
  const Digest pirate = rig.load_adapter("say Arr.\n").adapter;
  rig.submit(under(1, {{pirate, 1.0F}}), "hello");
  const ipc::AdapterReport refused = rig.scheduler->unload_adapter({pirate});
  EXPECT_TRUE(refused.loaded);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, Code::kConflict);
  rig.run();
  const ipc::AdapterReport gone = rig.scheduler->unload_adapter({pirate});
  EXPECT_FALSE(gone.loaded);
  EXPECT_FALSE(gone.error);
  rig.submit(under(2, {{pirate, 1.0F}}), "hello");
  EXPECT_TRUE(rig.sink.rejected.contains(2));
}

// Two names of one content are loaded and given up one by one.
TEST_P(Adapters, OneContentUnderTwoNamesIsThereUntilBothAreGone) {
  Rig rig(with(1));
  const Digest pirate = rig.load_adapter("say Arr.\n").adapter;
  EXPECT_EQ(rig.load_adapter("say Arr.\n").adapter, pirate);
  EXPECT_FALSE(rig.scheduler->unload_adapter({pirate}).error);
  rig.submit(under(1, {{pirate, 1.0F}}), "hello");
  rig.run();
  EXPECT_EQ(rig.sink.answer(1).text.substr(0, 5), "Arr. ");
  EXPECT_FALSE(rig.scheduler->unload_adapter({pirate}).error);
  rig.submit(under(2, {{pirate, 1.0F}}), "hello");
  EXPECT_TRUE(rig.sink.rejected.contains(2));
}

// Each call is of one set, nobody's set rests while another's goes on for long, and all come to
// their ends.
TEST_P(Adapters, SetsTakeTurns) {
  Rig rig(with(6));
  const Digest pirate = rig.load_adapter("say Arr.\n").adapter;
  std::vector<ipc::Submit> submits;
  for (ipc::RequestId id = 1; id <= 6; ++id) {
    std::vector<ipc::AdapterUse> uses;
    if (id > 3) uses.push_back({pirate, id == 6 ? 0.5F : 1.0F});
    submits.push_back(under(id, uses, 0.9F));
    submits.back().ignore_eos = true;
    submits.back().tokens_max = 60;
    rig.submit(submits.back(), prompt_of(200, static_cast<int>(id)));
  }
  std::size_t base_ends = 0;  // in calls
  while (rig.scheduler->busy()) {
    ASSERT_TRUE(rig.scheduler->step());
    if (base_ends == 0 && rig.sink.answer(1).finished) base_ends = rig.calls.size();
  }
  std::size_t rest_of_base = 0;
  std::uint32_t changes = 0;
  for (std::size_t i = 0; i < rig.calls.size(); ++i) {
    const SeenCall& call = rig.calls[i];
    if (i > 0 && !same_set(call, rig.calls[i - 1])) ++changes;
    rest_of_base = call.adapters.empty() ? 0 : rest_of_base + 1;
    if (i >= base_ends) continue;
    EXPECT_LE(rest_of_base, 16U) << i;  // a turn of each other set
  }
  EXPECT_GT(changes, 6U);
  EXPECT_LT(changes, rig.calls.size() / 2);  // a change costs an engine time
  for (const ipc::Submit& submit : submits) {
    const Answer& answer = rig.sink.answer(submit.id);
    EXPECT_EQ(answer.tokens.size(), 60U);
    EXPECT_EQ(answer.text.find("mixed"), std::string::npos);
    if (submit.adapters.empty()) {
      const Answer want = alone(submit, prompt_of(200, static_cast<int>(submit.id)), GetParam());
      expect_same(answer, want, "beside adapters");
    }
  }
}

// Of one that has a long answer to give, another set's newcomer waits for a turn and no more.
TEST_P(Adapters, ANewSetWaitsForATurnOnly) {
  Rig rig(with(2));
  const Digest pirate = rig.load_adapter("say Arr.\n").adapter;
  ipc::Submit submit = request(1);
  submit.ignore_eos = true;
  submit.tokens_max = 500;
  rig.submit(submit, "go on and on");
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(rig.scheduler->step());
  const std::size_t before = rig.calls.size();
  rig.submit(under(2, {{pirate, 1.0F}}), "hello");
  while (!rig.sink.answer(2).finished) ASSERT_TRUE(rig.scheduler->step());
  EXPECT_FALSE(rig.sink.answer(1).finished);
  const auto first =
      std::find_if(rig.calls.begin() + static_cast<std::ptrdiff_t>(before), rig.calls.end(),
                   [](const SeenCall& call) { return !call.adapters.empty(); });
  EXPECT_LE(first - rig.calls.begin() - static_cast<std::ptrdiff_t>(before), 8);
  rig.run();
  expect_same(rig.sink.answer(1), alone(submit, "go on and on", GetParam()), "beside adapters");
}

// What was computed under one set is of use to that set alone.
TEST_P(Adapters, PrefixesBelongToTheirSet) {
  const os::Fd prefixes = *os::create_shared_memory("prefixes", kPrefixMemory);
  Rig rig(with(2), kScript, &prefixes);
  const Digest pirate = rig.load_adapter("say Arr.\n").adapter;
  const std::string prompt = prompt_of(600, 1);
  const auto ask = [&](ipc::RequestId id, std::vector<ipc::AdapterUse> uses) {
    ipc::Submit submit = under(id, std::move(uses));
    submit.tenant = 7;
    rig.submit(submit, prompt);
    rig.run();
    EXPECT_EQ(rig.sink.answer(id).text.find("mixed"), std::string::npos) << id;
    return rig.sink.answer(id).finished->cached_tokens;
  };
  EXPECT_EQ(ask(1, {}), 0U);
  EXPECT_EQ(ask(2, {{pirate, 1.0F}}), 0U);
  EXPECT_EQ(ask(3, {{pirate, 0.5F}}), 0U);
  EXPECT_GT(ask(4, {{pirate, 1.0F}}), 500U);
  EXPECT_GT(ask(5, {}), 500U);
  EXPECT_GT(ask(6, {{pirate, 0.0F}}), 500U);
  EXPECT_EQ(rig.sink.answer(4).text, rig.sink.answer(2).text);
}

// At once, too: nobody forks from another set's prompt.
TEST_P(Adapters, NobodyForksAcrossSets) {
  const os::Fd prefixes = *os::create_shared_memory("prefixes", kPrefixMemory);
  Rig rig(with(4), kScript, &prefixes);
  const Digest pirate = rig.load_adapter("say Arr.\n").adapter;
  for (ipc::RequestId id = 1; id <= 4; ++id) {
    ipc::Submit submit = under(id, {});
    if (id % 2 == 0) submit.adapters = {{pirate, 1.0F}};
    submit.tenant = 7;
    rig.submit(submit, prompt_of(900, 1) + std::to_string(id));
  }
  rig.run();
  for (ipc::RequestId id = 1; id <= 4; ++id) {
    EXPECT_EQ(rig.sink.answer(id).text.find("mixed"), std::string::npos) << id;
    EXPECT_EQ(rig.sink.answer(id).text.starts_with("Arr. "), id % 2 == 0) << id;
  }
  EXPECT_EQ(rig.sink.answer(1).finished->cached_tokens, 0U);
  EXPECT_EQ(rig.sink.answer(2).finished->cached_tokens, 0U);
  EXPECT_GT(rig.sink.answer(3).finished->cached_tokens, 500U);
  EXPECT_GT(rig.sink.answer(4).finished->cached_tokens, 500U);
}

// Sequences of a set lie beside each other, so that a step of it is one graph.
TEST_P(Adapters, SequencesOfASetShareGraphs) {
  Rig rig(with(6));
  const Digest pirate = rig.load_adapter("say Arr.\n").adapter;
  for (ipc::RequestId id = 1; id <= 6; ++id) {
    ipc::Submit submit = under(id, {});
    if (id % 2 == 0) submit.adapters = {{pirate, 1.0F}};
    submit.ignore_eos = true;
    submit.tokens_max = 30;
    rig.submit(submit, "hello");
  }
  rig.run();
  for (const SeenCall& call : rig.calls) {
    for (std::size_t i = 1; i < call.parts.size(); ++i) {
      EXPECT_EQ(call.parts[i].sequence, call.parts[i - 1].sequence + 1);
    }
  }
}

// An engine that breaks under an adapter ends its worker, as for any other cause.
TEST_P(Adapters, OneThatBreaksTheEngineIsSaid) {
  Rig rig(with(2));
  const Digest broken = rig.load_adapter("fail_use yes\n").adapter;
  rig.submit(under(1, {{broken, 1.0F}}), "hello");
  EXPECT_FALSE(rig.scheduler->step());
  EXPECT_EQ(rig.sink.answer(1).finished->error->code, Code::kEngineFailed);
}

}  // namespace
}  // namespace aioss::worker
