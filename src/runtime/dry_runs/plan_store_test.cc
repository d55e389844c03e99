// What dry runs said, over restarts: with planners that start real children, and by hand.
#include "runtime/dry_runs/plan_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "crypto/hash.h"
#include "os/clock.h"
#include "runtime/dry_runs/child_planner.h"
#include "runtime/testing/held_file_system.h"

namespace aioss::runtime {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t kHourNs = std::int64_t{3600} * 1'000'000'000;

class PlanStoreTest : public ::testing::Test {
 protected:
  PlanStoreTest() {
    std::string pattern = ::testing::TempDir() + "aioss-plans-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    fs::copy_file(AIOSS_TEST_WORKER, worker());
    fs::create_directories(folder_ + "/models");
    add("memory weights=1000 kv=10");
  }
  ~PlanStoreTest() override { fs::remove_all(folder_); }

  std::string worker() const { return folder_ + "/worker"; }
  std::string state() const { return folder_ + "/state"; }
  std::string file() const { return state() + "/model-plans.cbor"; }
  void add(const std::string& script) {
    const std::string path = folder_ + "/models/m.fake";
    fs::remove(path);
    std::ofstream(path) << "aioss-fake 1\n" << script << "\n";
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(1));
  }
  std::shared_ptr<OpenModel> open() {
    const auto catalogue = scan_catalogue(fs_, {folder_ + "/models", {}, true});
    return *open_model(fs_, catalogue->models.at("m"));
  }
  static PlanWanted wanted() {
    PlanWanted out;
    out.engine = "fake";
    out.device = "cpu";
    out.prefix_bytes = 7;
    return out;
  }

  struct Life {  // of a gateway
    std::uint64_t children = 0;
    PlanSurvey survey;
  };
  Life live(const PlanWanted& wanted, std::uint64_t room = 0, bool speculation = true) {
    PlanStore store(fs_, state(), worker());
    ChildPlannerOptions options;
    options.child.executable = worker();
    options.speculation = speculation;
    ChildPlanner planner(options, clock_, &store);
    auto survey = planner.survey_and_wait(open(), wanted, room);
    EXPECT_TRUE(survey.has_value()) << survey.error().message;
    return {planner.children_started(), survey ? *survey : PlanSurvey()};
  }
  Life live() { return live(wanted()); }

