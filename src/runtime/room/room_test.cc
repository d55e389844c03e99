// Who gets room and who goes for it, by itself: lives without workers, books with a fixed limit.
#include "runtime/room/room.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "runtime/dry_runs/device_table.h"

namespace aioss::runtime {
namespace {

constexpr std::uint64_t kMib = std::uint64_t{1} << 20;

class HandClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return now_ns; }
  std::int64_t monotonic_ns() const override { return now_ns; }
  std::int64_t now_ns = 100 * kNsPerSecond;
};

class NoWorker final : public WorkerPeer {
 public:
  int pid() const override { return 1; }
  Status send(ByteView) override { return ok(); }
  Result<Bytes> receive() override { return Error{Code::kBusy, "nothing"}; }
  void shut_down() override {}
  Status send_signal(int) override { return ok(); }
  std::optional<os::ExitStatus> ended() override { return std::nullopt; }
  std::shared_ptr<os::Child> give_up() override { return nullptr; }
};

class RoomTest : public ::testing::Test, public RoomHost {
 protected:
  RoomTest() {
    char path[] = "/tmp/aioss-room-XXXXXX";
    options.models_dir = ::mkdtemp(path);
    options.workers_max = 8;
    options.memory_max = 160 * kMib;  // of two models that are guessed at 64 MiB and a few bytes
    options.memory.state = [] { return Error{Code::kUnsupported, "it does not say"}; };
    options.memory.of_process = [](int) { return Error{Code::kNotFound, "there is none"}; };
    options.memory.pressure = [] { return os::Pressure{}; };
    for (const std::string name : {"a", "b", "c", "d"}) {
      const std::string file = options.models_dir + "/" + name + ".fake";
      std::ofstream(file) << "reply hello\n";
      CatalogueEntry entry;
      entry.name = name;
      entry.engine = "fake";
      entry.paths = {file};
      catalogue.models[name] = entry;
    }
    models.replace_catalogue(catalogue);
  }
  ~RoomTest() override {
    for (Life* const life : models.lives()) models.end_life(*life);
    models.bury();
    std::filesystem::remove_all(options.models_dir);
  }

  // RoomHost.
  void start(Life& life) override {
    started.push_back(life.model.name);
    life.phase = Phase::kLoading;
  }
  void has_no_room_beside(Life& life) override {
    not_beside.push_back(life.model.name);
    models.end_life(life);
  }
  void fail_load(Life& life, Error error) override { refuse_waiting(life, error); }
  void device_failed(Life&, const std::string& device, const std::string& reason) override {
    devices_failed.push_back(device + ": " + reason);
    options.devices->lose(device);
  }
  void turn_away(Life& life, const Error& error, const std::vector<std::string>& details) override {
    why = details;
    refuse_waiting(life, error);
  }
  void refuse_waiting(Life& life, const Error& error) override {
    refused.emplace_back(life.model.name, error.code);
    models.end_life(life);
  }
  void evict(Life& life, std::string_view reason, std::vector<std::string>) override {
    evicted.emplace_back(life.model.name + " " + std::string(reason));
    life.phase = Phase::kStopping;
  }

  void park(Life& life, std::string_view reason, std::vector<std::string>) override {
    parked.emplace_back(life.model.name + " " + std::string(reason));
    life.phase = Phase::kParking;
  }

  Life& want(const std::string& name) {
    Life& life = models.begin_life(models.of(name));
    room.plan(life);
    room.admit();
    return life;
  }
  // Loaded, ready and used: `unused_s` seconds ago.
  Life& run(const std::string& name, std::int64_t unused_s = 10) {
    Life& life = want(name);
    EXPECT_EQ(life.phase, Phase::kLoading) << name;
    LinkOptions link;
    link.model = name;
    life.link = WorkerLink::by_hand(link, std::make_unique<NoWorker>(), [](LinkEvent) {});
    life.phase = Phase::kReady;
    life.room.was_used = true;
    life.model.last_used_ns = clock.now_ns - unused_s * kNsPerSecond;
    return life;
  }
  void end(Life& life) {
    models.end_life(life);
    life.link.reset();
    books.leave(life, LinkEnded{}, false);
    room.admit();
  }

