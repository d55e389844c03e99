#include "server/stream_shelf.h"

#include <chrono>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "server/wishes.h"

namespace aioss::server {
namespace {

// How much longer than asked an answer may stay.
constexpr std::chrono::milliseconds kSweepInterval{250};

Error nobody_came() {
  return {Code::kCancelled, "the client left and did not come back in time"};
}

Error not_read() {
  return {Code::kTimeout, "the client did not read its answer"};
}

}  // namespace

class StreamShelf::Place final : public ShelfPlace {
 public:
  Place(std::shared_ptr<StreamShelf> shelf, std::string tenant)
      : shelf_(std::move(shelf)), tenant_(std::move(tenant)) {
    ++shelf_->places_[tenant_];
    ++shelf_->places_total_;
  }
  ~Place() override {
    const auto found = shelf_->places_.find(tenant_);
    ASSERT(found != shelf_->places_.end() && shelf_->places_total_ > 0);
    if (--found->second == 0) shelf_->places_.erase(found);
    --shelf_->places_total_;
  }

 private:
  const std::shared_ptr<StreamShelf> shelf_;
  const std::string tenant_;
};

StreamShelf::StreamShelf(http::net::io_context& io) : timer_(io) {}

StreamShelf::~StreamShelf() = default;

std::shared_ptr<StreamShelf> StreamShelf::create(http::net::io_context& io) {
  return std::shared_ptr<StreamShelf>(new StreamShelf(io));
}

std::size_t StreamShelf::places_of(const std::string& tenant) const {
  const auto found = places_.find(tenant);
  return found == places_.end() ? 0 : found->second;
}

Result<std::unique_ptr<ShelfPlace>> StreamShelf::take_place(const std::string& tenant) {
  if (stopping_) return Error{Code::kShuttingDown, "the server is stopping"};
  if (!make_room(tenant)) {
    return Error{Code::kBusy,
                 "too many answers are kept for clients that may come back; try again later, or "
                 "without '" +
                     std::string(kResumeHeader) + "'"};
  }
  return std::unique_ptr<ShelfPlace>(std::make_unique<Place>(shared_from_this(), tenant));
}

// Answers that their clients got make room, the oldest first: of the tenant, if it is its own
// bound. One that a connection still holds, as that of somebody who only looks, would keep its
// place.
bool StreamShelf::make_room(const std::string& tenant) {
  while (true) {
    const bool own = places_of(tenant) >= kKeptAnswersTenantMax;
    if (!own && places_total_ < kKeptAnswersMax) return true;
    const KeptAnswer* oldest = nullptr;
    for (const auto& [id, answer] : answers_) {
      const bool got = answer->ended() && answer->delivered() && !answer->has_reader();
      const bool may_go = got && answer.use_count() == 1;
      if (!may_go || (own && answer->tenant() != tenant)) continue;
      if (oldest == nullptr || answer->left_ns() < oldest->left_ns()) oldest = answer.get();
    }
    if (oldest == nullptr) return false;
    drop(std::string(oldest->id()), nobody_came());
  }
}

void StreamShelf::keep(std::shared_ptr<KeptAnswer> answer) {
  const std::string id = answer->id();
  const bool added = answers_.emplace(id, std::move(answer)).second;
  ASSERT(added);
  look_again();
}

std::shared_ptr<KeptAnswer> StreamShelf::find(const std::string& id,
                                              const runtime::Principal& caller) const {
  const auto found = answers_.find(id);
  if (found == answers_.end() || !found->second->belongs_to(caller)) return nullptr;
  return found->second->is_overdue() ? nullptr : found->second;
}

void StreamShelf::left(const std::shared_ptr<KeptAnswer>& answer) {
  if (stopping_ && !answer->has_reader()) {
    drop(answer->id(), Error(Code::kShuttingDown, "the server is stopping"));
  }
}

void StreamShelf::stop() {
  if (std::exchange(stopping_, true)) return;
  timer_.cancel();
  std::vector<std::shared_ptr<KeptAnswer>> all;
  for (const auto& [id, answer] : answers_) all.push_back(answer);
  for (const auto& answer : all) left(answer);
}

void StreamShelf::close() {
  stop();
  const Error why(Code::kShuttingDown, "the server is stopping");
  while (!answers_.empty()) drop(std::string(answers_.begin()->first), why);
}

void StreamShelf::look_again() {
  if (stopping_ || answers_.empty() || std::exchange(looking_, true)) return;
  timer_.expires_after(kSweepInterval);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->looking_ = false;
    if (!error) self->sweep();
  });
}

void StreamShelf::sweep() {
  std::vector<std::shared_ptr<KeptAnswer>> overdue;
  for (const auto& [id, answer] : answers_) {
    if (answer->is_overdue()) overdue.push_back(answer);
  }
  for (const auto& answer : overdue)
    drop(answer->id(), answer->has_reader() ? not_read() : nobody_came());
  look_again();
}

void StreamShelf::drop(const std::string& id, Error why) {
  const auto found = answers_.find(id);
  if (found == answers_.end()) return;
  const std::shared_ptr<KeptAnswer> answer = std::move(found->second);
  answers_.erase(found);
  answer->give_up(std::move(why));
}

}  // namespace aioss::server
