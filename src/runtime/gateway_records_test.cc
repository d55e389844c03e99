// What the gateway records besides inferences: decisions, budgets, reviews, updates, and what
// operators do.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ledger/format/commitment.h"
#include "runtime/gateway.h"
#include "runtime/records/records.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using testing::Answered;
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

class GatewayRecordsTest : public ::testing::Test {
 protected:
  // The records of a type, after the end of the gateway.
  std::vector<ledger::Record> of_type(RecordType type) {
    std::vector<ledger::Record> all = bench.records();
    std::erase_if(all, [type](const ledger::Record& record) { return record.type != type; });
    return all;
  }
  // "kind outcome reason model ×count" of all DECISION records; equal ones added up.
  std::map<std::string, std::uint64_t> decisions() {
    std::map<std::string, std::uint64_t> all;
    for (const ledger::Record& record : of_type(RecordType::kDecision)) {
      namespace own = key::decision;
      std::string what;
      for (const std::uint64_t part : {own::kKind, own::kOutcome, own::kReason}) {
        what += *record.body.get_text(part, "") + " ";
      }
      if (const auto model = record.body.get_text(own::kModel, "")) what += *model;
      all[what] += *record.body.get_uint(own::kCount, "");
    }
    return all;
  }
  std::vector<std::string> details(const ledger::Record& record) {
    std::vector<std::string> all;
    for (const codec::Value& one : **record.body.get_array(key::admin_action::kDetails, "")) {
      all.push_back(*one.if_text());
    }
    return all;
  }
  using Decisions = std::map<std::string, std::uint64_t>;

  testing::TestBench bench;
};

// ---- decisions ----------------------------------------------------------------------------------

TEST_F(GatewayRecordsTest, RefusalsAreCountedAndNeverHoldTheCallersText) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  constexpr int kRefused = 3000;
  for (int i = 0; i < kRefused; ++i) {
    const auto refused = bench.gateway().submit(bench.call("secret-" + std::to_string(i), "q"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kNotFound);
  }
  bench.gateway().note_refusal(Code::kInvalidArgument);
  bench.expect_good_ledger();
  EXPECT_EQ(decisions(), (Decisions{{"admission refused not_found ", kRefused},
                                    {"admission refused invalid_argument ", 1}}));
  EXPECT_LT(bench.count(RecordType::kDecision), 30U) << "one a second and reason";
  for (const ledger::Record& record : bench.records()) {
    const Bytes encoded = codec::encode(codec::Map(record.body));
    EXPECT_EQ(as_text(encoded).find("secret-"), std::string_view::npos);
  }
}

TEST_F(GatewayRecordsTest, RefusalsOfTheWorkerNameTheModel) {
  bench.options.context_tokens = 64;
  bench.add_model("m", "reply hello\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", std::string(500, 'x')).code(), "context_length_exceeded");
  EXPECT_TRUE(bench.ask("m", "short").done);
  bench.expect_good_ledger();
  EXPECT_EQ(decisions(), (Decisions{{"admission refused context_length_exceeded m", 1}}));
}

TEST_F(GatewayRecordsTest, ALoadThatFailedIsADecisionAndSoIsWhatItRefuses) {
  bench.add_model("broken", "fail_load corrupt\n");
  bench.start();
  EXPECT_EQ(bench.ask("broken", "a").code(), "model_corrupt");
  EXPECT_EQ(bench.ask("broken", "b").code(), "model_corrupt");  // within the second after it
  bench.expect_good_ledger();
  const Decisions found = decisions();
  ASSERT_TRUE(found.contains("load failed model_corrupt broken"));
  EXPECT_EQ(found.at("load failed model_corrupt broken") +
                (found.contains("admission refused model_corrupt broken")
                     ? found.at("admission refused model_corrupt broken")
                     : 0),
            2U);
}

TEST_F(GatewayRecordsTest, AnEvictionIsADecisionAndTheUnloadSaysWhy) {
  bench.options.workers_max = 1;
  bench.add_model("a", "reply hello\n");
  bench.add_model("b", "reply hello\n");
  bench.start();
  EXPECT_TRUE(bench.ask("a", "q").done);
  EXPECT_TRUE(bench.ask("b", "q").done);
  bench.expect_good_ledger();
  EXPECT_EQ(decisions(), (Decisions{{"eviction unloaded replaced a", 1}}));
  std::vector<std::string> reasons;
  for (const ledger::Record& record : of_type(RecordType::kModelUnload)) {
    reasons.push_back(*record.body.get_text(key::model_unload::kReason, ""));
  }
  EXPECT_EQ(reasons, (std::vector<std::string>{"replaced", "shutdown"}));
}