  std::vector<std::string> devices_failed;
  GatewayOptions options;
  os::RealFileSystem fs;
  HandClock clock;
  MetricRegistry metrics;
  Catalogue catalogue;
  memory::Pool pool;
  ModelTable models{{}, {}};
  Post post = [](std::function<void()> what) { what(); };
  PrefixCustody prefixes{PrefixStore(0, 1), nullptr, models, post, [](Life&) {}};
  Books books{{options, clock, metrics, pool, models, prefixes}};
  Room room{{options, fs, clock, models, pool, books, nullptr, post, *this}};
  std::vector<std::string> started, evicted, parked, not_beside;
  std::vector<std::pair<std::string, Code>> refused;
  std::vector<std::string> why;  // of the last one, for its record
};

TEST_F(RoomTest, TheOneUnusedForLongestGoesAndItsRoomIsWaitedFor) {
  Life& a = run("a", 10);
  run("b", 20);
  Life& c = want("c");
  EXPECT_EQ(evicted, std::vector<std::string>{"b replaced"});
  EXPECT_EQ(c.phase, Phase::kWaitingForRoom) << "what b has is not free yet";
  room.admit();
  EXPECT_EQ(evicted.size(), 1U) << "what is on its way is enough";
  end(*models.of("b").serving);
  EXPECT_EQ(c.phase, Phase::kLoading);
  EXPECT_EQ(a.phase, Phase::kReady);
  EXPECT_TRUE(refused.empty());
}

// The end of a request is noted a moment after its client has seen it.
TEST_F(RoomTest, OneWaitsAMomentForThoseThatAreBusy) {
  const auto keep_busy = [&](const std::string& name) {
    models.of(name).waiting.push_back(nullptr);
  };
  run("a");
  run("b");
  keep_busy("a");
  keep_busy("b");
  Life& c = want("c");
  EXPECT_EQ(c.phase, Phase::kWaitingForRoom);
  EXPECT_TRUE(refused.empty());
  models.of("a").waiting.clear();
  clock.now_ns += kNsPerSecond / 4;
  room.admit();
  EXPECT_EQ(evicted, std::vector<std::string>{"a replaced"});
  end(*models.of("a").serving);
  EXPECT_EQ(c.phase, Phase::kLoading);
  end(c);
  run("a");
  keep_busy("a");
  want("d");
  EXPECT_TRUE(refused.empty());
  clock.now_ns += kNsPerSecond;
  room.admit();
  ASSERT_EQ(refused.size(), 1U) << "not for ever";
  EXPECT_EQ(refused[0].second, Code::kNoMemory);
  for (const char* name : {"a", "b"}) models.of(name).waiting.clear();
}

TEST_F(RoomTest, NobodyGoesForWhatIsToReplaceItsOwnModel) {
  Life& a = run("a");
  Life& coming = want("a");
  EXPECT_EQ(coming.phase, Phase::kLoading) << "there is room for both";
  EXPECT_EQ(room.stays(a), memory::Stays::kChanging) << "it is being replaced";
  end(coming);
  run("b");
  want("a");
  EXPECT_EQ(not_beside, std::vector<std::string>{"a"});
  EXPECT_TRUE(evicted.empty());
  EXPECT_TRUE(refused.empty());
}

TEST_F(RoomTest, WhatDoesNotFitAloneDoesNotTakeTheTurnOfItsOwnModel) {
  run("a");
  std::filesystem::resize_file(options.models_dir + "/a.fake", 200 * kMib);
  want("a");
  EXPECT_TRUE(not_beside.empty());
  EXPECT_EQ(refused, (std::vector<std::pair<std::string, Code>>{{"a", Code::kNoMemory}}));
}

TEST_F(RoomTest, WhatIsPinnedStaysAndTheNextIsToldSo) {
  run("a").model.pinned = true;
  run("b").model.pinned = true;
  want("c");
  EXPECT_TRUE(evicted.empty());
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0], (std::pair<std::string, Code>("c", Code::kNoMemory)));
  const std::uint64_t each = pool.used_by("CPU", "a");
  const std::uint64_t free = 160 * kMib - 2 * each;
  ASSERT_EQ(why.size(), 3U);
  EXPECT_EQ(why[0], "needs=" + std::to_string(each) + " free=" + std::to_string(free) +
                        " limit=" + std::to_string(160 * kMib) + " evictable=0");
  EXPECT_EQ(why[1], "a bytes=" + std::to_string(each) + " pinned");
  models.of("b").pinned = false;
  want("c");
  EXPECT_EQ(evicted, std::vector<std::string>{"b replaced"});
}

