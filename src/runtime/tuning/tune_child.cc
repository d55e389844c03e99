#include "runtime/tuning/tune_child.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "os/file.h"
#include "os/read_some.h"
#include "plugins/engine_table.h"

namespace aioss::runtime {
namespace {

constexpr int kSocketInChild = 3;
constexpr int kFirstModelInChild = 4;
constexpr std::chrono::milliseconds kSlice{100};  // between two looks at `stop`
constexpr std::chrono::milliseconds kExitTime{1000};
constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::size_t kMessageBytesMax = 500;
constexpr std::size_t kLengthBytes = 4;  // in front of a frame (ipc/channel.h)

// The child decides between these, and nothing else.
Error child_error(const Error& error) {
  constexpr Code kPlausible[] = {Code::kModelCorrupt, Code::kIo,           Code::kNoMemory,
                                 Code::kUnsupported,  Code::kEngineFailed, Code::kInvalidArgument};
  const bool plausible =
      std::find(std::begin(kPlausible), std::end(kPlausible), error.code) != std::end(kPlausible);
  const std::string message = one_line(error.message.substr(0, kMessageBytesMax));
  return {plausible ? error.code : Code::kEngineFailed,
          message.empty() ? "it cannot be measured" : message};
}

// With offsets of their own: whoever else reads the model through these descriptors is not moved.
Result<std::vector<std::unique_ptr<os::File>>> open_again(const OpenModel& files) {
  os::RealFileSystem real;
  std::vector<std::unique_ptr<os::File>> again;
  for (const int descriptor : files.descriptors()) {
    AIOSS_TRY(auto opened,
              real.open("/proc/self/fd/" + std::to_string(descriptor), os::OpenMode::kRead));
    again.push_back(std::move(opened));
  }
  return again;
}

os::SpawnOptions spawn_options(const std::vector<std::unique_ptr<os::File>>& models,
                               const TuneChild::Options& options, int socket) {
  os::SpawnOptions spawn;
  spawn.executable = options.executable;
  spawn.inherit_output = false;
  spawn.descriptors = {{kSocketInChild, socket}};
  std::string numbers;
  int number = kFirstModelInChild;
  for (const auto& model : models) {
    numbers += (numbers.empty() ? "" : ",") + std::to_string(number);
    spawn.descriptors.emplace_back(number++, model->descriptor());
  }
  spawn.arguments = {"aioss",    "worker", "--tune", "--socket", std::to_string(kSocketInChild),
                     "--models", numbers};
  if (const int plugin = plugins::plugin_descriptor(options.engine.get()); plugin >= 0) {
    spawn.arguments.insert(spawn.arguments.end(), {"--engine", std::to_string(number)});
    spawn.descriptors.emplace_back(number, plugin);
  }
  return spawn;
}

}  // namespace

Result<std::unique_ptr<TuneChild>> TuneChild::start(const OpenModel& files, const Options& options,
                                                    const Clock& clock,
                                                    const std::atomic<bool>& stop) {
  AIOSS_TRY(const auto models, open_again(files));
  AIOSS_TRY(auto sockets, os::socket_pair());
  AIOSS_TRY(os::Child child,
            os::Child::spawn(spawn_options(models, options, sockets.second.get())));
  sockets.second.reset();  // so that the child's end is the only one
  return std::unique_ptr<TuneChild>(
      new TuneChild(std::move(child), std::move(sockets.first), clock, stop));
}

TuneChild::TuneChild(os::Child child, os::Fd socket, const Clock& clock,
                     const std::atomic<bool>& stop)
    : clock_(clock),
      stop_(stop),
      channel_(std::move(socket)),
      child_(std::make_unique<os::Child>(std::move(child))) {}

TuneChild::~TuneChild() {
  if (child_ != nullptr) (void)lose({Code::kCancelled, ""});
}

// One that a disk or a driver holds in the kernel does not end when it is killed: it is left to
// init.
Error TuneChild::lose(Error why) {
  (void)child_->send_signal(SIGKILL);
  if (!child_->wait_for(kExitTime)) (void)child_.release();
  child_.reset();
  return why;
}

Error TuneChild::died() {
  const auto status = child_->wait_for(kExitTime);
  return lose({Code::kWorkerDied, "the process that computed it ended with " +
                                      (status ? status->describe() : "no answer")});
}

// The next frame, however slowly it comes.
Result<Bytes> TuneChild::receive(std::int64_t until_ns) {
  Bytes piece(4096);
  while (!stop_.load()) {
    if (received_.size() >= kLengthBytes) {
      std::size_t length = 0;
      for (std::size_t i = kLengthBytes; i-- > 0;) length = length << 8 | received_[i];
      if (length > ipc::kTuneFrameBytesMax) {
        return lose({Code::kWorkerDied, "the process that computed it spoke nonsense"});
      }
      if (received_.size() >= kLengthBytes + length) {
        const auto begin = received_.begin() + static_cast<std::ptrdiff_t>(kLengthBytes);
        const auto end = begin + static_cast<std::ptrdiff_t>(length);
        Bytes frame(begin, end);
        received_.erase(received_.begin(), end);
        return frame;
      }
    }
    const std::int64_t left_ms = (until_ns - clock_.monotonic_ns()) / kNsPerMs;
    if (left_ms <= 0) return lose({Code::kTimeout, "it gave no answer in time"});
    const auto count = os::read_some(channel_.descriptor(), piece,
                                     std::min(kSlice, std::chrono::milliseconds(left_ms)));
    if (!count && count.error().code == Code::kTimeout) continue;
    if (!count || *count == 0) return died();
    received_.insert(received_.end(), piece.begin(),
                     piece.begin() + static_cast<std::ptrdiff_t>(*count));
  }
  return lose({Code::kShuttingDown, "measuring was stopped"});
}

Result<ipc::TuneReport> TuneChild::ask(const ipc::TuneAsk& ask, std::int64_t until_ns) {
  if (child_ == nullptr) return Error{Code::kWorkerDied, "the process that computed it is gone"};
  // Of some hundred bytes: the socket's buffer takes it, whether the child reads or not.
  (void)channel_.send(ipc::encode(ask));  // one that is gone is noticed by what it does not say
  AIOSS_TRY(const Bytes frame, receive(until_ns));
  Result<ipc::TuneReport> report = ipc::decode_tune_report(frame);
  if (!report) return lose({Code::kWorkerDied, "the process that computed it spoke nonsense"});
  if (report->error) return child_error(*report->error);
  return report;
}

}  // namespace aioss::runtime
