// The books of memory: one for each device, in bytes. Nobody takes memory for a model that has no
// lease of it, and no lease is given beyond the limit, so that two loads cannot count on the same
// free bytes. It books; it allocates nothing and asks nobody.
//
// What is in use is what is leased, plus what was found in use without a lease (`beyond`); of a
// holder that was measured to have more than both, what was measured. New leases are given only
// below the limit. A limit that sinks, or a measurement, can put a book over it: then nothing is
// given, and over_bytes says how much should be given back.
//
// One thread. The pool outlives its leases.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "memory/kinds.h"

namespace aioss::memory {

inline constexpr std::string_view kHost = "CPU";  // the device whose memory is the host's
inline constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

// What bounds a device. Bytes.
struct Bounds {
  std::uint64_t memory_max = 0;  // the operator's; 0: none
  std::uint64_t usable = 0;      // what the system says can be had now
  std::uint64_t held = 0;        // what holders have of it already, so that `usable` lacks it
  std::uint64_t reserve = 0;     // of that, left to others
};
// min(memory_max, usable + held - reserve).
std::uint64_t limit_of(const Bounds& bounds);

class Pool;

// Bytes of one kind that one holder has. Gives them back once: released, or at its end.
class [[nodiscard]] Lease final {
 public:
  Lease() = default;  // of nothing
  ~Lease() { release(); }
  Lease(Lease&& other) noexcept { *this = std::move(other); }
  Lease& operator=(Lease&& other) noexcept;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  bool is_open() const { return pool_ != nullptr; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t beyond() const { return beyond_; }
  Kind kind() const { return kind_; }
  const std::string& device() const { return device_; }
  // Less is always possible; more only if it is free (kNoMemory, and nothing changes).
  Status resize(std::uint64_t bytes);
  // There are so many already, whether or not there was room: leased as far as it is free, the rest
  // is counted beyond.
  void follow(std::uint64_t bytes);
  void release();

 private:
  friend class Pool;
  Lease(Pool& pool, std::string device, std::string holder, Kind kind)
      : pool_(&pool), device_(std::move(device)), holder_(std::move(holder)), kind_(kind) {}

  Pool* pool_ = nullptr;  // null: of nothing
  std::string device_, holder_;
  Kind kind_ = Kind::kOverhead;
  std::uint64_t bytes_ = 0, beyond_ = 0;
};

struct Balance {  // of one device
  std::uint64_t limit = 0;
  std::uint64_t leased = 0, used = 0;  // see above: used >= leased
  std::uint64_t free = 0, over = 0;    // of the limit; one of them is 0
};

struct Holding {  // of one holder on one device
  std::string holder;
  Amounts leased;
  std::uint64_t beyond = 0;
  std::optional<std::uint64_t> measured;  // what the system says that it has
  std::uint64_t used() const;
  // Measured minus planned; nothing while it was not measured.
  std::optional<std::int64_t> difference() const;
};

class Pool final {
 public:
  Pool() = default;
  ~Pool();  // a bug if there are leases
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // A device without one has no limit. May be below what is in use.
  void set_limit(const std::string& device, std::uint64_t bytes);

  // kNoMemory: not so much is free. `bytes` may be 0.
  Result<Lease> lease(const std::string& device, const std::string& holder, Kind kind,
                      std::uint64_t bytes);
  // One for each kind that is not 0: all of them, or none (kNoMemory).
  Result<std::vector<Lease>> lease_all(const std::string& device, const std::string& holder,
                                       const Amounts& amounts);
  // What the system says that a holder has, in all. Forgotten with its last lease; of one that has
  // none, ignored. Nothing: it is not known any more.
  void measured(const std::string& device, const std::string& holder,
                std::optional<std::uint64_t> bytes);

  Balance balance(const std::string& device) const;
  std::vector<std::string> devices() const;
  std::vector<Holding> holdings(const std::string& device) const;  // by name
  std::optional<Holding> holding(const std::string& device, const std::string& holder) const;
  std::uint64_t used_by(const std::string& device, const std::string& holder) const;
  std::size_t leases() const { return leases_; }  // that there are, those of 0 bytes too

 private:
  friend class Lease;
  struct Account {
    Holding holding;
    std::size_t leases = 0;
  };
  struct Book {
    std::uint64_t limit = kUnlimited;
    std::map<std::string, Account> accounts;
    std::uint64_t used() const;
    std::uint64_t free() const;
  };
  Account& account_of(const Lease& lease);
  void close(Lease& lease);

  std::map<std::string, Book> books_;
  std::size_t leases_ = 0;
};

}  // namespace aioss::memory
