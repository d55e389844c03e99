// What was computed of prompts outlives the gateway, sealed, and nothing that it must not: real
// processes, and a gateway that is started again over the same ledger.
#include "runtime/prefixes/prefix_disk.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "ipc/prefix_memory.h"
#include "runtime/calls/answer.h"
#include "runtime/calls/tenant_book.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

namespace files = std::filesystem;
using testing::Answered;

std::string about_the_document(const std::string& question) {
  std::string text = "document ";
  while (text.size() < 600) text += "lorem ipsum ";
  return text + question;
}

constexpr const char* kScript =
    "reply The fox jumps over the dog.\nreply No.\nmargin 3\ndelay_us_per_token 20\n";

class PrefixDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bench.options.profile = ipc::Profile::kReproducible;
    bench.options.prefix_disk_bytes = std::uint64_t{64} << 20;
    bench.add_model("m", kScript);
  }
  std::uint32_t cached(const std::string& question, const std::string& tenant = "a",
                       const std::string& user = "ann") {
    GenerateCall call = bench.call("m", about_the_document(question));
    call.principal.tenant = tenant;
    call.principal.user = user;
    call.principal.source = "key:1";
    const auto stream = bench.gateway().submit(call);
    EXPECT_TRUE(stream) << (stream ? "" : stream.error().message);
    if (!stream) return 0;
    const Answered answered = testing::read_all(**stream);
    EXPECT_TRUE(answered.done) << answered.code();
    if (!answered.text.empty()) last_text = answered.text[0];
    return answered.done ? answered.done->cached_tokens : 0;
  }
  void restart() {
    bench.finish();
    bench.start();
  }
  std::vector<files::path> on_the_disk() const {
    std::vector<files::path> all;
    std::error_code none;
    for (const auto& entry :
         files::recursive_directory_iterator(bench.directory() + "/ledger/prefix", none)) {
      if (entry.is_regular_file()) all.push_back(entry.path());
    }
    return all;
  }
  testing::TestBench bench;
  std::string last_text;
};

TEST_F(PrefixDiskTest, ARestartedGatewayHasThem) {
  bench.start();
  EXPECT_EQ(cached("where?"), 0U);
  const std::string alone = last_text;
  EXPECT_EQ(cached("who?"), 576U);
  restart();
  EXPECT_FALSE(on_the_disk().empty());
  EXPECT_EQ(cached("where?"), 576U);
  EXPECT_EQ(last_text, alone);
  EXPECT_EQ(cached("and how?", "a", "bob"), 576U) << "the tenant shares it, as it did before";
  EXPECT_EQ(cached("and how?", "b"), 0U) << "but no other";
  restart();
  EXPECT_EQ(cached("who?"), 576U) << "and what was restored stays";
  bench.expect_good_ledger();
}

TEST_F(PrefixDiskTest, AWorkerThatGoesOnWithMemoryOfTheGatewayDoesNotWaitForTheDisk) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  EXPECT_EQ(bench.kill_workers(), 1);
  EXPECT_EQ(cached("where?"), 576U);
  restart();
  EXPECT_EQ(cached("who?"), 576U);
}

TEST_F(PrefixDiskTest, NotWithAnotherModelOrProfile) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  bench.finish();
  bench.add_model("m", std::string(kScript) + "reply other\n");
  bench.start();
  EXPECT_EQ(cached("where?"), 0U);
  bench.finish();
  bench.add_model("m", kScript);
  bench.options.profile = ipc::Profile::kFast;
  bench.start();
  EXPECT_EQ(cached("where?"), 0U);
  bench.finish();
  bench.options.profile = ipc::Profile::kReproducible;
  bench.start();
  EXPECT_EQ(cached("where?"), 576U) << "the first one's are still there";
}

TEST_F(PrefixDiskTest, WhatIsDamagedIsRemovedAndNobodyIsTold) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  bench.finish();
  const auto saved = on_the_disk();
  ASSERT_EQ(saved.size(), 1U);
  {
    std::fstream file(saved.front(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-20, std::ios::end);
    file.put('!');
  }
  const files::path cut = saved.front().parent_path() / std::string(64, 'a');
  files::copy_file(saved.front(), cut);
  files::resize_file(cut, files::file_size(cut) - 1);
  const files::path torn = saved.front().string() + ".tmp";
  files::copy_file(saved.front(), torn);
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  for (const files::path& gone : {saved.front(), cut, torn}) {
    EXPECT_FALSE(files::exists(gone)) << gone;
  }
}

