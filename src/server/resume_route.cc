#include "server/resume_route.h"

#include <utility>

#include "base/strings.h"
#include "server/replies.h"

namespace aioss::server {
namespace {

using http::net::awaitable;

constexpr int kGone = 410;
constexpr std::string_view kFrom = "from=";

// The same for an id that never was and for somebody else's answer.
Error no_such_stream() {
  return {Code::kNotFound,
          "there is no stream of that id that you can go on with: it was not asked for with "
          "'X-Aioss-Resume', its time is over, or it is not yours"};
}

// The reader's place in the answer, given back however its coroutine ends.
class Reading final {
 public:
  Reading(const ResumeContext& context, std::shared_ptr<KeptAnswer> answer, std::uint64_t after)
      : shelf_(context.shelf),
        answer_(std::move(answer)),
        changed_(http::AsyncEvent::create(context.io)),
        reader_(answer_->attach(after, changed_)) {}
  ~Reading() {
    answer_->detach(reader_, delivered_);
    shelf_.left(answer_);
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  bool goes_on() const { return answer_->is_reader(reader_); }
  std::string take() { return answer_->take(); }
  bool at_end() const { return answer_->at_end(); }
  const std::shared_ptr<http::AsyncEvent>& changed() const { return changed_; }
  void set_delivered() { delivered_ = true; }

 private:
  StreamShelf& shelf_;
  const std::shared_ptr<KeptAnswer> answer_;
  const std::shared_ptr<http::AsyncEvent> changed_;
  const KeptAnswer::Reader reader_;
  bool delivered_ = false;
};

}  // namespace

Result<std::uint64_t> parse_from(const http::Request& request) {
  std::optional<std::string_view> text;
  if (!request.query.empty()) {
    if (!request.query.starts_with(kFrom)) {
      return Error{Code::kInvalidArgument, "the query may be from=N and nothing else", "from"};
    }
    text = std::string_view(request.query).substr(kFrom.size());
  }
  // What an EventSource that connects again by itself says: it keeps the address of before.
  if (const auto last = request.header("Last-Event-ID")) text = last;
  if (!text.has_value()) return std::uint64_t{0};
  if (const auto number = parse_u64(*text)) return *number;
  return Error{Code::kInvalidArgument,
               "the number of the last event that came is a whole number from 0", "from"};
}

awaitable<int> read_kept(const ResumeContext& context, std::shared_ptr<KeptAnswer> answer,
                         std::uint64_t after, http::ResponseWriter& writer) {
  const int left = info(Code::kCancelled).http_status;
  Reading reading(context, answer, after);
  const std::shared_ptr<http::AsyncEvent> changed = reading.changed();
  writer.on_client_gone([event = std::weak_ptr(changed)] {
    if (const auto alive = event.lock()) alive->notify();
  });
  http::Headers head = answer->head();
  const Status begun = co_await writer.begin(200, std::move(head));
  if (!begun.has_value()) co_return left;
  // Also while this one waits for its socket, another reader may come.
  while (reading.goes_on() && !writer.client_gone()) {
    std::string out = reading.take();
    if (out.empty() && reading.at_end()) {
      const Status finished = co_await writer.end();
      if (finished.has_value()) reading.set_delivered();
      co_return finished.has_value() ? 200 : left;
    }
    if (out.empty()) {
      const bool woken = co_await changed->wait(context.ping_interval);
      if (woken) continue;
      out = ": ping\n\n";
    }
    const Status written = co_await writer.write(std::move(out));
    if (!written.has_value()) co_return left;
  }
  co_return writer.client_gone() ? left : 200;
}

awaitable<int> answer_resume(const ResumeContext& context, http::Request request, std::string id,
                             runtime::Principal caller, http::ResponseWriter& writer) {
  const std::shared_ptr<KeptAnswer> answer = context.shelf.find(id, caller);
  const auto after = parse_from(request);
  Status fit = after.has_value() ? ok() : Status(after.error());
  if (fit && answer == nullptr) fit = no_such_stream();
  const bool known = fit.has_value();
  if (fit) fit = answer->check(*after);
  if (!fit) {
    http::Response response = error_response(fit.error());
    if (known && fit.error().code == Code::kNotFound) response.status = kGone;
    const int status = response.status;
    const Status sent = co_await writer.send(std::move(response));
    co_return sent.has_value() ? status : info(Code::kCancelled).http_status;
  }
  if (request.method == "HEAD") {  // whoever only looks takes the stream from nobody
    http::Headers head = answer->head();
    const Status begun = co_await writer.begin(200, std::move(head));
    if (begun.has_value()) (co_await writer.end()).has_value();
    co_return 200;
  }
  co_return co_await read_kept(context, answer, *after, writer);
}

}  // namespace aioss::server