TEST_F(GatewayRecordsTest, AModelWhoseFileIsGoneIsEvicted) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  EXPECT_TRUE(bench.ask("m", "q").done);
  std::filesystem::remove(bench.model_path("m.fake"));
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  EXPECT_TRUE(bench.wait_for_no_workers());
  bench.expect_good_ledger();
  EXPECT_EQ(decisions(), (Decisions{{"eviction unloaded removed m", 1}}));
}

TEST_F(GatewayRecordsTest, AWorkerThatWasKilledForItsSilenceIsUnloadedAsUnhealthy) {
  bench.add_bad_model("m", "no_pong");
  bench.start();
  ASSERT_TRUE(bench.gateway().load("m", nullptr));
  const std::vector<int> first = bench.worker_pids();
  for (int i = 0; i < 200 && bench.worker_pids() == first; ++i) {
    bench.clock().advance(std::chrono::milliseconds(1100));
    (void)bench.gateway().load("m", nullptr);  // wakes the runtime thread, which then looks
  }
  bench.expect_good_ledger();
  const auto unloads = of_type(RecordType::kModelUnload);
  ASSERT_GE(unloads.size(), 1U);
  EXPECT_EQ(*unloads[0].body.get_text(key::model_unload::kReason, ""),
            "unhealthy: the worker has not answered for 30 s");
}

TEST_F(GatewayRecordsTest, WhoFindsNoRoomIsRefusedByADecision) {
  bench.options.workers_max = 1;
  bench.add_model("a", "reply hello\ndelay_us_per_call 2000\n");
  bench.add_model("b", "reply hello\n");
  bench.start();
  const auto running = bench.submit("a", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  EXPECT_EQ(bench.ask("b", "q").code(), "busy");
  running->cancel();
  read_all(*running);
  bench.expect_good_ledger();
  EXPECT_EQ(decisions(), (Decisions{{"admission refused busy b", 1}}));
}

TEST_F(GatewayRecordsTest, StrangersAreCountedByReason) {
  bench.start();
  for (int i = 0; i < 5000; ++i) bench.gateway().note_stranger(ledger::auth_reason::kNoKey);
  bench.gateway().note_stranger(ledger::auth_reason::kUnknownKey);
  bench.expect_good_ledger();
  std::map<std::string, std::uint64_t> counted;
  for (const ledger::Record& record : of_type(RecordType::kAuth)) {
    counted[*record.body.get_text(key::auth::kReason, "")] +=
        *record.body.get_uint(key::auth::kCount, "");
  }
  EXPECT_EQ(counted, (std::map<std::string, std::uint64_t>{{"no_key", 5000}, {"unknown_key", 1}}));
  EXPECT_LT(bench.count(RecordType::kAuth), 30U);
}

// ---- budgets ------------------------------------------------------------------------------------

TEST_F(GatewayRecordsTest, ATenantOverItsBudgetIsRefusedAndOthersAreServed) {
  bench.options.record_rate = 1;
  bench.options.record_burst = 4;
  bench.add_model("m", "reply hello\n");
  bench.start();
  const auto submit = [&](const std::string& tenant) {
    GenerateCall call = bench.call("m", "q");
    call.principal.tenant = tenant;
    return bench.gateway().submit(std::move(call));
  };
  std::vector<std::shared_ptr<Stream>> streams;
  int refused = 0;
  for (int i = 0; i < 1000; ++i) {
    auto stream = submit("loud");
    if (stream) {
      streams.push_back(*stream);
      continue;
    }
    EXPECT_EQ(stream.error().code, Code::kBusy);
    EXPECT_NE(stream.error().message.find("budget"), std::string::npos);
    ++refused;
  }
  EXPECT_GE(refused, 990);
  auto quiet = submit("quiet");
  ASSERT_TRUE(quiet);
  EXPECT_TRUE(read_all(**quiet).done);
  for (const auto& stream : streams) EXPECT_TRUE(read_all(*stream).done);
  bench.clock().advance(std::chrono::seconds(2));
  const auto again = submit("loud");
  ASSERT_TRUE(again) << "two seconds are two records";
  EXPECT_TRUE(read_all(**again).done);
  bench.expect_good_ledger();
  EXPECT_EQ(decisions(), (Decisions{{"budget refused record_budget ", refused}}));
  for (const ledger::Record& record : of_type(RecordType::kDecision)) {
    const codec::Map* actor = *record.body.get_map(key::kActor, "");
    EXPECT_EQ(*actor->get_text(key::actor::kTenant, ""), "loud");
  }
}

TEST_F(GatewayRecordsTest, WhatIsDoneBesideTheGatewayTakesFromTheSameBudget) {
  bench.options.record_rate = 1;
  bench.options.record_burst = 4;
  bench.add_model("m", "reply hello\n");
  bench.start();
  Principal loud;
  loud.tenant = "loud";
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(bench.gateway().spend(loud)) << i;
  GenerateCall call = bench.call("m", "q");
  call.principal.tenant = "loud";
  const auto refused = bench.gateway().submit(std::move(call));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kBusy);
  int spent = 0;
  for (int i = 0; i < 1000; ++i) spent += bench.gateway().spend(loud) ? 1 : 0;
  EXPECT_LT(spent, 10);
  const Status over = bench.gateway().spend(loud);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, Code::kBusy);
  EXPECT_NE(over.error().message.find("budget"), std::string::npos);
  EXPECT_TRUE(bench.gateway().spend(Principal())) << "another tenant's is untouched";
  bench.expect_good_ledger();
  const Decisions found = decisions();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_GE(found.at("budget refused record_budget "), 990U);
}