TEST_F(RoomTest, LowerPrioritiesGoFirst) {
  run("a", 1000);
  run("b", 10).model.priority = -1;
  want("c");
  EXPECT_EQ(evicted, std::vector<std::string>{"b replaced"});
}

TEST_F(RoomTest, WhatWasJustLoadedIsLeftAloneForAMoment) {
  for (const std::string name : {"a", "b"}) {
    Life& life = run(name);
    life.room.was_used = false;
    life.room.ready_ns = clock.now_ns;
  }
  Life& c = want("c");
  EXPECT_TRUE(evicted.empty());
  EXPECT_EQ(c.phase, Phase::kWaitingForRoom) << "it may hope";
  clock.now_ns += 3 * kNsPerSecond;
  room.admit();
  EXPECT_EQ(evicted.size(), 1U);
}

TEST_F(RoomTest, NobodyOvertakesOneWhoseRoomIsOnItsWay) {
  run("a", 20);
  run("b", 10);
  want("c");
  Life& d = want("d");
  EXPECT_EQ(evicted, std::vector<std::string>{"a replaced"});
  end(*models.of("a").serving);
  EXPECT_EQ(started, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(d.phase, Phase::kWaitingForRoom);
  EXPECT_EQ(evicted, (std::vector<std::string>{"a replaced", "b replaced"}))
      << "now it is d's turn";
}

TEST_F(RoomTest, AFileAtFaultMakesNobodyGo) {
  run("a");
  run("b");
  models.of("c").failures.note({Code::kModelCorrupt, "no magic"}, {}, clock.now_ns);
  want("c");
  EXPECT_TRUE(evicted.empty());
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].first, "c");
}

TEST_F(RoomTest, NoMoreWorkersThanTheOptionsSay) {
  options.workers_max = 1;
  Life& a = run("a");
  Life& b = want("b");
  EXPECT_EQ(evicted, std::vector<std::string>{"a replaced"});
  EXPECT_EQ(b.phase, Phase::kWaitingForRoom);
  end(a);
  EXPECT_EQ(b.phase, Phase::kLoading);
}

TEST_F(RoomTest, UnderPressureOneGoesAtATime) {
  run("a", 10);
  run("b", 20).model.pinned = true;
  room.give_way({0, true, 50});
  EXPECT_EQ(evicted, std::vector<std::string>{"a pressure"});
  room.give_way({0, true, 50});
  EXPECT_EQ(evicted.size(), 1U) << "what is left is pinned";
}

class ParkingTest : public RoomTest {
 protected:
  // Of the 64 MiB of a guess, and a session of `mib`.
  Life& run_with_session(const std::string& name, std::uint64_t mib, std::int64_t unused_s = 10) {
    Life& life = run(name, unused_s);
    life.room.plan->needs.kv = mib * kMib;
    auto lease = pool.lease(std::string(memory::kHost), name, memory::Kind::kKv, mib * kMib);
    EXPECT_TRUE(lease);
    life.room.committed.push_back(std::move(*lease));
    return life;
  }
  void parks(Life& life) {  // as its worker says
    EXPECT_EQ(life.phase, Phase::kParking);
    life.phase = Phase::kWarm;
    books.shrink(life);
    room.admit();
  }
  std::uint64_t leased() { return pool.balance(std::string(memory::kHost)).leased; }
};

TEST_F(ParkingTest, OneIsParkedWhereItsSessionIsEnoughAndWakesInItsTurn) {
  Life& a = run_with_session("a", 90);
  Life& b = want("b");
  EXPECT_EQ(parked, std::vector<std::string>{"a replaced"});
  EXPECT_TRUE(evicted.empty());
  EXPECT_EQ(b.phase, Phase::kWaitingForRoom) << "what it gives back is on its way";
  room.admit();
  EXPECT_EQ(parked.size(), 1U);
  parks(a);
  EXPECT_EQ(b.phase, Phase::kLoading);
  EXPECT_EQ(room.stays(a), memory::Stays::kNo);
  EXPECT_EQ(leased(), 128 * kMib + 24) << "two guesses and files of 12 bytes";

  a.phase = Phase::kWaitingToWake;
  room.want_back(a);
  room.admit();
  EXPECT_EQ(a.phase, Phase::kWaitingToWake) << "b is only being loaded";
  end(b);
  EXPECT_EQ(a.phase, Phase::kLoading);
  EXPECT_EQ(leased(), 154 * kMib + 12) << "what it has, and its session";
}

