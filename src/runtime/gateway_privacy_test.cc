// What the gateway keeps of people: ids for names, salts that come back after a restart, sealed
// texts before the records that name them, and no answer where any of it cannot be kept.
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "ledger/format/commitment.h"
#include "ledger/reading/payloads.h"
#include "runtime/records/records.h"
#include "runtime/records/salts.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using std::chrono::milliseconds;
using testing::Answered;
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

constexpr const char* kSlowScript = "reply hello world\ndelay_us_per_call 100000\n";

Principal alice() {
  Principal principal;
  principal.tenant = "ward-3";
  principal.user = "alice-mueller";
  principal.source = "key:k1";
  return principal;
}

class GatewayPrivacyTest : public ::testing::Test {
 protected:
  void start(const std::string& script, Privacy privacy) {
    bench.options.privacy = privacy;
    bench.add_model("m", script);
    bench.start();
    ASSERT_TRUE(bench.gateway().load("m", nullptr));
  }
  std::shared_ptr<Stream> submit(const Principal& who, const std::string& prompt) {
    GenerateCall call = bench.call("m", prompt);
    call.principal = who;
    auto stream = bench.gateway().submit(std::move(call));
    EXPECT_TRUE(stream) << (stream ? "" : stream.error().message);
    return stream ? *stream : nullptr;
  }
  // The one record of a type.
  ledger::Record only(RecordType type) {
    std::vector<ledger::Record> found;
    for (ledger::Record& record : bench.records()) {
      if (record.type == type) found.push_back(std::move(record));
    }
    EXPECT_EQ(found.size(), 1U);
    return found.empty() ? ledger::Record() : found.front();
  }
  // Files of the ledger that hold these bytes.
  std::vector<std::string> places_of(std::string_view needle) const {
    std::vector<std::string> places;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(bench.directory() + "/ledger")) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string text((std::istreambuf_iterator<char>(file)), {});
      if (text.find(needle) != std::string::npos) places.push_back(entry.path());
    }
    return places;
  }
  std::size_t blobs() const {
    const std::string folder = bench.directory() + "/ledger/blob";
    std::size_t count = 0;
    if (!std::filesystem::exists(folder)) return 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  // Every file that is to be made cannot be; the ledger's own is open already.
  void let_new_files_fail() {
    bench.disk().faults().arm(os::FaultPoint::kOpen, {1, EIO, true, {}});
  }

  testing::TestBench bench;
};

TEST_F(GatewayPrivacyTest, CommitmentsOpenWithSaltsThatNobodyStored) {
  start("reply hello world\n", Privacy::kCommit);
  GenerateCall call = bench.call("m", "a question");
  call.principal = alice();
  call.request.stop = {"never"};
  const Bytes prompt = records::canonical_prompt(call.request.prompt);
  auto stream = bench.gateway().submit(std::move(call));
  ASSERT_TRUE(stream);
  const std::string id = (*stream)->request_id();
  const Answered answered = read_all(**stream);
  ASSERT_TRUE(answered.done);
  bench.finish();
  bench.start();  // another process would know no more
  const auto salt = [&](const Principal& who, std::string_view field) {
    return salt_for(bench.custody(), who, id, field).value_or(Digest{});
  };
  const codec::Map request = only(RecordType::kInferRequest).body;
  const Digest committed = *request.get_digest(key::infer_request::kPromptCommitment, "commitment");
  EXPECT_EQ(ledger::commitment_of(salt(alice(), "prompt"), as_text(prompt)), committed);
  EXPECT_EQ(
      ledger::commitment_of(salt(alice(), "stop"), as_text(records::canonical_stops({"never"}))),
      *request.get_digest(key::infer_request::kStopCommitment, "commitment"));
  const ledger::Record result = only(RecordType::kInferResult);
  const auto choices = result.body.get_array(key::infer_result::kChoices, "choices");
  EXPECT_EQ(ledger::commitment_of(salt(alice(), "output/0"), answered.text[0]),
            *(**choices)[0].if_map()->get_digest(key::choice::kOutputCommitment, "commitment"));
  Principal bob = alice();
  bob.user = "bob";
  EXPECT_FALSE(salt_for(bench.custody(), bob, id, "prompt"));
  ASSERT_TRUE(identify(bench.custody(), bob));
  EXPECT_NE(ledger::commitment_of(salt(bob, "prompt"), as_text(prompt)), committed);
  EXPECT_EQ(blobs(), 0U);
  EXPECT_EQ(request.find(key::infer_request::kPromptBlob), nullptr);
}