TEST_F(GatewayRecordsTest, ABudgetThatHoldsNoRequestIsRefusedAtTheStart) {
  bench.start();
  GatewayOptions options = bench.options;
  options.record_burst = 1;
  crypto::SystemRandom random;
  const auto created = Gateway::create(options, bench.files(), bench.clock(), random,
                                       bench.ledger(), bench.custody(), bench.metrics());
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, Code::kUsage);
}

// ---- operators ----------------------------------------------------------------------------------

TEST_F(GatewayRecordsTest, ARescanNamesWhatCameAndWent) {
  bench.add_model("old", "reply hello\n");
  bench.add_model("stays", "reply hello\n");
  bench.start();
  std::filesystem::remove(bench.model_path("old.fake"));
  bench.add_model("new", "reply hello\n");
  Principal alice{"ward-3", "alice", Role::kOperator, "key:k1", ""};
  ASSERT_TRUE(bench.gateway().rescan(alice));
  ASSERT_TRUE(bench.gateway().rescan(alice));
  const std::string alice_id = bench.custody().find({"ward-3", "alice"})->id();
  bench.expect_good_ledger();
  const auto records = of_type(RecordType::kAdminAction);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(*records[0].body.get_text(key::admin_action::kAction, ""), "rescan");
  EXPECT_EQ(*records[0].body.get_text(key::admin_action::kOutcome, ""), "done");
  EXPECT_EQ(details(records[0]), (std::vector<std::string>{"vanished old", "appeared new"}));
  EXPECT_EQ(*(*records[0].body.get_map(key::kActor, ""))->get_text(key::actor::kName, ""),
            alice_id);
  EXPECT_TRUE(details(records[1]).empty());
}

TEST_F(GatewayRecordsTest, ARescanThatFailsIsRecordedToo) {
  bench.start();
  std::filesystem::rename(bench.options.models_dir, bench.options.models_dir + ".away");
  EXPECT_FALSE(bench.gateway().rescan(Principal()));
  bench.expect_good_ledger();
  const auto records = of_type(RecordType::kAdminAction);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_NE(*records[0].body.get_text(key::admin_action::kOutcome, ""), "done");
}

TEST_F(GatewayRecordsTest, ARescanIsBoundedByTheBudgetUnlessItIsASignal) {
  bench.options.record_rate = 1;
  bench.options.record_burst = 2;
  bench.start();
  Principal caller;
  int done = 0;
  for (int i = 0; i < 20; ++i) done += bench.gateway().rescan(caller) ? 1 : 0;
  EXPECT_LT(done, 20);
  caller.source = kSignalSource;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(bench.gateway().rescan(caller));
  bench.expect_good_ledger();
}