TEST_F(PrefixDiskTest, AnErasureTakesThemAlsoWithoutAServer) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  bench.finish();
  ASSERT_EQ(on_the_disk().size(), 1U);
  bench.options.prefix_disk_bytes.reset();
  bench.start();  // which leaves them where they are
  ASSERT_EQ(on_the_disk().size(), 1U);
  codec::Map actor;
  actor.set(ledger::key::actor::kKind, codec::Value::uint(1));
  ASSERT_TRUE(bench.custody().erase("a/ann", "asked for", actor));
  EXPECT_TRUE(on_the_disk().empty());
}

TEST_F(PrefixDiskTest, NothingOfAnErasedPersonIsSavedLater) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  codec::Map actor;
  actor.set(ledger::key::actor::kKind, codec::Value::uint(1));
  ASSERT_TRUE(bench.custody().erase("a/ann", "asked for", actor));  // and the workers know nothing
  bench.finish();
  EXPECT_TRUE(on_the_disk().empty());
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
}

TEST_F(PrefixDiskTest, OffDestroysWhatIsThere) {
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  bench.finish();
  ASSERT_EQ(on_the_disk().size(), 1U);
  bench.options.prefix_disk_bytes = 0;
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  bench.finish();
  EXPECT_TRUE(on_the_disk().empty());
}

TEST_F(PrefixDiskTest, TheBudgetIsHeldAndTheOldestGoes) {
  bench.start();
  EXPECT_EQ(cached("who?", "a"), 0U);
  bench.finish();
  ASSERT_EQ(on_the_disk().size(), 1U);
  const std::uint64_t one = files::file_size(on_the_disk().front());
  bench.options.prefix_disk_bytes = one + one / 2;
  bench.add_model("m", std::string(kScript) + "reply other\n");
  bench.start();
  EXPECT_EQ(cached("who?", "b"), 0U);
  bench.finish();
  ASSERT_EQ(on_the_disk().size(), 1U);
  bench.start();
  EXPECT_EQ(cached("where?", "b"), 576U);
  EXPECT_EQ(cached("where?", "a"), 0U);
}

TEST_F(PrefixDiskTest, NothingIsKeptOfAWorkerThatCrashedOrOfShortPrompts) {
  bench.start();
  EXPECT_TRUE(
      bench.ask("m", "a prompt of some seventy tokens, which is not worth a file, is it?").done);
  bench.finish();
  EXPECT_TRUE(on_the_disk().empty());
  bench.start();
  EXPECT_EQ(cached("who?"), 0U);
  EXPECT_EQ(bench.ask("m", "[[crash 2]]").code(), "worker_died");
  bench.finish();
  EXPECT_TRUE(on_the_disk().empty());
}

// Memory as a worker leaves it, or as one that was taken over would like it to be.
class Left {
 public:
  Left() : memory_(std::make_shared<const os::Fd>(*os::create_shared_memory("test", kBytes))) {}
  const PrefixMemory& memory() const { return memory_; }
  void put(std::uint32_t number, ipc::PrefixRecord record, std::int32_t token) {
    const os::SharedMapping mapped = *os::SharedMapping::map(memory_->get());
    const auto bytes = mapped.bytes();
    const std::vector<std::int32_t> tokens(record.token_count, token);
    record.mark = ipc::kPrefixWhole;
    const Digest digest = ipc::prefix_digest(record, tokens);
    std::copy_n(digest.begin(), sizeof record.digest, std::begin(record.digest));
    const bool inside = record.offset >= ipc::kPrefixDataFrom && record.offset < bytes.size() &&
                        record.size <= bytes.size() - record.offset;
    if (inside) {
      std::memcpy(bytes.data() + record.offset, tokens.data(), tokens.size() * sizeof(token));
    }
    std::memcpy(bytes.data() + sizeof(ipc::PrefixHead) + number * sizeof record, &record,
                sizeof record);
  }
  ipc::PrefixRecord record(std::uint32_t number) const {
    const os::SharedMapping mapped = *os::SharedMapping::map(memory_->get());
    ipc::PrefixRecord found;
    std::memcpy(&found, mapped.bytes().data() + sizeof(ipc::PrefixHead) + number * sizeof found,
                sizeof found);
    return found;
  }

 private:
  static constexpr std::uint64_t kBytes = 1 << 20;
  PrefixMemory memory_;
};

ipc::PrefixRecord entry_at(std::uint64_t page, std::uint64_t tenant, std::uint64_t owner) {
  ipc::PrefixRecord record{};
  record.token_count = 200;
  record.tenant = tenant;
  record.owner = owner;
  record.offset = ipc::kPrefixDataFrom + page * ipc::kPrefixPage;
  record.state_bytes = 3000;
  record.size = ipc::prefix_extent_bytes(record.token_count, record.state_bytes);
  return record;
}