TEST_F(ParkingTest, NotWhereTheSettingsSayNo) {
  options.warm_keep_alive = std::chrono::seconds(0);
  Life& a = run_with_session("a", 90);
  EXPECT_EQ(room.parked_bytes(a), 0U);
  want("b");
  EXPECT_TRUE(parked.empty());
  EXPECT_EQ(evicted, std::vector<std::string>{"a replaced"});
}

TEST_F(ParkingTest, OneThatWaitsToWakeBehindAnotherMakesRoomForIt) {
  Life& a = run_with_session("a", 90);
  Life& b = want("b");
  parks(a);
  b.phase = Phase::kWarm;  // it has 64 MiB and nothing else
  b.room.plan->needs.kv = 90 * kMib;
  LinkOptions link;
  link.model = "b";
  b.link = WorkerLink::by_hand(link, std::make_unique<NoWorker>(), [](LinkEvent) {});
  for (Life* const life : {&a, &b}) {
    life->phase = Phase::kWaitingToWake;
    room.want_back(*life);
  }
  room.admit();
  EXPECT_EQ(evicted, std::vector<std::string>{"b replaced"});
  end(b);
  EXPECT_EQ(a.phase, Phase::kLoading);
  EXPECT_TRUE(refused.empty());
}

TEST_F(ParkingTest, UnderPressureThoseThatAreWarmGoFirst) {
  Life& a = run_with_session("a", 10, 1000);
  room.give_way({0, true, 50});
  EXPECT_EQ(parked, std::vector<std::string>{"a pressure"});
  parks(a);
  run("b", 5000);
  room.give_way({0, true, 50});
  EXPECT_EQ(evicted, std::vector<std::string>{"a pressure"});
}

TEST_F(RoomTest, WhatWasPlannedForOtherFilesIsPlannedAgain) {
  Life& a = want("a");
  EXPECT_EQ(a.phase, Phase::kLoading);
  const auto files = open_model(fs, catalogue.models.at("a"));
  ASSERT_TRUE(files);
  EXPECT_TRUE(room.is_as_planned(a, catalogue.models.at("a"), **files));
  options.context_tokens = 4096;
  EXPECT_FALSE(room.is_as_planned(a, catalogue.models.at("a"), **files));
  room.plan_again(a);
  EXPECT_EQ(a.phase, Phase::kWaitingForRoom);
  EXPECT_EQ(pool.balance(std::string(memory::kHost)).leased, 0U) << "it was for something else";
  EXPECT_TRUE(room.is_as_planned(a, catalogue.models.at("a"), **files));
}

// Each model takes 80 MiB of the GPU that it is planned on, and 1 MiB of the host.
class GpuPlanner final : public Planner {
 public:
  // Devices whose driver is broken, and whether the file is, too.
  std::vector<std::string> broken;
  Error error{Code::kEngineFailed, "no driver", "device"};

  void plan(std::shared_ptr<const OpenModel>, PlanWanted wanted, Done done) override {
    asked.push_back(wanted.device);
    for (const std::string& name : broken) {
      if (wanted.device.find(name) != wanted.device.npos) return done(error);
    }
    ModelPlan plan;
    plan.needs.weights = kMib;
    for (const std::string& name : names_of_devices(wanted.device)) {
      ipc::DeviceNeeds needs;
      needs.name = name;
      needs.weights = 80 * kMib;
      plan.on_devices.push_back(needs);
    }
    plan.layers_on = wanted.device;
    done(plan);
  }

  std::vector<std::string> asked;
};

class GpuRoomTest : public RoomTest {
 protected:
  GpuRoomTest() {
    options.device = "auto";
    std::vector<ipc::DeviceOfEngine> gpus(2);
    for (std::size_t i = 0; i < gpus.size(); ++i) {
      gpus[i].engine = "fake";
      gpus[i].name = "fake:" + std::to_string(i);
      gpus[i].bytes_total = gpus[i].bytes_free = (100 - i) * kMib;
      pool.set_limit(gpus[i].name, gpus[i].bytes_free);
    }
    options.devices = std::make_shared<DeviceTable>(gpus);
  }
  Life& plan(const std::string& name) {
    Life& life = models.begin_life(models.of(name));
    on_gpus.plan(life);
    return life;
  }

  GpuPlanner planner;
  Room on_gpus{{options, fs, clock, models, pool, books, &planner, post, *this}};
};

