// How often the loads of one model have failed one after another, and when the next may be tried:
// after a second, then two, four and so on, at most five minutes. What a load needs may be back at
// any time, but a model that cannot be loaded must not keep the machine busy with trying. Another
// file is another matter: of that one nothing is known. A value.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "os/file.h"

namespace aioss::runtime {

inline constexpr std::int64_t kRetryFirstNs = 1'000'000'000;
inline constexpr std::int64_t kRetryMaxNs = 300'000'000'000;

class LoadFailures final {
 public:
  // `parts`: of the file that could not be loaded, as it was opened; none if it could not be.
  void note(Error why, std::vector<os::FileInfo> parts, std::int64_t now_ns);
  void forget() { *this = LoadFailures(); }

  bool any() const { return count_ > 0; }
  std::uint32_t count() const { return count_; }
  // Whether the next must still wait.
  bool must_wait(std::int64_t now_ns) const { return any() && now_ns < retry_ns_; }
  // Whether `parts` are what could not be loaded.
  bool are_of(const std::vector<os::FileInfo>& parts) const;
  // The file is at fault, so trying again can only help if it is another one.
  bool is_lasting() const;
  const Error& why() const { return why_; }  // of the last one
  // What a request is told, with the reason and the seconds to wait.
  Error refusal(std::int64_t now_ns) const;

 private:
  std::uint32_t count_ = 0;
  std::int64_t retry_ns_ = 0;
  Error why_;
  std::vector<os::FileInfo> parts_;
};

}  // namespace aioss::runtime
