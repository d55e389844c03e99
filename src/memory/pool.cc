#include "memory/pool.h"

#include <algorithm>

#include "base/assert.h"
#include "base/strings.h"

namespace aioss::memory {
namespace {

// Of sizes that come from dry runs of files nobody vouches for.
std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  return a > kUnlimited - b ? kUnlimited : a + b;
}

std::uint64_t less(std::uint64_t a, std::uint64_t b) {
  return a - std::min(a, b);
}

Error no_room(std::uint64_t bytes, std::uint64_t free) {
  return {Code::kNoMemory,
          human_bytes(bytes) + " are wanted and " + human_bytes(free) + " are free"};
}

}  // namespace

std::uint64_t Amounts::total() const {
  std::uint64_t all = 0;
  for (const std::uint64_t one : bytes) all = sum(all, one);
  return all;
}

Amounts committed(const Needs& needs) {
  Amounts amounts;
  amounts[Kind::kWeights] = needs.weights;
  amounts[Kind::kKv] = needs.kv;
  amounts[Kind::kCompute] = needs.compute;
  amounts[Kind::kOutput] = needs.output;
  amounts[Kind::kVocabulary] = needs.vocabulary;
  amounts[Kind::kOverhead] = needs.overhead;
  amounts[Kind::kAdapters] = needs.adapters;
  return amounts;
}

Amounts of_session(const Needs& needs) {
  Amounts amounts = committed(needs);
  for (const Kind kind : kKinds) {
    if (!is_of_session(kind)) amounts[kind] = 0;
  }
  return amounts;
}

std::uint64_t limit_of(const Bounds& bounds) {
  const std::uint64_t system = less(sum(bounds.usable, bounds.held), bounds.reserve);
  return bounds.memory_max == 0 ? system : std::min(bounds.memory_max, system);
}

// ---- leases -------------------------------------------------------------------------------------

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  device_ = std::move(other.device_);
  holder_ = std::move(other.holder_);
  kind_ = other.kind_;
  bytes_ = std::exchange(other.bytes_, 0);
  beyond_ = std::exchange(other.beyond_, 0);
  return *this;
}

Status Lease::resize(std::uint64_t bytes) {
  ASSERT(pool_ != nullptr);
  Pool::Account& account = pool_->account_of(*this);
  if (bytes > bytes_) {
    const std::uint64_t free = pool_->balance(device_).free;
    if (bytes - bytes_ > free) return no_room(bytes - bytes_, free);
    account.holding.leased[kind_] += bytes - bytes_;
  } else {
    account.holding.leased[kind_] -= bytes_ - bytes;
  }
  bytes_ = bytes;
  return ok();
}

void Lease::follow(std::uint64_t bytes) {
  ASSERT(pool_ != nullptr);
  Pool::Account& account = pool_->account_of(*this);
  account.holding.beyond -= std::exchange(beyond_, 0);
  const std::uint64_t grown = std::min(less(bytes, bytes_), pool_->balance(device_).free);
  const Status resized = resize(std::min(bytes, bytes_ + grown));
  ASSERT(resized.has_value());
  beyond_ = bytes - bytes_;
  account.holding.beyond += beyond_;
}

void Lease::release() {
  if (pool_ != nullptr) std::exchange(pool_, nullptr)->close(*this);
  bytes_ = beyond_ = 0;
}

// ---- books --------------------------------------------------------------------------------------

std::uint64_t Holding::used() const {
  return std::max(sum(leased.total(), beyond), measured.value_or(0));
}

std::optional<std::int64_t> Holding::difference() const {
  if (!measured) return std::nullopt;
  return static_cast<std::int64_t>(*measured) - static_cast<std::int64_t>(leased.total());
}

std::uint64_t Pool::Book::used() const {
  std::uint64_t all = 0;
  for (const auto& [name, account] : accounts) all = sum(all, account.holding.used());
  return all;
}

std::uint64_t Pool::Book::free() const {
  return less(limit, used());
}

