// The conformance suite: puts any engine through what aioss/engine.h promises, and through the
// table of invariances that the profiles are about. Bits are compared, not closeness. Run by the
// tests of our own engines and by `aioss engine check`. Loads the model and computes for a
// while: run it where a crash of the engine does no harm. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "aioss/engine.h"
#include "base/result.h"
#include "engine/engine.h"

namespace aioss::engine {

enum class Verdict {
  kPass,
  kFail,         // a promise is broken
  kNotPromised,  // measured for the record; whatever came out breaks no promise
  kSkipped,      // could not be tried; the detail says why
};
std::string_view verdict_name(Verdict verdict);

struct ConformanceCheck {
  std::string profile;  // "" if it belongs to none
  std::string name;     // stable: "abi.invalid_batch", "same_bits.neighbours_3.at_605", …
  Verdict verdict = Verdict::kFail;
  std::string detail;  // one line for a person
};

struct ConformanceReport {
  Identity identity;
  std::vector<ConformanceCheck> checks;
  bool passed() const;       // no kFail
  std::string text() const;  // one line a check
};

struct ConformanceOptions {
  std::vector<int> fds;                 // of the model, borrowed
  std::vector<std::uint32_t> devices;   // that its layers are on; empty: the CPU
  int adapter_fd = -1;                  // of an adapter for it, borrowed; -1: none are tried
  std::vector<aioss_profile> profiles;  // empty: all that the engine promises
  // 500: decoding crosses 512. 520: the tail is so short that tiles do not take it.
  std::vector<std::uint32_t> prompt_lengths = {30, 79, 155, 500, 520, 1500};
  std::vector<std::uint32_t> chunk_budgets = {64, 128, 320};  // compared with 512
  std::vector<std::uint32_t> company_seeds = {1, 2, 3};       // of neighbours that come and go
  std::uint32_t decoded_tokens = 15;
  std::uint32_t threads = 2;
  aioss_kv_type kv_type = AIOSS_KV_F16;
  // Also the rows of the table that a profile does not promise, for the record.
  bool measure_unpromised = true;
  // Tokens of a text in the model's vocabulary, repeated as needed; empty: any numbers below its
  // size.
  std::vector<std::int32_t> tokens;
  std::function<void(const ConformanceCheck&)> on_check = {};  // told of each as it is made
};

ConformanceReport run_conformance(const aioss_engine& engine, const ConformanceOptions& options);

}  // namespace aioss::engine
