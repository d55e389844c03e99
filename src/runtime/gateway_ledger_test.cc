// What the gateway owes the ledger and what it does when the ledger cannot take it: a disk without
// room or that fails, records on their way at the end, changes of the configuration.
#include <gtest/gtest.h>

#include <cerrno>
#include <future>
#include <map>
#include <thread>

#include "runtime/gateway.h"
#include "runtime/records/records.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using std::chrono::milliseconds;
using testing::Answered;
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

constexpr std::uint64_t kLedgerReserve = std::uint64_t{1} << 20;
constexpr const char* kSlowScript = "reply x\ndelay_us_per_call 5000\n";

class GatewayLedgerTest : public ::testing::Test {
 protected:
  void start(const std::string& script) {
    bench.add_model("m", script);
    bench.start();
    ASSERT_TRUE(bench.gateway().load("m", nullptr));
  }
  void set_room(std::uint64_t bytes) { bench.disk().faults().set_bytes_available(bytes); }
  // The ledger looks by itself now and then.
  bool wait_for_health(bool ok) {
    for (int i = 0; i < 2000 && bench.gateway().health().ok != ok; ++i) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    return bench.gateway().health().ok == ok;
  }
  void expect_refused_with_one_sentence() {
    const auto refused = bench.gateway().submit(bench.call("m", "again"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kLedgerUnavailable);
    EXPECT_EQ(info(refused.error().code).http_status, 503);
    const std::string& message = refused.error().message;
    EXPECT_FALSE(message.empty());
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_EQ(message.find(". "), std::string::npos) << "more than one sentence: " << message;
    EXPECT_EQ(message.find(bench.directory()), std::string::npos) << "a path of the server";
    EXPECT_EQ(bench.gateway().health().reason, message);
  }

  testing::TestBench bench;
};

// ---- no room ------------------------------------------------------------------------------------

TEST_F(GatewayLedgerTest, LowDiskRefusesNewRequestsAndRecordsTheEndsOfOthers) {
  bench.reserve_bytes = kLedgerReserve;
  set_room(2 * kLedgerReserve);
  start(kSlowScript);
  const auto running = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  set_room(kLedgerReserve / 2);
  ASSERT_TRUE(wait_for_health(false));
  expect_refused_with_one_sentence();
  running->cancel();  // what has begun may end
  const Answered rest = read_all(*running);
  EXPECT_EQ(rest.code(), "cancelled");
  EXPECT_TRUE(rest.failed->abort_record);
  set_room(2 * kLedgerReserve);
  ASSERT_TRUE(wait_for_health(true));
  EXPECT_TRUE(bench.ask("m", "b").done) << "there is room again";
  bench.expect_good_ledger();
}

// The look at health() may be old: then the ledger itself refuses the record.
TEST_F(GatewayLedgerTest, LowDiskThatIsNotNoticedYetShowsNothing) {
  bench.reserve_bytes = kLedgerReserve;
  set_room(2 * kLedgerReserve);
  start("reply hello world\n");
  set_room(kLedgerReserve / 2);
  const auto stream = bench.gateway().submit(bench.call("m", "a"));
  if (stream) {
    const Answered answered = read_all(**stream);
    EXPECT_EQ(answered.code(), "ledger_unavailable");
    EXPECT_EQ(answered.events.size(), 1U) << "something was shown";
  } else {
    EXPECT_EQ(stream.error().code, Code::kLedgerUnavailable);
  }
  ASSERT_TRUE(wait_for_health(false));
  expect_refused_with_one_sentence();
  bench.finish();
  EXPECT_EQ(bench.count(RecordType::kInferRequest), 0U);
}

TEST_F(GatewayLedgerTest, AnEndThatHasNoRoomIsNotShown) {
  bench.reserve_bytes = kLedgerReserve;
  set_room(2 * kLedgerReserve);
  start("reply hello world\ndelay_us_per_call 500000\n");  // seconds remain after the first text
  const auto stream = bench.submit("m", "a");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  set_room(0);
  const Answered rest = read_all(*stream);
  EXPECT_EQ(rest.code(), "ledger_unavailable");
  EXPECT_FALSE(rest.done);
  EXPECT_FALSE(rest.failed->abort_record);
  bench.finish();
  EXPECT_EQ(bench.count(RecordType::kInferResult), 0U);
}

// ---- a disk that fails --------------------------------------------------------------------------

// Whatever write fails first: what a client saw is recorded, and after the failure nothing is seen.
TEST_F(GatewayLedgerTest, NothingIsAnsweredUnrecordedWhicheverWriteFails) {
  for (std::uint64_t failing = 1; failing <= 5; ++failing) {
    SCOPED_TRACE("write " + std::to_string(failing));
    testing::TestBench fresh;
    fresh.add_model("m", "reply hello world\n");
    fresh.start();
    ASSERT_TRUE(fresh.gateway().load("m", nullptr));
    fresh.disk().faults().arm(os::FaultPoint::kWrite, {failing, ENOSPC, true, {}});
    std::vector<Answered> all;
    std::optional<Error> refusal;
    for (int i = 0; i < 10 && !refusal; ++i) {
      auto stream = fresh.gateway().submit(fresh.call("m", "q"));
      stream ? all.push_back(read_all(**stream)) : void(refusal = stream.error());
    }
    ASSERT_TRUE(refusal) << "the disk failed and nobody noticed";
    EXPECT_EQ(refusal->code, Code::kLedgerUnavailable);
    fresh.finish();
    std::map<std::uint64_t, RecordType> types;
    for (const ledger::Record& record : fresh.records()) types[record.index] = record.type;
    for (const Answered& answered : all) {
      EXPECT_TRUE(answered.done || answered.code() == "ledger_unavailable") << answered.code();
      EXPECT_TRUE(answered.text.empty() || answered.started);
      if (answered.started) {
        EXPECT_EQ(types[answered.started->request_record], RecordType::kInferRequest);
      }
      if (answered.done) {
        EXPECT_EQ(types[answered.done->result_record], RecordType::kInferResult);
      }
    }
  }
}

// ---- the end ------------------------------------------------------------------------------------

TEST_F(GatewayLedgerTest, OrderlyShutDownLeavesNothingBehind) {
  start(kSlowScript);
  const auto stream = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  bench.gateway().shut_down(milliseconds(0));
  EXPECT_EQ(read_all(*stream).code(), "shutting_down");
  EXPECT_TRUE(bench.gateway().left_behind());
  bench.expect_good_ledger();
}

TEST_F(GatewayLedgerTest, ShutDownSaysWhatItCouldNotRecord) {
  start("reply hello\n");
  bench.disk().fail();
  bench.gateway().shut_down(milliseconds(0));
  const Status left = bench.gateway().left_behind();
  ASSERT_FALSE(left);
  EXPECT_EQ(info(left.error().code).exit_code, ExitCode::kFailure);
  EXPECT_NE(left.error().message.find("2 unwritten records"), std::string::npos)
      << left.error().message;
  EXPECT_EQ(left.error().message.find('\n'), std::string::npos);
  bench.finish();
}

// A load that is called off leaves ENGINE_START on its way; its stop must follow it.
TEST_F(GatewayLedgerTest, ShutDownWaitsForTheRecordOfAnEngine) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  bench.disk().hold();
  auto loaded = std::async(std::launch::async, [&] { return bench.gateway().load("m", nullptr); });
  ASSERT_TRUE(bench.disk().wait_until_held());
  auto stopped =
      std::async(std::launch::async, [&] { bench.gateway().shut_down(milliseconds(0)); });
  EXPECT_TRUE(bench.wait_for_no_workers());
  EXPECT_EQ(stopped.wait_for(milliseconds(300)), std::future_status::timeout)
      << "it did not wait for the record";
  bench.disk().release();
  stopped.get();
  EXPECT_FALSE(loaded.get());
  EXPECT_TRUE(bench.gateway().left_behind());
  bench.expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kEngineStart), 1U);
}

