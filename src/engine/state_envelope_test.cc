#include "engine/state_envelope.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace aioss::engine {
namespace {

constexpr StateOrigin kOrigin = {.magic = 7, .fingerprint = 11};
constexpr std::uint64_t kCells = 16;

std::vector<std::uint8_t> sealed(std::uint64_t length) {
  const std::string payload = "thirteen byte";
  std::vector<std::uint8_t> state(kStateHeaderBytes + payload.size());
  std::memcpy(state.data() + kStateHeaderBytes, payload.data(), payload.size());
  seal_state(state.data(), kOrigin, length, payload.size());
  return state;
}

// The reason why it is refused, or nothing.
std::string refusal(const std::vector<std::uint8_t>& state, const StateOrigin& origin = kOrigin) {
  aioss_error error = {};
  OpenedState opened;
  if (open_state(state.data(), state.size(), origin, kCells, opened, &error) == AIOSS_OK) return {};
  return error.message;
}

TEST(StateEnvelope, OpensWhatItSealed) {
  const auto state = sealed(kCells);
  OpenedState opened;
  ASSERT_EQ(open_state(state.data(), state.size(), kOrigin, kCells, opened, nullptr), AIOSS_OK);
  EXPECT_EQ(opened.length, kCells);
  EXPECT_EQ(std::string(opened.payload.begin(), opened.payload.end()), "thirteen byte");
}

TEST(StateEnvelope, RefusesEveryFlippedBit) {
  const auto state = sealed(3);
  for (std::size_t bit = 0; bit < state.size() * 8; ++bit) {
    auto damaged = state;
    damaged[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_NE(refusal(damaged), "") << bit;
  }
}

TEST(StateEnvelope, RefusesEveryOtherSize) {
  const auto state = sealed(3);
  for (std::size_t size = 0; size < state.size(); ++size) {
    EXPECT_NE(refusal({state.begin(), state.begin() + static_cast<std::ptrdiff_t>(size)}), "");
  }
  auto longer = state;
  longer.push_back(0);
  EXPECT_NE(refusal(longer), "");
}

TEST(StateEnvelope, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refusal(sealed(kCells)), "");
  EXPECT_EQ(refusal(sealed(kCells + 1)), "these bytes are not a state");
}

TEST(StateEnvelope, RefusesAnotherOrigin) {
  EXPECT_EQ(refusal(sealed(3), {.magic = 8, .fingerprint = 11}), "these bytes are not a state");
  EXPECT_EQ(refusal(sealed(3), {.magic = 7, .fingerprint = 12}),
            "this state belongs to another model, build or session geometry");
}

}  // namespace
}  // namespace aioss::engine