TEST_F(GatewayRecordsTest, AChangeWithDetailsIsAnAdminActionBesideItInAsManyRecordsAsItNeeds) {
  bench.start();
  ConfigurationChange change{"key_file_sha3", "00", "key file reloaded", "keys_changed", {}};
  ASSERT_TRUE(bench.gateway().change_configuration(change));
  constexpr std::size_t kKeys = 2 * records::kDetailsMax + 1;
  for (std::size_t i = 0; i < kKeys; ++i) change.details.push_back("added k" + std::to_string(i));
  ASSERT_TRUE(bench.gateway().change_configuration(change));
  bench.expect_good_ledger();
  const auto actions = of_type(RecordType::kAdminAction);
  const auto changes = of_type(RecordType::kConfigChange);
  ASSERT_EQ(changes.size(), 3U);
  ASSERT_EQ(actions.size(), 3U) << "none for a change without details";
  std::vector<std::string> all;
  for (const ledger::Record& action : actions) {
    EXPECT_EQ(*action.body.get_uint(key::kRefIndex, ""), changes[2].index);
    EXPECT_EQ(*action.body.get_text(key::admin_action::kAction, ""), "keys_changed");
    for (std::string& one : details(action)) all.push_back(std::move(one));
  }
  EXPECT_EQ(all, change.details);
}

// ---- updates ------------------------------------------------------------------------------------

class GatewayUpdateTest : public GatewayRecordsTest {
 protected:
  // The worker that ran last, and one more byte.
  void update_worker() {
    const std::string updated = bench.directory() + "/worker";
    std::filesystem::copy_file(bench.options.worker_executable, updated);
    std::ofstream(updated, std::ios::app) << "x";
    bench.options.worker_executable = updated;
  }
  void run_once() {
    bench.add_model("m", "reply hello\n");
    bench.start();
    EXPECT_TRUE(bench.ask("m", "q").done);
    bench.finish();
  }
};

TEST_F(GatewayUpdateTest, AnotherExecutableIsAnUpdateBeforeItsEngine) {
  run_once();
  run_once();
  EXPECT_EQ(bench.count(RecordType::kUpdate), 0U) << "the same again";
  update_worker();
  run_once();
  run_once();
  const auto updates = of_type(RecordType::kUpdate);
  ASSERT_EQ(updates.size(), 1U);
  const auto starts = of_type(RecordType::kEngineStart);
  ASSERT_EQ(starts.size(), 4U);
  const auto binary = [](const ledger::Record& start) {
    return *start.body.get_bytes(key::engine_start::kBinarySha3, "");
  };
  EXPECT_EQ(*updates[0].body.get_bytes(key::update::kBinaryBefore, ""), binary(starts[1]));
  EXPECT_EQ(*updates[0].body.get_bytes(key::update::kBinaryNow, ""), binary(starts[2]));
  EXPECT_EQ(*updates[0].body.get_text(key::update::kVersionNow, ""), AIOSS_VERSION);
  EXPECT_GT(updates[0].index, starts[1].index);
  EXPECT_LT(updates[0].index, starts[2].index);
}