TEST_F(GpuRoomTest, WhoChoseAGpuThatHasFilledSinceGoesToTheNext) {
  std::vector<Life*> lives;
  for (const char* name : {"a", "b", "c"}) {
    lives.push_back(&plan(name));
    EXPECT_EQ(lives.back()->room.plan->layers_on, "fake:0") << "all see it empty";
  }
  for (int i = 0; i < 5; ++i) on_gpus.admit();
  for (const Life* const life : lives) EXPECT_EQ(life->phase, Phase::kLoading);
  EXPECT_EQ(lives[0]->room.plan->layers_on, "fake:0");
  EXPECT_EQ(lives[1]->room.plan->layers_on, "fake:1");
  EXPECT_EQ(lives[2]->room.plan->layers_on, "cpu");
  EXPECT_TRUE(evicted.empty());
  EXPECT_TRUE(refused.empty());
}

TEST_F(GpuRoomTest, WhereADriverFailsTheNextDeviceIsTakenAndTheFirstBlamed) {
  planner.broken = {"fake:0"};
  EXPECT_EQ(plan("a").room.plan->layers_on, "fake:1");
  EXPECT_EQ(devices_failed, std::vector<std::string>{"fake:0: no driver"});
  EXPECT_EQ(plan("b").room.plan->layers_on, "fake:1");
  EXPECT_EQ(planner.asked, (std::vector<std::string>{"fake:0", "fake:1", "fake:1"}))
      << "neither again, nor together with the other";
  EXPECT_TRUE(refused.empty());
}

TEST_F(GpuRoomTest, WhatWasOrderedToADeviceWhoseDriverFailsIsLoadedOnTheCpu) {
  options.device = "fake:0,fake:1";
  planner.broken = {"fake:1"};
  planner.error.code = Code::kInvalidArgument;  // it is not there any more
  Life& life = plan("a");
  EXPECT_EQ(life.room.plan->layers_on, "cpu");
  on_gpus.admit();
  EXPECT_EQ(life.phase, Phase::kLoading);
  EXPECT_EQ(devices_failed, std::vector<std::string>{"fake:0,fake:1: no driver"});
}

TEST_F(GpuRoomTest, NoDeviceIsBlamedForAModelThatCannotBePlannedAnywhere) {
  planner.broken = {"fake:", "cpu"};
  EXPECT_FALSE(plan("a").room.plan.has_value());
  EXPECT_EQ(planner.asked, (std::vector<std::string>{"fake:0", "fake:1", "cpu"}));
  EXPECT_TRUE(devices_failed.empty());
  EXPECT_EQ(refused.size(), 1U);

  planner.error = {Code::kModelCorrupt, "the file's own fault: not tried elsewhere"};
  planner.asked.clear();
  EXPECT_FALSE(plan("b").room.plan.has_value());
  EXPECT_EQ(planner.asked, std::vector<std::string>{"fake:0"});
}

TEST_F(GpuRoomTest, NoDeviceIsBlamedForWhatNeedNotBeItsDriver) {
  planner.broken = {"fake:"};
  planner.error = {Code::kNoMemory, "no context can be made: it is full"};
  EXPECT_EQ(plan("a").room.plan->layers_on, "cpu");
  EXPECT_TRUE(devices_failed.empty());
}

TEST_F(GpuRoomTest, WhatWasOrderedWhereItCannotBeIsPlannedOnceAndStarted) {
  options.device = "fake:0";
  planner.broken = {"fake:"};
  planner.error = {Code::kNoMemory, "no context can be made: it is full"};
  Life& life = plan("a");
  EXPECT_EQ(life.room.plan->layers_on, "cpu");
  const CatalogueEntry& entry = catalogue.models.at("a");
  const auto files = open_model(fs, entry);
  ASSERT_TRUE(files);
  EXPECT_TRUE(on_gpus.is_as_planned(life, entry, **files)) << "or it is planned for ever";
  options.device = "fake:1";
  EXPECT_FALSE(on_gpus.is_as_planned(life, entry, **files)) << "there it was not tried";
}

TEST_F(GpuRoomTest, WhatIsToReplaceAModelIsNotPlannedElsewhere) {
  planner.broken = {"fake:0"};
  models.begin_life(models.of("a"));
  Life& coming = models.begin_life(models.of("a"));
  ASSERT_EQ(coming.role, Life::Role::kComing);
  on_gpus.plan(coming);
  EXPECT_EQ(planner.asked, std::vector<std::string>{"fake:0"});
  EXPECT_TRUE(devices_failed.empty());
}

}  // namespace
}  // namespace aioss::runtime
