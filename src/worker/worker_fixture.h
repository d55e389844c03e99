// A real worker process over a socketpair, confined as in the product, with the fake engine: for
// tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "crypto/hash.h"
#include "engines/fake/fake_engine.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/shared_memory.h"
#include "worker/scheduler_fixture.h"
#include "worker/worker.h"

namespace aioss::worker {

inline constexpr std::chrono::milliseconds kPatience{
    20'000};  // for a message; only a hang takes that long

inline std::vector<EngineChoice> engines() {
  EngineChoice fake;
  fake.name = "fake";
  fake.engine = engines::fake::entry();
  fake.open_text = [](engine::Model& model, const std::vector<int>&) {
    return engines::fake::open_text(model);
  };
  fake.needs_gguf = false;
  EngineChoice strict = fake;  // as the llama engine: our reader looks first
  strict.name = "strict";
  strict.needs_gguf = true;
  static const aioss_engine never_saves = [] {
    aioss_engine engine = *engines::fake::entry();
    engine.sequence_save = [](aioss_session*, std::int32_t, std::uint8_t*, std::size_t*,
                              aioss_error*) -> aioss_status {
      for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
    };
    return engine;
  }();
  EngineChoice stuck = fake;
  stuck.name = "never_saves";
  stuck.engine = &never_saves;
  return {fake, strict, stuck};
}

// Runs `body` in a child; its result is the exit code.
template <typename Body>
pid_t in_child(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  return pid;
}

inline std::string ending(pid_t pid) {
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? "exit " + std::to_string(WEXITSTATUS(status))
                           : "signal " + std::to_string(WTERMSIG(status));
}

// A plugin in place of its engines.
struct GivenPlugin {
  int fd = -1;
  std::chrono::seconds start_max{20};
  std::function<Result<std::unique_ptr<engine::TextModel>>(const std::vector<int>&)>
      open_vocabulary = {};
};

// So many of its seconds go by in each.
class FastClock final : public Clock {
 public:
  explicit FastClock(std::int64_t speed) : speed_(speed), start_ns_(real_.monotonic_ns()) {}
  std::int64_t wall_ns() const override { return real_.wall_ns(); }
  std::int64_t monotonic_ns() const override {
    return start_ns_ + speed_ * (real_.monotonic_ns() - start_ns_);
  }

 private:
  const os::SystemClock real_;
  const std::int64_t speed_, start_ns_;
};

class RunningWorker {
 public:
  explicit RunningWorker(std::string_view script, bool prefixes = false,
                         const GivenPlugin& plugin = {}, std::int64_t clock_speed = 1)
      : model_(memory_file(script)) {
    if (prefixes) prefixes_ = *os::create_shared_memory("prefixes", 64 << 20);
    auto sockets = os::socket_pair();
    EXPECT_TRUE(sockets);
    const int theirs = sockets->second.release();
    const int ours = sockets->first.release();
    pid_ = in_child([&] {
      ::close(ours);
      const os::Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
      ::dup2(null.get(), STDOUT_FILENO);  // as the gateway starts it
      WorkerOptions options;
      options.socket_fd = theirs;
      options.model_fds = {model_.get()};
      options.prefix_fd = prefixes_.get();
      options.adapter_fd = adapters_.get();
      options.engines = engines();
      options.engine_fd = plugin.fd;
      options.plugin_start_max = plugin.start_max;
      options.open_vocabulary = plugin.open_vocabulary;
      return run_worker(options, FastClock(clock_speed));
    });
    ::close(theirs);
    channel = std::make_unique<ipc::Channel>(os::Fd(ours));
  }
  ~RunningWorker() {
    channel.reset();
    if (pid_ > 0) (void)ending(pid_);
  }

  void send(const ipc::ToWorker& message) { EXPECT_TRUE(channel->send(ipc::encode(message))); }
  void send_text(ipc::RequestId id, std::string_view text) {
    ipc::Submit submit = request(id);
    submit.prompt = std::vector<ipc::ChatMessage>{{"user", std::string(text), ""}};
    send(submit);
  }

  // The next message that is no Stats and no LoadProgress.
  std::optional<ipc::FromWorker> next() {
    for (;;) {
      const Result<Bytes> frame = channel->receive(kPatience);
      if (!frame) return std::nullopt;
      Result<ipc::FromWorker> message = ipc::decode_from_worker(*frame);
      EXPECT_TRUE(message) << message.error().message;
      if (!message) return std::nullopt;
      progress += std::holds_alternative<ipc::LoadProgress>(*message) ? 1 : 0;
      if (std::holds_alternative<ipc::Stats>(*message)) continue;
      if (!std::holds_alternative<ipc::LoadProgress>(*message)) return std::move(*message);
    }
  }
  template <typename T>
  T expect() {
    const auto message = next();
    if (message && std::holds_alternative<T>(*message)) return std::get<T>(*message);
    ADD_FAILURE() << "another message, or none: " << (message ? message->index() : 999);
    return T{};
  }
  ipc::Ready start(ipc::Configure configure = {}) {
    (void)expect<ipc::Hello>();
    if (configure.engine == "llama") configure.engine = "fake";
    send(configure);
    return expect<ipc::Ready>();
  }
  // As the gateway does it; what its report says.
  ipc::AdapterReport load_adapter(std::string_view file) {
    EXPECT_EQ(::ftruncate(adapters_.get(), 0), 0);
    EXPECT_EQ(::pwrite(adapters_.get(), file.data(), file.size(), 0),
              static_cast<ssize_t>(file.size()));
    send(ipc::LoadAdapter{crypto::sha256(as_bytes(file)), file.size()});
    return expect<ipc::AdapterReport>();
  }
  std::string end() {
    const std::string how = ending(pid_);
    pid_ = -1;
    return how;
  }
  void hang_up() { channel.reset(); }
  void kill(int signal) { ::kill(pid_, signal); }

  std::unique_ptr<ipc::Channel> channel;
  int progress = 0;

 private:
  os::Fd model_, prefixes_;
  os::Fd adapters_ = memory_file("");
  pid_t pid_ = -1;
};

inline constexpr std::string_view kSmallScript = "aioss-fake 1\ncontext 512\nreply Good day.\n";

}  // namespace aioss::worker