class PrefixDiskByHand : public PrefixDiskTest {
 protected:
  void SetUp() override {
    bench.options.prefix_disk_bytes.reset();
    bench.start();
    ann = *bench.custody().obtain({"a", "ann"});
  }
  PrefixesLeft left_in(const Left& left) const {
    return {left.memory(), Digest{1}, {{owner_number(*ann), {ann, "a"}}}, 0, taken_back};
  }
  void save(const Left& left) {
    PrefixDisk disk(bench.custody(), bench.clock(), 1 << 20, 4);
    disk.save(left_in(left));
    disk.finish(std::chrono::seconds(60));
  }
  ledger::SubjectPtr ann;
  std::shared_ptr<std::atomic<bool>> taken_back = std::make_shared<std::atomic<bool>>(false);
};

TEST_F(PrefixDiskByHand, OnlyWhatIsWholeAndOfAKnownOwnerIsSaved) {
  const std::uint64_t owner = owner_number(*ann), tenant = tenant_number("a");
  Left left;
  left.put(3, entry_at(0, tenant, owner), 1);
  left.put(4, entry_at(2, tenant, owner + 1), 2);
  left.put(5, entry_at(4, tenant + 1, owner), 3);
  ipc::PrefixRecord bad = entry_at(6, tenant, owner);
  bad.offset = ~std::uint64_t{0} / ipc::kPrefixPage * ipc::kPrefixPage;
  left.put(6, bad, 4);
  bad = entry_at(6, tenant, owner);
  bad.state_bytes = bad.size;
  left.put(7, bad, 5);
  bad = entry_at(6, tenant, owner);
  bad.offset = 0;
  left.put(8, bad, 6);
  bad = entry_at(8, tenant, owner);
  bad.token_count = kPrefixTokensOnDiskMin - 1;
  left.put(9, bad, 7);
  save(left);
  EXPECT_EQ(on_the_disk().size(), 1U);

  Left next;
  PrefixDisk disk(bench.custody(), bench.clock(), 1 << 20, 4);
  const auto answer = std::make_shared<Answer<PrefixOwners>>();
  disk.restore(next.memory(), Digest{1}, [answer](PrefixOwners all) { answer->give(all); });
  const auto owners = answer->wait_for(std::chrono::seconds(60));
  ASSERT_TRUE(owners && *owners);
  EXPECT_EQ((*owners)->size(), 1U);
  const ipc::PrefixRecord found = next.record(0);
  EXPECT_EQ(found.mark, ipc::kPrefixWhole);
  EXPECT_EQ(found.tenant, tenant);
  EXPECT_EQ(found.owner, owner);
  EXPECT_EQ(found.token_count, 200U);
  EXPECT_EQ(next.record(1).mark, 0U);
}

TEST_F(PrefixDiskByHand, WhatAnotherWorkerHasAgainIsNotSaved) {
  Left left;
  left.put(0, entry_at(0, tenant_number("a"), owner_number(*ann)), 1);
  taken_back->store(true);
  save(left);
  EXPECT_TRUE(on_the_disk().empty());
}

TEST_F(PrefixDiskByHand, WhatPrefillHasAsFastIsNotWorthAFile) {
  Left left;
  left.put(0, entry_at(0, tenant_number("a"), owner_number(*ann)), 1);
  PrefixDisk disk(bench.custody(), bench.clock(), 1 << 20, 4);
  PrefixesLeft fast = left_in(left);
  fast.prefill_ns_per_token = 1;
  disk.save(fast);
  disk.finish(std::chrono::seconds(60));
  EXPECT_TRUE(on_the_disk().empty());
}

TEST(PrefixIdentity, IsAnotherWithAnythingAStateDependsOn) {
  ipc::Configure configured;
  ipc::Ready ready;
  const auto identity = [&] { return prefix_identity(Digest{1}, Digest{2}, configured, ready); };
  const Digest before = identity();
  configured.queue_requests_max = 7;
  configured.prefixes_later = true;
  configured.spill_bytes_max = 7;
  EXPECT_EQ(identity(), before);
  EXPECT_NE(prefix_identity(Digest{2}, Digest{2}, configured, ready), before);
  EXPECT_NE(prefix_identity(Digest{1}, Digest{3}, configured, ready), before);
  configured.profile = ipc::Profile::kReproducible;
  EXPECT_NE(identity(), before);
  configured.profile = ipc::Profile::kFast;
  ready.threads = 3;
  EXPECT_NE(identity(), before);
  ready.threads = 0;
  ready.engine.build_id = "other";
  EXPECT_NE(identity(), before);
}

}  // namespace
}  // namespace aioss::runtime