TEST_F(GatewayPrivacyTest, RecordsSayIdsAndNoFileSaysTheName) {
  start("reply hello world\n", Privacy::kSealed);
  ASSERT_TRUE(read_all(*submit(alice(), "a question")).done);
  ASSERT_TRUE(bench.ask("m", "of everybody").done);
  const std::string id = bench.custody().find(subject_name(alice()))->id();
  const std::string local = bench.custody().find({"local", "local"})->id();
  std::vector<std::string> names, subjects;
  for (const ledger::Record& record : bench.records()) {
    if (record.type != RecordType::kInferRequest) continue;
    const codec::Map* actor = *record.body.get_map(key::kActor, "actor");
    names.push_back(*actor->get_text(key::actor::kName, "name"));
    subjects.push_back(*ledger::subject_of(record.body));
  }
  EXPECT_EQ(names, (std::vector<std::string>{id, "local"}));
  EXPECT_EQ(subjects, (std::vector<std::string>{id, local}));
  EXPECT_TRUE(places_of("alice-mueller").empty());
  EXPECT_TRUE(places_of("a question").empty());
  EXPECT_TRUE(places_of("hello world").empty());
  bench.expect_good_ledger();
}

TEST_F(GatewayPrivacyTest, SealedTextsOpenAgain) {
  start("reply hello world\n", Privacy::kSealed);
  GenerateCall call = bench.call("m", "a question");
  call.principal = alice();
  call.request.choices = 3;
  const Bytes prompt = records::canonical_prompt(call.request.prompt);
  auto stream = bench.gateway().submit(std::move(call));
  ASSERT_TRUE(stream);
  const Answered answered = read_all(**stream);
  ASSERT_TRUE(answered.done);
  EXPECT_EQ(blobs(), 4U);
  const auto opened = bench.custody().open_request((*stream)->request_id(), {});
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->prompt, prompt);
  EXPECT_EQ(opened->outputs, answered.text);
  EXPECT_EQ(opened->request_record, answered.started->request_record);
  EXPECT_EQ(*opened->result_record, answered.done->result_record);
  bench.expect_good_ledger();
}

// ---- order --------------------------------------------------------------------------------------

TEST_F(GatewayPrivacyTest, NothingIsRecordedBeforeItsTextIsOnTheDisk) {
  start("reply hello world\n", Privacy::kSealed);
  ASSERT_TRUE(read_all(*submit(alice(), "first")).done);  // known from here on
  const std::uint64_t records = bench.ledger().health().size;
  bench.disk().hold();
  const auto stream = submit(alice(), "second");
  ASSERT_TRUE(bench.disk().wait_until_held());  // the blob: there is nothing else to sync
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(bench.ledger().health().size, records);
  EXPECT_FALSE(stream->try_next());
  bench.disk().release();
  EXPECT_TRUE(read_all(*stream).done);
  bench.expect_good_ledger();
}

// Submitting returns, and so does everything else, while the secrets of a new user are written.
TEST_F(GatewayPrivacyTest, ANewUserWaitsForTheDiskAloneAndMayLeave) {
  start("reply hello world\n", Privacy::kCommit);
  bench.disk().hold();
  const auto stream = submit(alice(), "first");
  ASSERT_TRUE(bench.disk().wait_until_held());
  EXPECT_EQ(bench.gateway().models().size(), 1U);
  EXPECT_TRUE(bench.gateway().load("m", nullptr)) << "the runtime thread is held, too";
  const auto leaving = submit(alice(), "left");
  leaving->cancel();
  bench.disk().release();
  EXPECT_TRUE(read_all(*stream).done);
  EXPECT_EQ(read_all(*leaving).code(), "cancelled");
  bench.expect_good_ledger();
}