Pool::~Pool() {
  ASSERT(leases_ == 0);
}

void Pool::set_limit(const std::string& device, std::uint64_t bytes) {
  books_[device].limit = bytes;
}

Pool::Account& Pool::account_of(const Lease& lease) {
  const auto book = books_.find(lease.device_);
  ASSERT(book != books_.end());
  const auto account = book->second.accounts.find(lease.holder_);
  ASSERT(account != book->second.accounts.end());
  return account->second;
}

Result<Lease> Pool::lease(const std::string& device, const std::string& holder, Kind kind,
                          std::uint64_t bytes) {
  Book& book = books_[device];
  if (bytes > book.free()) return no_room(bytes, book.free());
  Account& account = book.accounts[holder];
  account.holding.holder = holder;
  account.holding.leased[kind] += bytes;
  ++account.leases;
  ++leases_;
  Lease lease(*this, device, holder, kind);
  lease.bytes_ = bytes;
  return lease;
}

Result<std::vector<Lease>> Pool::lease_all(const std::string& device, const std::string& holder,
                                           const Amounts& amounts) {
  const std::uint64_t free = books_[device].free();
  if (amounts.total() > free) return no_room(amounts.total(), free);
  std::vector<Lease> leases;
  for (const Kind kind : kKinds) {
    if (amounts[kind] == 0) continue;
    auto one = lease(device, holder, kind, amounts[kind]);
    ASSERT(one.has_value());
    leases.push_back(std::move(*one));
  }
  return leases;
}

void Pool::close(Lease& lease) {
  const auto book = books_.find(lease.device_);
  ASSERT(book != books_.end());
  const auto found = book->second.accounts.find(lease.holder_);
  ASSERT(found != book->second.accounts.end());
  Account& account = found->second;
  ASSERT(account.leases > 0 && account.holding.leased[lease.kind_] >= lease.bytes_);
  account.holding.leased[lease.kind_] -= lease.bytes_;
  account.holding.beyond -= lease.beyond_;
  --leases_;
  if (--account.leases > 0) return;
  ASSERT(account.holding.leased.total() == 0 && account.holding.beyond == 0);
  book->second.accounts.erase(found);
}

void Pool::measured(const std::string& device, const std::string& holder,
                    std::optional<std::uint64_t> bytes) {
  const auto book = books_.find(device);
  if (book == books_.end()) return;
  const auto account = book->second.accounts.find(holder);
  if (account != book->second.accounts.end()) account->second.holding.measured = bytes;
}

Balance Pool::balance(const std::string& device) const {
  const auto found = books_.find(device);
  if (found == books_.end()) return {kUnlimited, 0, 0, kUnlimited, 0};
  const Book& book = found->second;
  Balance balance;
  balance.limit = book.limit;
  for (const auto& [name, account] : book.accounts) {
    balance.leased = sum(balance.leased, account.holding.leased.total());
  }
  balance.used = book.used();
  balance.free = less(balance.limit, balance.used);
  balance.over = less(balance.used, balance.limit);
  return balance;
}

std::vector<std::string> Pool::devices() const {
  std::vector<std::string> names;
  for (const auto& [name, book] : books_) names.push_back(name);
  return names;
}

std::vector<Holding> Pool::holdings(const std::string& device) const {
  std::vector<Holding> list;
  const auto book = books_.find(device);
  if (book == books_.end()) return list;
  for (const auto& [name, account] : book->second.accounts) list.push_back(account.holding);
  return list;
}

std::optional<Holding> Pool::holding(const std::string& device, const std::string& holder) const {
  const auto book = books_.find(device);
  if (book == books_.end()) return std::nullopt;
  const auto account = book->second.accounts.find(holder);
  if (account == book->second.accounts.end()) return std::nullopt;
  return account->second.holding;
}

std::uint64_t Pool::used_by(const std::string& device, const std::string& holder) const {
  const auto found = holding(device, holder);
  return found ? found->used() : 0;
}

}  // namespace aioss::memory
