// For this folder's tests: the far side of the server (a gateway whose streams say what a test
// tells them), a clock that stands still, a client that speaks HTTP over a blocking socket, and a
// server on a thread of its own.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/strings.h"
#include "server/api_server.h"

namespace aioss::server::test {

// Long enough for a busy machine; reached only when something is broken.
inline constexpr std::chrono::seconds kPatience{30};

inline const std::string kChat = "/v1/chat/completions";
inline const std::string kStreamedChat =
    R"({"model":"smol","messages":[{"role":"user","content":"hi"}],"stream":true})";

class StillClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return 1'700'000'000'000'000'000; }
  std::int64_t monotonic_ns() const override { return now_.load(); }
  void advance_ms(std::int64_t ms) { now_ += ms * 1'000'000; }

 private:
  std::atomic<std::int64_t> now_{1'000'000'000};
};

class ScriptedStream final : public runtime::Stream {
 public:
  explicit ScriptedStream(std::string id = "req_0001") : id_(std::move(id)) {}
  const std::string& request_id() const override { return id_; }
  ipc::Profile profile() const override { return ipc::Profile::kReproducible; }
  std::uint64_t seed() const override { return 42; }

  std::optional<runtime::StreamEvent> try_next() override {
    std::lock_guard lock(mutex_);
    if (events_.empty()) return std::nullopt;
    runtime::StreamEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  std::optional<runtime::StreamEvent> next_for(std::chrono::milliseconds) override {
    return try_next();
  }
  void set_wake(std::function<void()> wake) override {
    std::unique_lock lock(mutex_);
    wake_ = std::move(wake);
    const bool something = !events_.empty();
    const auto copy = wake_;
    lock.unlock();
    if (something) copy();
  }
  std::optional<ModelWait> model_wait() const override {
    std::lock_guard lock(mutex_);
    return wait_;
  }
  void wait_for_model(std::optional<ModelWait> wait) {
    std::lock_guard lock(mutex_);
    wait_ = std::move(wait);
  }
  void give_up(Error why) override {
    given_up = why.code;
    cancel();
  }
  void cancel() override {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

  void push(runtime::StreamEvent event) {
    std::unique_lock lock(mutex_);
    events_.push_back(std::move(event));
    const auto wake = wake_;
    lock.unlock();
    if (wake) wake();
  }
  bool wait_cancelled() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return cancelled_; });
  }
  bool cancelled() {
    std::lock_guard lock(mutex_);
    return cancelled_;
  }
  // How many events are left when its consumer takes no more for a moment.
  std::size_t wait_until_still() {
    for (std::size_t before = SIZE_MAX;;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      std::lock_guard lock(mutex_);
      if (events_.size() == before) return before;
      before = events_.size();
    }
  }
  std::atomic<Code> given_up{Code::kCancelled};  // why

 private:
  const std::string id_;
  mutable std::mutex mutex_;
  std::optional<ModelWait> wait_;
  std::condition_variable changed_;
  std::deque<runtime::StreamEvent> events_;
  std::function<void()> wake_;
  bool cancelled_ = false;
};

// Events, short.
inline runtime::StreamEvent started() {
  return runtime::StreamStarted{7, 3};
}
inline runtime::StreamEvent text(const std::string& what, std::uint32_t choice = 0) {
  runtime::StreamDelta delta;
  delta.choice = choice;
  delta.text = what;
  delta.tokens = {1};
  return delta;
}
inline runtime::StreamEvent stop(std::uint32_t choice = 0) {
  runtime::ChoiceEnd end;
  end.choice = choice;
  return end;
}
inline runtime::StreamEvent done(std::uint32_t completion_tokens = 2) {
  return runtime::StreamDone{8, 3, completion_tokens};
}
inline runtime::StreamEvent failed(Code code, const std::string& message) {
  return runtime::StreamFailed{Error(code, message), 9, 7};
}

