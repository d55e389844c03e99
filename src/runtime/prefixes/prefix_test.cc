// What was computed of prompts outlives workers, and nothing that it must not: real processes.
#include <gtest/gtest.h>

#include <string>

#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using testing::Answered;

std::string about_the_document(const std::string& question) {
  std::string text = "document ";
  while (text.size() < 600) text += "lorem ipsum ";
  return text + question;
}

class PrefixTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bench.options.profile = ipc::Profile::kReproducible;
    bench.add_model("m", "reply The fox jumps over the dog.\nreply No.\nmargin 3\n");
    bench.add_model("other", "reply hello\n");
  }
  std::uint32_t cached(const std::string& question) {
    const Answered answered = bench.ask("m", about_the_document(question));
    EXPECT_TRUE(answered.done) << answered.code();
    return answered.done ? answered.done->cached_tokens : 0;
  }
  testing::TestBench bench;
};

TEST_F(PrefixTest, ASecondQuestionIsToldWhatItDidNotCost) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  EXPECT_EQ(cached("where?"), 576U);
  bench.expect_good_ledger();
}

TEST_F(PrefixTest, WhatAKilledWorkerHadComputedIsThere) {
  bench.start();
  const std::string alone = bench.ask("m", about_the_document("where?")).text.at(0);
  EXPECT_EQ(bench.kill_workers(), 1);
  EXPECT_EQ(cached("who?"), 576U);
  EXPECT_EQ(bench.kill_workers(), 1);
  EXPECT_EQ(bench.ask("m", about_the_document("where?")).text.at(0), alone);
}

TEST_F(PrefixTest, AndOfOneThatWasUnloaded) {
  bench.options.workers_max = 1;
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  EXPECT_TRUE(bench.ask("other", "hello").done);
  EXPECT_EQ(cached("where?"), 576U);
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 3U);
}

TEST_F(PrefixTest, ButNotOfOneThatCrashed) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  EXPECT_EQ(bench.ask("m", "[[crash 2]]").code(), "worker_died");
  EXPECT_EQ(cached("where?"), 0U);
}

TEST_F(PrefixTest, NorWhatWasToBeForgotten) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  ASSERT_TRUE(bench.gateway().forget_prefixes());
  EXPECT_EQ(cached("where?"), 0U) << "by the worker that runs";
  EXPECT_EQ(cached("and how?"), 576U);
  EXPECT_EQ(bench.kill_workers(), 1);
  EXPECT_EQ(cached("but why?"), 0U) << "and the next one begins with new memory";
}

TEST_F(PrefixTest, CanBeOff) {
  bench.options.prefix_bytes = 0;
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  EXPECT_EQ(cached("where?"), 0U);
}

}  // namespace
}  // namespace aioss::runtime