  Bytes read() const {
    std::ifstream in(file(), std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(in), {});
  }
  void write(const Bytes& bytes) const {
    std::ofstream out(file(), std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }

  testing::HeldFileSystem fs_;
  os::SystemClock clock_;
  std::string folder_;
};

TEST_F(PlanStoreTest, ARestartRunsNoChild) {
  const Life first = live();
  EXPECT_EQ(first.children, 1U);
  const Life second = live();
  EXPECT_EQ(second.children, 0U);
  EXPECT_EQ(second.survey.plan.needs, first.survey.plan.needs);
  EXPECT_EQ(second.survey.plan.needs.weights, 1000U);
  EXPECT_EQ(second.survey.plan.needs.prefixes, 7U);
  EXPECT_TRUE(second.survey.plan.exact);
  EXPECT_EQ(second.survey.plan.streams, first.survey.plan.streams);
  EXPECT_EQ(second.survey.plan.cells_per_stream, first.survey.plan.cells_per_stream);
  EXPECT_EQ(second.survey.plan.device, first.survey.plan.device);
  EXPECT_EQ(second.survey.context_tokens_train, first.survey.context_tokens_train);
}

TEST_F(PlanStoreTest, WhatDoesNotMatterToTheChildIsNoOtherQuestion) {
  (void)live();
  PlanWanted other = wanted();
  other.prefix_bytes = 9;
  const Life life = live(other);
  EXPECT_EQ(life.children, 0U);
  EXPECT_EQ(life.survey.plan.needs.prefixes, 9U);
}

TEST_F(PlanStoreTest, AnotherQuestionIsAsked) {
  (void)live();
  PlanWanted other = wanted();
  other.kv_type = "q8_0";
  EXPECT_EQ(live(other).children, 1U);
  EXPECT_EQ(live(other).children, 0U);
  EXPECT_EQ(live(other, 0, false).children, 1U) << "another number of logits";
  EXPECT_EQ(live().children, 0U) << "the first is still known";
}

// It tells what memory devices have now, and a file does not know.
TEST_F(PlanStoreTest, ASurveyTakesNothingFromTheFile) {
  (void)live();
  const Life life = live(wanted(), std::uint64_t{1} << 40);
  EXPECT_EQ(life.children, 1U);
  EXPECT_FALSE(life.survey.devices.empty());
}

TEST_F(PlanStoreTest, AChangedFileIsPlannedAgain) {
  (void)live();
  add("memory weights=2000 kv=10");
  const Life life = live();
  EXPECT_EQ(life.children, 1U);
  EXPECT_EQ(life.survey.plan.needs.weights, 2000U);
}

TEST_F(PlanStoreTest, AnotherBuildTrustsNothingOfThis) {
  (void)live();
  fs::rename(worker(), worker() + ".old");
  fs::copy_file(worker() + ".old", worker());
  EXPECT_EQ(live().children, 1U);
  EXPECT_EQ(live().children, 0U);
}

TEST_F(PlanStoreTest, ADamagedFileIsAnEmptyOne) {
  (void)live();
  const Bytes whole = read();
  ASSERT_GT(whole.size(), 100U);
  std::vector<Bytes> damages = {{}, {1}, Bytes(whole.begin(), whole.end() - 1)};
  for (const std::size_t at : {std::size_t{0}, whole.size() / 2, whole.size() - 1}) {
    damages.push_back(whole);
    damages.back()[at] ^= 1;
  }
  damages.push_back(Bytes(kPlanFileBytesMax + 1));
  for (const Bytes& damage : damages) {
    write(damage);
    EXPECT_EQ(live().children, 1U);
    EXPECT_EQ(live().children, 0U) << "it is written anew";
  }
}

// With the right checksum: whoever may write there is not believed, either.
TEST_F(PlanStoreTest, NonsenseWithAChecksumIsNonsense) {
  (void)live();
  const Bytes whole = read();
  for (std::size_t at = 0; at + sizeof(Digest) < whole.size(); ++at) {
    Bytes body(whole.begin(), whole.end() - static_cast<std::ptrdiff_t>(sizeof(Digest)));
    body[at] ^= 0x41;
    const Digest sum = crypto::sha256(body);
    body.insert(body.end(), sum.begin(), sum.end());
    write(body);
    PlanStore store(fs_, state(), worker());
    store.read();  // neither crashes nor hangs
  }
}

TEST_F(PlanStoreTest, ADiskThatRefusesIsNoHindrance) {
  fs_.faults().arm(os::FaultPoint::kWrite, {1, ENOSPC, true, {}});
  EXPECT_EQ(live().children, 1U);
  EXPECT_EQ(live().children, 1U);
}

class PlanStoreBounds : public PlanStoreTest {
 protected:
  static os::FileInfo part(std::uint64_t inode, std::int64_t modified_ns = -5) {
    os::FileInfo info;
    info.device = 1;
    info.inode = inode;
    info.size = 3;
    info.modified_ns = modified_ns;
    return info;
  }
  static ipc::PlanReport report(std::uint64_t weights) {
    ipc::PlanReport out;
    out.asked.kv_type = "f16";
    out.asked.needs.weights = weights;
    return out;
  }
};

TEST_F(PlanStoreBounds, AFreshFileIsNotRemembered) {
  PlanStore store(fs_, state(), worker());
  store.read();
  const std::vector<os::FileInfo> parts = {part(1), part(2, kHourNs)};
  store.put(parts, {}, report(1), kHourNs + 1'999'999'999);
  EXPECT_FALSE(store.find(identity_of(parts), {}));
  store.put(parts, {}, report(1), kHourNs + 2'000'000'000);
  EXPECT_TRUE(store.find(identity_of(parts), {}));
}

TEST_F(PlanStoreBounds, TheOldestGoes) {
  {
    PlanStore store(fs_, state(), worker());
    store.read();
    for (std::uint64_t i = 0; i <= kPlansStoredMax; ++i) {
      store.put({part(i)}, {}, report(i), kHourNs);
    }
  }
  PlanStore store(fs_, state(), worker());
  store.read();
  EXPECT_FALSE(store.find(identity_of({part(0)}), {}));
  for (std::uint64_t i = 1; i <= kPlansStoredMax; ++i) {
    const auto found = store.find(identity_of({part(i)}), {});
    ASSERT_TRUE(found) << i;
    EXPECT_EQ(found->asked.needs.weights, i);
  }
  store.put({part(9999)}, {}, report(1), kHourNs);
  EXPECT_FALSE(store.find(identity_of({part(1)}), {})) << "the order outlives a restart";
  EXPECT_TRUE(store.find(identity_of({part(2)}), {}));
}

TEST_F(PlanStoreBounds, AnInodeHasOneContent) {
  PlanStore store(fs_, state(), worker());
  store.read();
  store.put({part(1, 10)}, {}, report(1), kHourNs);
  store.put({part(1, 20)}, {}, report(2), kHourNs);
  EXPECT_FALSE(store.find(identity_of({part(1, 10)}), {}));
  EXPECT_TRUE(store.find(identity_of({part(1, 20)}), {}));
}

TEST_F(PlanStoreBounds, WithoutAFolderNothingIsKept) {
  PlanStore store(fs_, "", worker());
  store.read();
  store.put({part(1)}, {}, report(1), kHourNs);
  EXPECT_FALSE(store.find(identity_of({part(1)}), {}));
}

}  // namespace
}  // namespace aioss::runtime