TEST_F(GatewayUpdateTest, AnUpdateIsRecordedAtTheStartWithoutAnyModel) {
  run_once();
  update_worker();
  bench.start();
  for (int i = 0; i < 2000 && bench.count(RecordType::kUpdate) == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(bench.count(RecordType::kUpdate), 1U);
  bench.expect_good_ledger();
}

TEST_F(GatewayUpdateTest, NoEngineStartsBeforeAnUpdateThatFoundNoRoom) {
  constexpr std::uint64_t kReserve = std::uint64_t{1} << 20;
  bench.reserve_bytes = kReserve;
  bench.disk().faults().set_bytes_available(2 * kReserve);
  run_once();
  update_worker();
  const auto wait_for_health = [&](bool ok) {
    for (int i = 0; i < 2000 && bench.gateway().health().ok != ok; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return bench.gateway().health().ok == ok;
  };
  bench.files().hold_reads(bench.options.worker_executable);
  bench.start();
  bench.disk().faults().set_bytes_available(kReserve / 2);
  ASSERT_TRUE(wait_for_health(false));
  bench.files().release();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // it is tried and refused
  EXPECT_EQ(bench.count(RecordType::kUpdate), 0U);
  bench.disk().faults().set_bytes_available(2 * kReserve);
  ASSERT_TRUE(wait_for_health(true));
  EXPECT_TRUE(bench.ask("m", "q").done);
  bench.expect_good_ledger();
  const auto updates = of_type(RecordType::kUpdate);
  ASSERT_EQ(updates.size(), 1U);
  EXPECT_LT(updates[0].index, of_type(RecordType::kEngineStart).back().index);
}

// ---- reviews ------------------------------------------------------------------------------------

TEST_F(GatewayRecordsTest, AReviewNamesTheEndOfItsRequestAndCommitsToItsComment) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  const auto stream = bench.submit("m", "q");
  const Answered answered = read_all(*stream);
  ASSERT_TRUE(answered.done);
  ReviewCall call;
  call.by = {"ward-3", "alice", Role::kAuditor, "key:k1", ""};
  call.request_id = stream->request_id();
  call.verdict = "overridden";
  call.comment = "wrong dose, see the chart";
  const auto by_id = bench.gateway().review(call);
  ASSERT_TRUE(by_id) << by_id.error().message;
  EXPECT_EQ(by_id->reviewed_record, answered.done->result_record);
  ASSERT_TRUE(by_id->comment_salt);
  ReviewCall plain;
  plain.record = answered.started->request_record;
  plain.verdict = "approved";
  const auto by_record = bench.gateway().review(plain);
  ASSERT_TRUE(by_record);
  EXPECT_EQ(by_record->reviewed_record, answered.started->request_record);
  EXPECT_EQ(by_record->request_id, stream->request_id());
  EXPECT_FALSE(by_record->comment_salt);
  bench.expect_good_ledger();
  const auto reviews = of_type(RecordType::kHumanReview);
  ASSERT_EQ(reviews.size(), 2U);
  const codec::Map& body = reviews[0].body;
  EXPECT_EQ(reviews[0].index, by_id->record);
  EXPECT_EQ(*body.get_text(key::kRequestId, ""), stream->request_id());
  EXPECT_EQ(*body.get_uint(key::kRefIndex, ""), answered.done->result_record);
  EXPECT_EQ(*body.get_text(key::human_review::kVerdict, ""), "overridden");
  EXPECT_EQ(*body.get_digest(key::human_review::kCommentCommitment, ""),
            ledger::commitment_of(*by_id->comment_salt, call.comment));
  EXPECT_EQ(*body.get_uint(key::human_review::kCommentBytes, ""), call.comment.size());
  EXPECT_EQ(reviews[1].body.find(key::human_review::kCommentCommitment), nullptr);
  for (const ledger::Record& record : bench.records()) {
    const Bytes encoded = codec::encode(codec::Map(record.body));
    EXPECT_EQ(as_text(encoded).find("wrong dose"), std::string_view::npos);
  }
}

TEST_F(GatewayRecordsTest, AReviewOfNothingIsRefused) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  const auto stream = bench.submit("m", "q");
  const Answered answered = read_all(*stream);
  ASSERT_TRUE(answered.done);
  const auto refused = [&](auto change) {
    ReviewCall call;
    call.request_id = stream->request_id();
    call.verdict = "approved";
    change(call);
    const auto reviewed = bench.gateway().review(call);
    return reviewed ? std::string("no error") : std::string(info(reviewed.error().code).name);
  };
  EXPECT_EQ(refused([](ReviewCall& call) { call.request_id = "req_none"; }), "not_found");
  EXPECT_EQ(refused([](ReviewCall& call) { call.request_id.clear(); }), "invalid_argument");
  EXPECT_EQ(refused([](ReviewCall& call) { call.verdict = "fine"; }), "invalid_argument");
  EXPECT_EQ(refused([](ReviewCall& call) { call.record = 1; }), "not_found") << "GENESIS";
  EXPECT_EQ(refused([](ReviewCall& call) { call.record = 1'000'000; }), "not_found");
  EXPECT_EQ(refused([&](ReviewCall& call) {
              call.record = answered.done->result_record;
              call.request_id = "req_other";
            }),
            "invalid_argument");
  const std::string too_long(kReviewCommentBytesMax + 1, 'x');
  EXPECT_EQ(refused([&](ReviewCall& call) { call.comment = too_long; }), "too_large");
  bench.expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kHumanReview), 0U);
}

}  // namespace
}  // namespace aioss::runtime
