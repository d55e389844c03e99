#include "worker/parked.h"

#include <cstdio>
#include <utility>

#include "os/heaps.h"
#include "worker/prefix_cache.h"
#include "worker/service.h"

namespace aioss::worker {
namespace {

using Next = std::variant<ipc::Wake, WorkerExit>;

void forget_prefixes(const os::SharedMapping* prefixes) {
  if (prefixes == nullptr) return;
  PrefixCache cache(prefixes->borrow());
  cache.clear();
}

}  // namespace

std::optional<Next> take_parked_frame(ipc::Channel& channel, const os::SharedMapping* prefixes,
                                      ByteView frame) {
  Result<ipc::ToWorker> command = ipc::decode_to_worker(frame);
  if (!command) {
    std::fprintf(stderr, "aioss worker: %s\n", command.error().message.c_str());
    return WorkerExit::kProtocol;
  }
  if (auto* wake = std::get_if<ipc::Wake>(&*command)) return std::move(*wake);
  if (std::holds_alternative<ipc::Shutdown>(*command)) return WorkerExit::kOk;
  Status told = ok();
  if (const auto* ping = std::get_if<ipc::Ping>(&*command)) {
    told = channel.send(ipc::encode(ipc::FromWorker{ipc::Pong{ping->nonce}}));
  } else if (std::holds_alternative<ipc::Probe>(*command)) {
    told = channel.send(ipc::encode(ipc::FromWorker{probe_report()}));
  } else if (std::holds_alternative<ipc::Forget>(*command)) {
    forget_prefixes(prefixes);
  } else if (std::holds_alternative<ipc::Cancel>(*command) ||
             std::holds_alternative<ipc::Credit>(*command)) {
    // It crossed the last event of a request.
  } else {
    return WorkerExit::kProtocol;
  }
  if (!told) return WorkerExit::kOk;  // the gateway left
  return std::nullopt;
}

Next stay_parked(ipc::Channel& channel, const os::SharedMapping* prefixes) {
  os::give_back_free_memory();
  if (!channel.send(ipc::encode(ipc::FromWorker{ipc::Parked{}}))) return WorkerExit::kOk;
  for (;;) {
    const Result<Bytes> frame = channel.receive();
    if (!frame) {
      return frame.error().code == Code::kCorrupt ? WorkerExit::kProtocol : WorkerExit::kOk;
    }
    if (auto next = take_parked_frame(channel, prefixes, *frame)) return std::move(*next);
  }
}

}  // namespace aioss::worker