class ScriptedGateway final : public runtime::Gateway {
 public:
  Result<std::shared_ptr<runtime::Stream>> submit(runtime::GenerateCall call) override {
    std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
    changed_.notify_all();
    if (refusal_.has_value()) return *refusal_;
    std::string id = std::to_string(numbered_ ? streams_.size() + 1 : 1);
    id.insert(0, 4 - std::min<std::size_t>(id.size(), 4), '0');
    auto stream = std::make_shared<ScriptedStream>("req_" + id);
    for (const auto& event : script_) stream->push(event);
    streams_.push_back(stream);
    return std::shared_ptr<runtime::Stream>(stream);
  }
  std::vector<runtime::ModelEntry> models() const override {
    runtime::ModelEntry entry;
    entry.name = "smol";
    entry.engine = "fake";
    entry.state = "ready";
    entry.facts.emplace();
    entry.facts->engine.name = "fake";
    entry.facts->engine.build_id = "b1";
    return {entry};
  }
  Status rescan(const runtime::Principal& by) override {
    std::unique_lock lock(mutex_);
    rescanned_by_ = by;
    ++rescans;
    changed_.wait_for(lock, kPatience, [&] { return !rescans_held_; });
    return ok();
  }
  Result<runtime::ModelEntry> order(const runtime::ModelOrder& order) override {
    std::lock_guard lock(mutex_);
    orders_.push_back(order);
    if (refusal_.has_value()) return *refusal_;
    return models().front();
  }
  std::vector<runtime::ModelOrder> orders() const {
    std::lock_guard lock(mutex_);
    return orders_;
  }
  Status spend(const runtime::Principal& by) override {
    std::lock_guard lock(mutex_);
    spent_by_.push_back(by.tenant);
    if (over_budget_) return Error(Code::kBusy, "over its budget");
    return ok();
  }
  ledger::Custody* custody() override { return custody_; }
  Result<runtime::Reviewed> review(const runtime::ReviewCall& call) override {
    std::lock_guard lock(mutex_);
    reviews_.push_back(call);
    if (refusal_.has_value()) return *refusal_;
    return runtime::Reviewed{12, 8, "req_0001", Digest{}};
  }
  void note_stranger(std::string_view reason) override {
    std::lock_guard lock(mutex_);
    ++strangers_[std::string(reason)];
  }
  void note_refusal(Code code) override {
    std::lock_guard lock(mutex_);
    ++refusals_[std::string(info(code).name)];
  }
  Result<runtime::ModelEntry> load(const std::string&, const std::function<void(float)>&) override {
    return models().front();
  }
  runtime::GatewayHealth health() const override {
    std::lock_guard lock(mutex_);
    return health_;
  }
  std::vector<runtime::ModelLoad> queue() const override {
    std::lock_guard lock(mutex_);
    return loads_;
  }
  void set_loads(std::vector<runtime::ModelLoad> loads) {
    std::lock_guard lock(mutex_);
    loads_ = std::move(loads);
  }
  Result<ipc::ProbeReport> probe(const std::string&) override { return ipc::ProbeReport(); }
  Status change_configuration(const runtime::ConfigurationChange& change) override {
    std::lock_guard lock(mutex_);
    changes_.push_back(change);
    return ok();
  }
  void shut_down(std::chrono::milliseconds) override {}
  Status left_behind() const override { return ok(); }

  // What every later stream says at once.
  void script(std::vector<runtime::StreamEvent> events) {
    std::lock_guard lock(mutex_);
    script_ = std::move(events);
  }
  // Each later stream has an id of its own.
  void number_streams() {
    std::lock_guard lock(mutex_);
    numbered_ = true;
  }
  void refuse(Error error) {
    std::lock_guard lock(mutex_);
    refusal_ = std::move(error);
  }
  void hold_rescans(bool held) {
    std::lock_guard lock(mutex_);
    rescans_held_ = held;
    changed_.notify_all();
  }
  void set_over_budget(bool over) {
    std::lock_guard lock(mutex_);
    over_budget_ = over;
  }
  // Outlives the gateway.
  void set_custody(ledger::Custody* custody) { custody_ = custody; }
  std::vector<std::string> spent_by() const {  // tenants, one for each record
    std::lock_guard lock(mutex_);
    return spent_by_;
  }
  void set_health(runtime::GatewayHealth health) {
    std::lock_guard lock(mutex_);
    health_ = std::move(health);
  }
  // The stream of the n-th request, once it has come.
  std::shared_ptr<ScriptedStream> stream(std::size_t n = 0,
                                         std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    const bool there = changed_.wait_for(lock, patience, [&] { return streams_.size() > n; });
    return there ? streams_[n] : nullptr;
  }
  runtime::GenerateCall call(std::size_t n = 0) {
    std::lock_guard lock(mutex_);
    return calls_.at(n);
  }
  std::vector<runtime::ConfigurationChange> changes() const {
    std::lock_guard lock(mutex_);
    return changes_;
  }
  std::vector<runtime::ReviewCall> reviews() const {
    std::lock_guard lock(mutex_);
    return reviews_;
  }
  using Counts = std::map<std::string, int>;
  Counts strangers() const {
    std::lock_guard lock(mutex_);
    return strangers_;
  }
  Counts refusals() const {
    std::lock_guard lock(mutex_);
    return refusals_;
  }
  runtime::Principal rescanned_by() const {
    std::lock_guard lock(mutex_);
    return rescanned_by_;
  }
  std::size_t calls() const {
    std::lock_guard lock(mutex_);
    return calls_.size();
  }
  std::atomic<int> rescans{0};

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<runtime::StreamEvent> script_;
  std::optional<Error> refusal_;
  runtime::GatewayHealth health_;
  std::vector<runtime::ModelLoad> loads_;
  std::vector<runtime::ConfigurationChange> changes_;
  std::vector<runtime::ReviewCall> reviews_;
  std::vector<runtime::ModelOrder> orders_;
  Counts strangers_, refusals_;
  runtime::Principal rescanned_by_;
  bool rescans_held_ = false, over_budget_ = false, numbered_ = false;
  std::vector<std::string> spent_by_;
  std::atomic<ledger::Custody*> custody_{nullptr};
  std::vector<runtime::GenerateCall> calls_;
  std::vector<std::shared_ptr<ScriptedStream>> streams_;
};