// ---- the configuration --------------------------------------------------------------------------

TEST_F(GatewayLedgerTest, ChangeOfTheConfigurationIsRecordedAndNamedByLaterRequests) {
  start("reply hello\n");
  EXPECT_TRUE(bench.ask("m", "a").done);
  const ConfigurationChange change{"key_file_sha3", "5ec2e7", "key file reloaded"};
  ASSERT_TRUE(bench.gateway().change_configuration(change));
  EXPECT_TRUE(bench.ask("m", "b").done);
  ASSERT_TRUE(bench.gateway().change_configuration(change));
  bench.expect_good_ledger();
  std::vector<ledger::Record> changes;
  std::vector<std::uint64_t> named;  // by requests
  for (const ledger::Record& record : bench.records()) {
    if (record.type == RecordType::kConfigChange) changes.push_back(record);
    if (record.type == RecordType::kInferRequest) {
      named.push_back(*record.body.get_uint(key::infer_request::kConfigRef, "config"));
    }
    const Bytes encoded = codec::encode(codec::Map(record.body));
    EXPECT_EQ(as_text(encoded).find("5ec2e7"), std::string_view::npos) << "a value, in clear";
  }
  ASSERT_EQ(changes.size(), 3U);
  EXPECT_EQ(named, (std::vector<std::uint64_t>{changes[0].index, changes[1].index}));
  namespace own = key::config_change;
  EXPECT_EQ(changes[0].body.find(own::kPreviousRef), nullptr);
  // Whoever has the configuration can check what the record commits to.
  EXPECT_EQ(*changes[0].body.get_digest(own::kCommitment, "commitment"),
            ledger::commitment_of(*changes[0].body.get_digest(own::kSalt, "salt"),
                                  records::canonical_configuration(bench.options).text));
  EXPECT_EQ(changes[0].body.find(ledger::key::config_change::kReason), nullptr);
  for (std::size_t i = 1; i < changes.size(); ++i) {
    EXPECT_EQ(*changes[i].body.get_uint(own::kPreviousRef, "previous"), changes[i - 1].index);
    EXPECT_EQ(*changes[i].body.get_text(ledger::key::config_change::kReason, "reason"),
              "key file reloaded");
    const codec::Array* keys = *changes[i].body.get_array(own::kChangedKeys, "keys");
    ASSERT_EQ(keys->size(), 1U);
    // Salted: even the same configuration cannot be told by its commitment.
    EXPECT_NE(*changes[i].body.get_bytes(own::kCommitment, "commitment"),
              *changes[i - 1].body.get_bytes(own::kCommitment, "commitment"));
  }
}

