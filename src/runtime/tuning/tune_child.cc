#include "runtime/tuning/tune_child.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "os/read_some.h"
#include "runtime/dry_runs/model_child.h"

namespace aioss::runtime {
namespace {

constexpr std::chrono::milliseconds kSlice{100};  // between two looks at `stop`
constexpr std::chrono::milliseconds kExitTime{1000};
constexpr std::size_t kLengthBytes = 4;  // in front of a frame (ipc/channel.h)

}  // namespace

Result<std::unique_ptr<TuneChild>> TuneChild::start(const OpenModel& files, const Options& options,
                                                    const Clock& clock,
                                                    const std::atomic<bool>& stop) {
  AIOSS_TRY(const auto models, open_again(files));
  AIOSS_TRY(auto sockets, os::socket_pair());
  AIOSS_TRY(os::Child child,
            os::Child::spawn(model_child(options.executable, "--tune", sockets.second.get(), models,
                                         options.engine.get())));
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
  if (report->error)
    return error_of_child(*report->error, Code::kEngineFailed, "it cannot be measured");
  return report;
}

}  // namespace aioss::runtime
