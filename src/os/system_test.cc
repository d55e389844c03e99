// The small windows on the machine: clock, environment, signals, threads, processor, memory,
// terminal.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/bounded_queue.h"
#include "os/clock.h"
#include "os/control_group.h"
#include "os/cpu.h"
#include "os/environment.h"
#include "os/memory.h"
#include "os/signals.h"
#include "os/terminal.h"
#include "os/test_tree.h"
#include "os/thread.h"

namespace aioss::os {
namespace {

using testing::HasSubstr;

// Sets a variable, or removes it, for the length of a test.
class ScopedVariable final {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name), before_(environment(name)) {
    if (value == nullptr) {
      ::unsetenv(name);
    } else {
      ::setenv(name, value, 1);
    }
  }
  ~ScopedVariable() {
    if (before_) {
      ::setenv(name_, before_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* const name_;
  const std::optional<std::string> before_;
};

TEST(Clock, WallTimeIsThisCenturyAndMonotonicNeverGoesBack) {
  const SystemClock clock;
  EXPECT_GT(clock.wall_ns(), 1'700'000'000LL * 1'000'000'000);
  EXPECT_LT(clock.wall_ns(), 4'100'000'000LL * 1'000'000'000);
  std::int64_t last = clock.monotonic_ns();
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t now = clock.monotonic_ns();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Environment, DirectoriesFollowXdgThenHome) {
  const ScopedVariable home("HOME", "/u");
  const ScopedVariable state("XDG_STATE_HOME", nullptr);
  const ScopedVariable data("XDG_DATA_HOME", "/data");
  const ScopedVariable config("XDG_CONFIG_HOME", "");        // set to nothing: as unset
  const ScopedVariable cache("XDG_CACHE_HOME", "relative");  // the specification: ignore it
  EXPECT_EQ(*state_directory(), "/u/.local/state/aioss");
  EXPECT_EQ(*data_directory(), "/data/aioss");
  EXPECT_EQ(*config_directory(), "/u/.config/aioss");
  EXPECT_EQ(*cache_directory(), "/u/.cache/aioss");
}

TEST(Environment, WithoutHomeItIsAnErrorThatSaysWhatToDo) {
  const ScopedVariable home("HOME", nullptr);
  const ScopedVariable state("XDG_STATE_HOME", nullptr);
  const auto directory = state_directory();
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, Code::kUsage);
  EXPECT_THAT(directory.error().message, HasSubstr("HOME is not set"));
}

TEST(Environment, VariablesAndSubsets) {
  const ScopedVariable set("AIOSS_TEST_A", "1=2");
  const ScopedVariable empty("AIOSS_TEST_B", "");
  const ScopedVariable unset("AIOSS_TEST_C", nullptr);
  EXPECT_EQ(environment("AIOSS_TEST_A"), "1=2");
  EXPECT_EQ(environment("AIOSS_TEST_B"), "");
  EXPECT_EQ(environment("AIOSS_TEST_C"), std::nullopt);
  EXPECT_THAT(environment_subset({"AIOSS_TEST_C", "AIOSS_TEST_B", "AIOSS_TEST_A"}),
              testing::ElementsAre("AIOSS_TEST_B=", "AIOSS_TEST_A=1=2"));
}

TEST(Environment, TheMachineAndTheProgram) {
  EXPECT_FALSE(hostname().empty());
  EXPECT_FALSE(user_name().empty());
  EXPECT_EQ(process_id(), ::getpid());
  ASSERT_TRUE(boot_id());
  EXPECT_EQ(*boot_id(), *boot_id());
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  file >> text;
  char first[3];
  std::snprintf(first, sizeof first, "%02x", (*boot_id())[0]);
  EXPECT_EQ(text.substr(0, 2), first);
  std::snprintf(first, sizeof first, "%02x", (*boot_id())[15]);
  EXPECT_EQ(text.substr(34), first);
  EXPECT_THAT(*executable_path(), HasSubstr("test_os"));
}

TEST(Thread, NamesAreCutToWhatTheKernelKeeps) {
  std::thread thread([] {
    set_thread_name("engine-SmolLM2-135M");
    char name[16] = {};
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    EXPECT_STREQ(name, "engine-SmolLM2-");
  });
  thread.join();
}

TEST(Signals, EachOneReachesTheCallbackAndNothingElse) {
  BoundedQueue<int> seen(8);
  {
    auto watcher = SignalWatcher::for_termination(
        [&](int signal) { EXPECT_EQ(seen.try_push(signal), BoundedQueue<int>::Push::kAccepted); });
    ASSERT_TRUE(watcher);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGTERM}) {
      ASSERT_EQ(::kill(::getpid(), signal), 0);
      EXPECT_EQ(seen.pop_for(std::chrono::hours(1)), signal);
    }
  }
  // Afterwards they do again what they did.
  EXPECT_EXIT(::kill(::getpid(), SIGTERM); ::pause(), testing::KilledBySignal(SIGTERM), "");
}

// In a group of its own, whose parent is of another one of the session: it can be made to go on.
TEST(Signals, AProcessThatWatchesCtrlZCanStopAllTheSame) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::setpgid(0, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    suspend_process();
    sigset_t after;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
    ::_exit(sigismember(&after, SIGTSTP) == 1 ? 7 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  ASSERT_EQ(::kill(child, SIGCONT), 0);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

TEST(Signals, ABrokenPipeIsAnError) {
  struct sigaction before{};
  ::sigaction(SIGPIPE, nullptr, &before);
  ignore_broken_pipes();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[0]);
  EXPECT_EQ(::write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  ::close(ends[1]);
  ::sigaction(SIGPIPE, &before, nullptr);
}

TEST(Cpu, ThisMachine) {
  const auto cpu = cpu_info();
  ASSERT_TRUE(cpu);
  EXPECT_FALSE(cpu->model.empty());
  EXPECT_NE(cpu_level_of(*cpu), "");
  EXPECT_FALSE(cpu->has("no_such_feature"));
  const CpuBudget budget = cpu_budget();
  EXPECT_GE(budget.logical, budget.physical);
  EXPECT_GE(budget.usable_cores(), 1u);
  EXPECT_LE(budget.usable_cores(), budget.physical);
}

TEST(Cpu, AffinityCounts) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    cpu_set_t now;
    ::sched_getaffinity(0, sizeof now, &now);
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (!CPU_ISSET(i, &now)) continue;
      CPU_SET(i, &one);
      break;
    }
    ::sched_setaffinity(0, sizeof one, &one);
    const CpuBudget budget = cpu_budget();
    ::_exit(budget.logical == 1 && budget.physical == 1 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Cpu, QuotaBoundsTheThreads) {
  EXPECT_EQ((CpuBudget{16, 8, std::nullopt}.usable_cores()), 8u);
  EXPECT_EQ((CpuBudget{16, 8, 2.5}.usable_cores()), 3u);
  EXPECT_EQ((CpuBudget{16, 8, 2.0}.usable_cores()), 2u);
  EXPECT_EQ((CpuBudget{16, 8, 0.1}.usable_cores()), 1u);
  EXPECT_EQ((CpuBudget{16, 8, 64.0}.usable_cores()), 8u);
}

TEST(Cpu, LevelsNameWhatIsMissing) {
  CpuInfo cpu;
  cpu.features = {"cx16", "lahf_lm", "popcnt", "sse2", "sse4_1", "sse4_2", "ssse3"};
  EXPECT_EQ(cpu_level_problem("native", CpuInfo{}), std::nullopt);
  EXPECT_EQ(cpu_level_problem("x86-64-v2", cpu), std::nullopt);
  EXPECT_EQ(cpu_level_problem("x86-64-v3", cpu),
            "This build of aioss needs a processor of level x86-64-v3; this one lacks avx, avx2, "
            "bmi1, bmi2, f16c, fma, abm, movbe.");
  cpu.features = {"abm",     "avx",   "avx2",   "bmi1", "bmi2",   "cx16",   "f16c", "fma",
                  "lahf_lm", "movbe", "popcnt", "sse2", "sse4_1", "sse4_2", "ssse3"};
  EXPECT_EQ(cpu_level_problem("x86-64-v3", cpu), std::nullopt);
  EXPECT_THAT(*cpu_level_problem("x86-64-v4", cpu), HasSubstr("lacks avx512f, avx512bw"));
  EXPECT_THAT(*cpu_level_problem("armv8-a", cpu), HasSubstr("lacks asimd, fp."));
}

TEST(Cpu, LevelsGoAsFarAsNothingIsMissing) {
  CpuInfo cpu;
  EXPECT_EQ(cpu_level_of(cpu), "");
  cpu.features = {"sse2"};
  EXPECT_EQ(cpu_level_of(cpu), "x86-64");
  cpu.features = {"cx16", "lahf_lm", "popcnt", "sse2", "sse4_1", "sse4_2", "ssse3"};
  EXPECT_EQ(cpu_level_of(cpu), "x86-64-v2");
  cpu.features = {"abm",      "avx",    "avx2", "avx512bw", "avx512cd", "avx512dq", "avx512f",
                  "avx512vl", "bmi1",   "bmi2", "cx16",     "f16c",     "fma",      "lahf_lm",
                  "movbe",    "popcnt", "sse2", "sse4_1",   "sse4_2",   "ssse3"};
  EXPECT_EQ(cpu_level_of(cpu), "x86-64-v4");
  std::erase(cpu.features, "fma");  // of v3: then v4 does not count
  EXPECT_EQ(cpu_level_of(cpu), "x86-64-v2");
  cpu.features = {"asimd", "cpuid", "crc32", "fp"};  // a Cortex-A72
  EXPECT_EQ(cpu_level_of(cpu), "armv8-a");
  cpu.features = {"asimd",   "asimddp", "asimdhp", "asimdrdm",
                  "atomics", "crc32",   "fp",      "fphp"};  // of a Neoverse N1
  EXPECT_EQ(cpu_level_of(cpu), "armv8.2-a");
}

TEST(Memory, ThisMachine) {
  const auto state = memory_state();
  ASSERT_TRUE(state);
  EXPECT_GT(state->total, 64ULL << 20);
  EXPECT_GT(state->available, 0u);
  EXPECT_LE(state->available, state->total);
  EXPECT_LE(state->usable(), state->available);
  EXPECT_EQ((MemoryState{100, 50, 30, 20}.usable()), 20u);
}

TEST(Memory, UseIsSeenInThisProcessAndInOthers) {
  const std::uint64_t before = process_memory()->resident;
  std::vector<char> block(64 << 20, 1);
  EXPECT_GE(process_memory()->resident, before + (60 << 20));
  EXPECT_GE(process_memory()->peak, before + (60 << 20));
  EXPECT_GE(process_memory()->anonymous, std::uint64_t{60} << 20);
  const auto all = process_memory();
  EXPECT_EQ(all->anonymous + all->shared + all->mapped, all->resident);
  EXPECT_EQ(block[block.size() / 2], 1);
  EXPECT_GT(process_memory(::getppid())->resident, 0u);
  EXPECT_EQ(process_memory(-1).error().code, Code::kNotFound);
}

class ControlGroupTest : public TreeTest {};

TEST_F(ControlGroupTest, NoGroupsNoLimits) {
  EXPECT_EQ(group_cpu_quota(root_), std::nullopt);
  EXPECT_FALSE(group_memory(root_));
  put("/proc/self/cgroup", "0::/");
  EXPECT_EQ(group_cpu_quota(root_), std::nullopt);
}

TEST_F(ControlGroupTest, Version2TakesTheTightestOfAllLevels) {
  put("/proc/self/cgroup", "0::/system.slice/aioss.service");
  put("/sys/fs/cgroup/system.slice/cpu.max", "150000 100000");
  put("/sys/fs/cgroup/system.slice/aioss.service/cpu.max", "max 100000");
  EXPECT_EQ(group_cpu_quota(root_), 1.5);
  put("/sys/fs/cgroup/system.slice/aioss.service/cpu.max", "50000 100000");
  EXPECT_EQ(group_cpu_quota(root_), 0.5);

  put("/sys/fs/cgroup/system.slice/memory.max", "4000");
  put("/sys/fs/cgroup/system.slice/memory.current", "3500");
  put("/sys/fs/cgroup/system.slice/memory.stat",
      "anon 100\ninactive_file 600\nactive_file 400\nfile 2000");
  put("/sys/fs/cgroup/system.slice/aioss.service/memory.max", "max");
  put("/sys/fs/cgroup/system.slice/aioss.service/memory.current", "10");
  const auto memory = group_memory(root_);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->limit, 4000u);
  EXPECT_EQ(memory->available, 1500u);
}

TEST_F(ControlGroupTest, Version1) {
  put("/proc/self/cgroup", "5:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/box");
  put("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "-1");
  put("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000");
  put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_EQ(group_cpu_quota(root_), std::nullopt);
  EXPECT_FALSE(group_memory(root_));
  put("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "300000");
  put("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1000");
  put("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "5000");  // over: nothing left, no wrap
  EXPECT_EQ(group_cpu_quota(root_), 3.0);
  EXPECT_EQ(group_memory(root_)->available, 0u);
}

class TerminalTest : public testing::Test {
 protected:
  void SetUp() override {
    int outer = -1, inner = -1;
    winsize size{24, 132, 0, 0};
    ASSERT_EQ(::openpty(&outer, &inner, nullptr, nullptr, &size), 0);
    outer_ = Fd(outer);
    inner_ = Fd(inner);
  }
  Fd outer_, inner_;
};

TEST_F(TerminalTest, IsOneAndHasASize) {
  EXPECT_TRUE(is_terminal(inner_.get()));
  EXPECT_EQ(terminal_width(inner_.get()), 132u);
  EXPECT_EQ(terminal_height(inner_.get(), 7), 24u);
  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(is_terminal(file.get()));
  EXPECT_EQ(terminal_width(file.get(), 72), 72u);
  EXPECT_EQ(terminal_height(file.get(), 7), 7u);
  winsize none{0, 0, 0, 0};
  ::ioctl(outer_.get(), TIOCSWINSZ, &none);
  EXPECT_EQ(terminal_width(inner_.get(), 72), 72u);
  EXPECT_EQ(terminal_height(inner_.get(), 7), 7u);
}

TEST_F(TerminalTest, ColorIsWantedUnlessSomebodySaysNo) {
  const ScopedVariable term("TERM", "xterm");
  {
    const ScopedVariable unset("NO_COLOR", nullptr);
    EXPECT_TRUE(color_wanted(inner_.get()));
    const ScopedVariable dumb("TERM", "dumb");
    EXPECT_FALSE(color_wanted(inner_.get()));
  }
  {
    const ScopedVariable set("NO_COLOR", "1");
    EXPECT_FALSE(color_wanted(inner_.get()));
  }
  const ScopedVariable empty("NO_COLOR", "");
  EXPECT_TRUE(color_wanted(inner_.get()));
  const Fd file(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  EXPECT_FALSE(color_wanted(file.get()));
}

TEST_F(TerminalTest, RawModeGivesKeysAtOnceAndTheOldModeBack) {
  termios before{};
  ASSERT_EQ(::tcgetattr(inner_.get(), &before), 0);
  {
    auto raw = RawMode::create(inner_.get());
    ASSERT_TRUE(raw);
    ASSERT_EQ(::write(outer_.get(), "a", 1), 1);  // no line end
    char key = 0;
    EXPECT_EQ(::read(inner_.get(), &key, 1), 1);
    EXPECT_EQ(key, 'a');
    termios now{};
    ASSERT_EQ(::tcgetattr(inner_.get(), &now), 0);
    EXPECT_EQ(now.c_lflag & static_cast<tcflag_t>(ECHO | ICANON), 0u);
    EXPECT_NE(now.c_lflag & static_cast<tcflag_t>(ISIG), 0u);
    EXPECT_EQ(now.c_oflag, before.c_oflag);
  }
  termios after{};
  ASSERT_EQ(::tcgetattr(inner_.get(), &after), 0);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_EQ(after.c_iflag, before.c_iflag);
  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(RawMode::create(file.get()));
}

// Types once the question is there: what is typed earlier, the terminal itself echoes.
std::string typed_after_the_question(int outer, std::string_view keys) {
  std::string shown;
  char byte = 0;
  while (!shown.ends_with("? ") && ::read(outer, &byte, 1) == 1) shown += byte;
  EXPECT_EQ(::write(outer, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  return shown;
}

TEST_F(TerminalTest, AHiddenLineIsReadAndNotShown) {
  struct Case {
    std::string_view keys;
    std::string_view line;
  };
  for (const Case& one :
       {Case{"secret\r", "secret"},
        Case{"sex\x7F"
             "cret\r",
             "secret"},
        Case{"no\x15secret\r", "secret"}, Case{"\xC3\xA9\x7Fx\r", "x"}, Case{"\x7F\r", ""}}) {
    std::thread person([&] { typed_after_the_question(outer_.get(), one.keys); });
    const auto line = read_hidden_line(inner_.get(), "word? ", 16);
    person.join();
    ASSERT_TRUE(line.has_value()) << line.error().message;
    EXPECT_EQ(as_text(*line), one.line);
    char end[8] = {};
    const ssize_t got = ::read(outer_.get(), end, sizeof(end));
    EXPECT_EQ(std::string_view(end, static_cast<std::size_t>(got)), "\r\n");  // and nothing before
  }
  termios after{};
  ASSERT_EQ(::tcgetattr(inner_.get(), &after), 0);
  EXPECT_NE(after.c_lflag & static_cast<tcflag_t>(ECHO), 0u);
}

TEST_F(TerminalTest, AHiddenLineCanBeGivenUp) {
  for (const std::string_view keys : {"sec\x03", "\x04", "seventeen letters\r"}) {
    std::thread person([&] { typed_after_the_question(outer_.get(), keys); });
    const auto line = read_hidden_line(inner_.get(), "word? ", 16);
    person.join();
    ASSERT_FALSE(line.has_value());
    EXPECT_EQ(line.error().code, Code::kCancelled);
    ::tcflush(inner_.get(), TCIFLUSH);
    ::tcflush(outer_.get(), TCIFLUSH);
  }
  const Fd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(read_hidden_line(file.get(), "word? ", 16).has_value());
}

}  // namespace
}  // namespace aioss::os