// ---- trouble ------------------------------------------------------------------------------------

TEST_F(GatewayPrivacyTest, APromptThatCannotBeSealedIsNotAnswered) {
  start("reply hello world\n", Privacy::kSealed);
  ASSERT_TRUE(read_all(*submit(alice(), "first")).done);
  let_new_files_fail();
  const Answered answered = read_all(*submit(alice(), "second"));
  EXPECT_EQ(answered.code(), "ledger_unavailable");
  EXPECT_EQ(info(answered.failed->error.code).http_status, 503);
  EXPECT_EQ(answered.events.size(), 1U) << "something was shown";
  EXPECT_TRUE(answered.failed->abort_record) << "the ledger itself works";
  EXPECT_FALSE(answered.failed->request_record);
  bench.disk().faults().disarm();
  EXPECT_TRUE(read_all(*submit(alice(), "third")).done) << "a file is a new one each time";
  bench.expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferRequest), 2U);
  const ledger::Record abort = only(RecordType::kInferAbort);
  EXPECT_EQ(*abort.body.get_text(key::infer_abort::kCause, "cause"), "ledger_unavailable");
  EXPECT_TRUE(ledger::subject_of(abort.body));
}

TEST_F(GatewayPrivacyTest, AnAnswerThatCannotBeSealedHasNoEnd) {
  start(kSlowScript, Privacy::kSealed);
  const auto stream = submit(alice(), "a");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  let_new_files_fail();
  const Answered rest = read_all(*stream);
  EXPECT_EQ(rest.code(), "ledger_unavailable");
  EXPECT_FALSE(rest.done);
  EXPECT_TRUE(rest.failed->abort_record);
  bench.disk().faults().disarm();
  bench.expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferResult), 0U);
  EXPECT_EQ(only(RecordType::kInferAbort).index, *rest.failed->abort_record);
}

TEST_F(GatewayPrivacyTest, AUserWhoseSecretsCannotBeKeptIsRefusedAndNotNamed) {
  start("reply hello world\n", Privacy::kCommit);
  let_new_files_fail();
  const Answered answered = read_all(*submit(alice(), "a question"));
  EXPECT_EQ(answered.code(), "ledger_unavailable");
  EXPECT_EQ(answered.events.size(), 1U);
  bench.disk().faults().disarm();
  bench.expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferRequest), 0U);
  const ledger::Record abort = only(RecordType::kInferAbort);
  const codec::Map* actor = *abort.body.get_map(key::kActor, "actor");
  EXPECT_EQ(actor->find(key::actor::kName), nullptr);
  EXPECT_EQ(*actor->get_text(key::actor::kTenant, "tenant"), "ward-3");
  EXPECT_TRUE(places_of("alice-mueller").empty());
}

// ---- erasure ------------------------------------------------------------------------------------

TEST_F(GatewayPrivacyTest, AnErasureDuringAnAnswerLeavesNoText) {
  start(kSlowScript, Privacy::kSealed);
  const auto stream = submit(alice(), "a question");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  const auto erased = bench.custody().erase("ward-3/alice-mueller", "asked for", {});
  ASSERT_TRUE(erased) << erased.error().message;
  EXPECT_EQ(erased->blobs, 1U);
  EXPECT_TRUE(read_all(*stream).done);
  EXPECT_EQ(blobs(), 0U);
  bench.expect_good_ledger();
  ledger::VerifyOptions options;
  options.directory = bench.directory() + "/ledger";
  options.payloads = true;
  os::RealFileSystem files;
  const ledger::VerifyReport report = ledger::verify(files, options);
  ASSERT_TRUE(report.payloads);
  EXPECT_EQ(report.payloads->redacted, 2U);
  EXPECT_EQ(report.payloads->missing, 0U);
}

}  // namespace
}  // namespace aioss::runtime
