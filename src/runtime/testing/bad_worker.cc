#include "runtime/testing/bad_worker.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "ipc/channel.h"
#include "ipc/limits.h"
#include "ipc/messages.h"

namespace aioss::runtime::testing {
namespace {

constexpr std::uint32_t kPromptTokens = 3;

class BadWorker final {
 public:
  BadWorker(int socket, std::string rule)
      : channel_(os::Fd(socket)), socket_(socket), rule_(std::move(rule)) {}

  int run() {
    if (rule_ == "silent") std::this_thread::sleep_for(std::chrono::seconds(60));
    if (rule_ == "deaf") std::this_thread::sleep_for(std::chrono::seconds(60));
    greet();
    for (;;) {
      const Result<Bytes> frame = channel_.receive();
      if (!frame) return 0;
      Result<ipc::ToWorker> message = ipc::decode_to_worker(*frame);
      if (!message) return 9;
      if (auto* submit = std::get_if<ipc::Submit>(&*message)) answer(*submit);
      if (auto* cancel = std::get_if<ipc::Cancel>(&*message)) cancelled(*cancel);
      if (auto* configure = std::get_if<ipc::Configure>(&*message)) load(*configure);
      if (auto* ping = std::get_if<ipc::Ping>(&*message)) pong(*ping);
      if (std::holds_alternative<ipc::Park>(*message)) park();
      if (std::holds_alternative<ipc::Shutdown>(*message) && rule_ != "stubborn") return 0;
    }
  }

 private:
  void send(const ipc::FromWorker& message) { (void)channel_.send(ipc::encode(message)); }
  void raw(const void* bytes, std::size_t size) {
    [[maybe_unused]] const ssize_t put = ::write(socket_, bytes, size);
  }

  void greet() {
    ipc::Hello hello;
    hello.binary_version = "test";
    hello.confinement = "none";
    if (rule_ == "version") hello.protocol_version = 99;
    if (rule_ == "no_hello") {
      send(ipc::LoadProgress{0.5F});
      return;
    }
    if (rule_ == "garbage") {
      (void)channel_.send(as_bytes("this is not canonical CBOR"));
      return;
    }
    if (rule_ == "huge") {
      const std::array<unsigned char, 4> length{0xff, 0xff, 0xff, 0xff};
      raw(length.data(), length.size());
      return;
    }
    send(hello);
    if (rule_ == "hello_twice") send(hello);
  }

  void load(const ipc::Configure& configure) {
    ipc::Ready ready;
    ready.engine.name = configure.engine;
    ready.profile = configure.profile;
    if (rule_ == "profile") ready.profile = ipc::Profile::kEvidence;
    ready.streams = 1;
    ready.cells_per_stream = 64;
    ready.threads = 1;
    if (rule_ == "slow_load") std::this_thread::sleep_for(std::chrono::seconds(60));
    if (rule_ == "exit_in_load") ::_exit(7);
    send(ready);
    if (rule_ == "ready_twice") send(ready);
    if (rule_ == "parked_unasked") send(ipc::Parked{});
    if (rule_ == "pong_unasked") send(ipc::Pong{1});
    if (rule_ == "probe_unasked") send(ipc::ProbeReport{});
  }

  void pong(const ipc::Ping& ping) {
    if (rule_ == "wrong_pong") send(ipc::Pong{ping.nonce + 1});
    if (rule_ == "wrong_pong" || rule_ == "no_pong") return;
    send(ipc::Pong{ping.nonce, rule_ == "engine_hangs"});
  }

  void park() {
    if (rule_ == "no_park") return;
    send(ipc::Parked{});
    if (rule_ == "parked_twice") send(ipc::Parked{});
    if (rule_ == "stats_parked") send(ipc::Stats{});
    if (rule_ == "wakes_up") send(ipc::Ready{});
    if (rule_ == "exit_parked") ::_exit(7);
  }

  void delta(ipc::RequestId id, std::uint32_t choice, std::string text, std::size_t tokens) {
    ipc::Delta message;
    message.id = id;
    message.choice = choice;
    message.text = std::move(text);
    message.tokens.assign(tokens, 1);
    send(message);
  }

  void finish(ipc::RequestId id, ipc::FinishReason reason) {
    send(ipc::Finished{id, 0, reason, kPromptTokens, 2, {}, std::nullopt});
  }

  void answer(const ipc::Submit& submit) {
    const ipc::RequestId id = submit.id;
    if (rule_ == "exit") ::_exit(7);
    if (rule_ == "leave") {  // ends the conversation and lives on
      ::shutdown(socket_, SHUT_RDWR);
      std::this_thread::sleep_for(std::chrono::seconds(600));
    }
    if (rule_ == "partial_frame") {
      const std::array<unsigned char, 4> length{100, 0, 0, 0};
      raw(length.data(), length.size());
      ::_exit(0);
    }
    if (rule_ == "early_delta") delta(id, 0, "x", 1);
    send(ipc::Accepted{rule_ == "wrong_id" ? id + 1000 : id, kPromptTokens, 0});
    if (rule_ == "accept_twice") send(ipc::Accepted{id, kPromptTokens, 0});
    if (rule_ == "late_reject") send(ipc::Rejected{id, {Code::kBusy, "changed my mind"}});
    if (rule_ == "extra_choice") delta(id, 1, "x", 1);
    if (rule_ == "extra_tokens") delta(id, 0, "x", 32);
    if (rule_ == "logprobs_unasked") logprobs(id);
    if (rule_ == "self_cancel") finish(id, ipc::FinishReason::kCancelled);
    if (rule_ == "other_prompt") {
      send(ipc::Finished{id, 0, ipc::FinishReason::kStop, kPromptTokens + 1, 2, {}, std::nullopt});
    }
    if (rule_ == "flood") {
      for (int i = 0; i < 40; ++i) delta(id, 0, std::string(ipc::kDeltaTextBytesMax, 'x'), 1);
      return;
    }
    if (rule_ == "mute") return;
    delta(id, 0, "he", 1);
    if (rule_ == "hang" || rule_ == "no_cancel") return;
    delta(id, 0, "llo", 1);
    finish(id, ipc::FinishReason::kStop);
    if (rule_ == "finish_twice") finish(id, ipc::FinishReason::kStop);
    if (rule_ == "after_end") delta(id, 0, "more", 1);
  }

  void logprobs(ipc::RequestId id) {
    ipc::Delta message;
    message.id = id;
    message.text = "x";
    message.tokens = {1};
    message.logprobs.resize(1);
    send(message);
  }

  void cancelled(const ipc::Cancel& cancel) {
    if (rule_ != "no_cancel" && rule_ != "mute") finish(cancel.id, ipc::FinishReason::kCancelled);
  }

  ipc::Channel channel_;
  const int socket_;  // the channel's
  const std::string rule_;
};

}  // namespace

int run_bad_worker(int socket, const std::string& rule) {
  return BadWorker(socket, rule).run();
}

}  // namespace aioss::runtime::testing