// Whoever is admitted under one configuration is not said to have come under the next.
TEST_F(GatewayLedgerTest, RequestNamesTheConfigurationOfItsSubmissionNotOfItsStart) {
  bench.add_model("m", "reply hello\n");
  bench.files().hold_reads(bench.model_path("m.fake"));  // until its hash is known it cannot start
  bench.start();
  const auto early = bench.submit("m", "a");
  ASSERT_TRUE(bench.gateway().change_configuration({"key_file_sha3", "5ec2e7", "x"}));
  const auto late = bench.submit("m", "b");
  bench.files().release();
  ASSERT_TRUE(read_all(*early).done);
  ASSERT_TRUE(read_all(*late).done);
  bench.expect_good_ledger();
  std::vector<std::uint64_t> changes;
  std::map<std::string, std::uint64_t> named;  // by request
  for (const ledger::Record& record : bench.records()) {
    if (record.type == RecordType::kConfigChange) changes.push_back(record.index);
    if (record.type == RecordType::kInferRequest) {
      named[std::string(*record.body.get_text(key::kRequestId, "id"))] =
          *record.body.get_uint(key::infer_request::kConfigRef, "config");
    }
  }
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(named[early->request_id()], changes[0]);
  EXPECT_EQ(named[late->request_id()], changes[1]);
}

TEST_F(GatewayLedgerTest, ChangeThatCannotBeRecordedIsRefused) {
  start("reply hello\n");
  bench.disk().fail();
  const Status changed = bench.gateway().change_configuration({"key_file_sha3", "00", "x"});
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, Code::kLedgerUnavailable);
  bench.finish();
}

}  // namespace
}  // namespace aioss::runtime
