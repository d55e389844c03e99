// The worker executable of the runtime's tests. Called as the gateway calls `aioss worker`: the
// real worker with the fake engine, unless the model file asks for one that misbehaves.
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/strings.h"
#include "engines/fake/fake_engine.h"
#include "os/clock.h"
#include "runtime/testing/bad_worker.h"
#include "runtime/testing/other_engines.h"
#include "worker/worker.h"

namespace {

std::string first_line(int fd) {
  std::array<char, 64> buffer{};
  const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), 0);
  const std::string text(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  return text.substr(0, text.find('\n'));
}

}  // namespace

int main(int argc, char** argv) {
  const bool plans = argc > 2 && std::string_view(argv[2]) == "--plan";
  const bool tunes = argc > 2 && std::string_view(argv[2]) == "--tune";
  if (plans || tunes) {
    ++argv;
    --argc;
  }
  if (argc < 6 || argc % 2 != 0) return 2;
  aioss::worker::WorkerOptions options;
  options.socket_fd = std::atoi(argv[3]);
  for (const std::string_view part : aioss::split(argv[5], ',')) {
    options.model_fds.push_back(std::atoi(std::string(part).c_str()));
  }
  for (int i = 6; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--sandbox") {  // what for, and no descriptor
      options.device = aioss::os::SandboxFor::kGpu;
      continue;
    }
    int& descriptor = option == "--prefixes"   ? options.prefix_fd
                      : option == "--adapters" ? options.adapter_fd
                                               : options.engine_fd;
    descriptor = std::atoi(argv[i + 1]);
  }
  const std::string line = first_line(options.model_fds.front());
  constexpr std::string_view kMisbehave = "misbehave ";
  if (line.starts_with(kMisbehave)) {
    return aioss::runtime::testing::run_bad_worker(options.socket_fd,
                                                   line.substr(kMisbehave.size()));
  }
  aioss::worker::EngineChoice fake;
  fake.name = "fake";
  fake.engine = aioss::engines::fake::entry();
  fake.open_text = [](aioss::engine::Model& model, const std::vector<int>&) {
    return aioss::engines::fake::open_text(model);
  };
  fake.needs_gguf = false;
  options.engines = {fake};
  for (const auto& other : aioss::runtime::testing::other_engines()) {
    aioss::worker::EngineChoice choice = fake;
    choice.name = other.name;
    choice.engine = other.engine;
    options.engines.push_back(choice);
  }
  if (plans) return aioss::worker::run_plan(options);
  const aioss::os::SystemClock clock;
  if (tunes) return aioss::worker::run_tune(options, clock);
  return aioss::worker::run_worker(options, clock);
}