struct Reply {
  int status = 0;
  std::string head;
  std::string body;    // without the framing of chunks
  bool whole = false;  // it ended as its framing says

  std::string header(const std::string& name) const {
    for (const std::string_view line : split(head, '\n')) {
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) continue;
      if (ascii_lower(line.substr(0, colon)) == ascii_lower(name))
        return std::string(trim(line.substr(colon + 1)));
    }
    return "";
  }
};

class Client final {
 public:
  explicit Client(std::uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect_to(reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  explicit Client(const std::string& unix_path) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, unix_path.c_str(), sizeof address.sun_path - 1);
    connect_to(reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void send(const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += static_cast<std::size_t>(n);
    }
  }
  void post(const std::string& path, const std::string& body, const std::string& headers = "") {
    send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  void get(const std::string& path, const std::string& headers = "",
           const std::string& method = "GET") {
    send(method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
  }

  // Reads until what has come holds `mark`. False at the end of the connection.
  bool read_until(const std::string& mark) {
    while (buffer_.find(mark) == std::string::npos) {
      if (!read_some()) return false;
    }
    return true;
  }
  Reply read_reply(bool head_only = false) {
    Reply reply;
    if (!read_until("\r\n\r\n")) return reply;
    const std::size_t end = buffer_.find("\r\n\r\n");
    reply.head = buffer_.substr(0, end);
    buffer_.erase(0, end + 4);
    reply.status = std::atoi(reply.head.substr(9, 3).c_str());
    if (head_only) {
      reply.whole = true;
    } else if (reply.header("Transfer-Encoding") == "chunked") {
      read_chunks(reply);
    } else {
      const auto size = parse_u64(reply.header("Content-Length")).value_or(0);
      while (buffer_.size() < size && read_some()) {
      }
      reply.whole = buffer_.size() >= size;
      reply.body = buffer_.substr(0, size);
      buffer_.erase(0, size);
    }
    return reply;
  }

 private:
  void connect_to(const sockaddr* address, socklen_t size) {
    timeval patience{kPatience.count(), 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(fd_, address, size) != 0) ADD_FAILURE() << "cannot connect: " << errno;
  }
  bool read_some() {
    char bytes[4096];
    const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(n));
    return true;
  }
  void read_chunks(Reply& reply) {
    while (read_until("\r\n")) {
      const std::size_t size = std::stoul(buffer_, nullptr, 16);
      const std::size_t begin = buffer_.find("\r\n") + 2;
      while (buffer_.size() < begin + size + 2) {
        if (!read_some()) return;
      }
      reply.body += buffer_.substr(begin, size);
      buffer_.erase(0, begin + size + 2);
      reply.whole = size == 0;
      if (reply.whole) return;
    }
  }

  int fd_ = -1;
  std::string buffer_;
};

class RunningServer final {
 public:
  explicit RunningServer(ApiOptions options = {}) {
    auto created = ApiServer::create(io_, gateway, metrics, clock, fs_, options);
    if (!created.has_value()) {
      ADD_FAILURE() << created.error().message;
      return;
    }
    server_ = std::move(*created);
    server_->start();
    runtime::GatewayHealth health;
    health.ok = true;
    health.ledger.writable = true;
    health.ledger.size = 5;
    health.workers = 1;
    health.confinement = {"seccomp"};
    gateway.set_health(health);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~RunningServer() {
    if (!thread_.joinable()) return;
    http::net::post(io_, [this] {
      server_.reset();
      work_.reset();
    });
    thread_.join();
  }
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;

  std::uint16_t port() const { return server_->port(); }
  void stop() {
    http::net::post(io_, [this] { server_->stop(); });
  }
  Reply post(const std::string& path, const std::string& body, const std::string& headers = "") {
    Client client(port());
    client.post(path, body, headers);
    return client.read_reply();
  }
  Reply get(const std::string& path, const std::string& headers = "") {
    Client client(port());
    client.get(path, headers);
    return client.read_reply();
  }

  StillClock clock;
  MetricRegistry metrics;
  ScriptedGateway gateway;

 private:
  os::RealFileSystem fs_;
  http::net::io_context io_;
  http::net::executor_work_guard<http::net::io_context::executor_type> work_ =
      http::net::make_work_guard(io_);
  std::unique_ptr<ApiServer> server_;
  std::thread thread_;
};

}  // namespace aioss::server::test
