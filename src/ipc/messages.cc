// What both directions share; see to_worker.cc and from_worker.cc for the messages themselves.
#include "ipc/messages.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "ipc/limits.h"

namespace aioss::ipc {
namespace {

constexpr std::array<std::string_view, 3> kProfiles{"fast", "reproducible", "evidence"};
constexpr std::array<std::string_view, 2> kPriorities{"interactive", "batch"};
constexpr std::array<std::string_view, 3> kFlashModes{"auto", "on", "off"};
constexpr std::array<std::string_view, 4> kReasons{"stop", "length", "cancelled", "error"};

}  // namespace

std::string_view name(Profile profile) {
  const auto index = static_cast<std::size_t>(profile);
  ASSERT(index < kProfiles.size());
  return kProfiles[index];
}

std::optional<Profile> profile_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kProfiles.size(); ++i) {
    if (kProfiles[i] == name) return static_cast<Profile>(i);
  }
  return std::nullopt;
}

std::string_view name(Priority priority) {
  return kPriorities[static_cast<std::size_t>(priority)];
}

std::optional<Priority> priority_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kPriorities.size(); ++i) {
    if (kPriorities[i] == name) return static_cast<Priority>(i);
  }
  return std::nullopt;
}

std::string_view name(FlashAttention flash_attention) {
  const auto index = static_cast<std::size_t>(flash_attention);
  ASSERT(index < kFlashModes.size());
  return kFlashModes[index];
}

std::uint32_t open_choices(const Submit& submit) {
  const auto ended = std::count_if(submit.resume.begin(), submit.resume.end(),
                                   [](const ResumedChoice& choice) { return choice.ended; });
  return submit.choices - static_cast<std::uint32_t>(ended);
}

std::uint64_t cost_of(std::string_view text, std::size_t token_count,
                      std::span<const TokenLogprob> logprobs) {
  std::uint64_t cost = text.size() + token_count * kCreditOfToken;
  for (const TokenLogprob& logprob : logprobs) {
    cost += kCreditOfLogprob + logprob.text.size() + logprob.top.size() * kCreditOfLogprob;
    for (const TokenLogprob::Top& top : logprob.top) cost += top.text.size();
  }
  return cost;
}

std::string_view name(FinishReason reason) {
  const auto index = static_cast<std::size_t>(reason);
  ASSERT(index < kReasons.size());
  return kReasons[index];
}

}  // namespace aioss::ipc
