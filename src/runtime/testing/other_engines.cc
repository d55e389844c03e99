#include "runtime/testing/other_engines.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "engines/fake/fake_engine.h"
#include "engines/fake/script.h"

namespace aioss::runtime::testing {
namespace {

constexpr int kCallsMax = 60;

const aioss_engine& original() {
  return *engines::fake::entry();
}

aioss_engine other(void (*identity)(aioss_engine_identity*)) {
  aioss_engine engine = original();
  engine.identity = identity;
  return engine;
}

// Every logit in the place of its opposite: the likeliest token is the least likely.
const float* odd_logits(aioss_session* session, std::uint32_t output) {
  static thread_local std::vector<float> turned;
  const float* const logits = original().logits(session, output);
  if (logits == nullptr) return nullptr;
  turned.assign(logits, logits + engines::fake::kVocabularySize);
  std::reverse(turned.begin(), turned.end());
  return turned.data();
}

aioss_status crashing_decode(aioss_session* session, const aioss_batch* batch, aioss_error* error) {
  static int calls = 0;
  if (++calls > kCallsMax) std::abort();
  return original().decode(session, batch, error);
}

const aioss_engine* same() {
  static const aioss_engine engine = other([](aioss_engine_identity* out) {
    original().identity(out);
    out->name = kSameEngine;
  });
  return &engine;
}

const aioss_engine* odd() {
  static const aioss_engine engine = [] {
    aioss_engine made = other([](aioss_engine_identity* out) {
      original().identity(out);
      out->name = kOddEngine;
    });
    made.logits = &odd_logits;
    return made;
  }();
  return &engine;
}

const aioss_engine* crashing() {
  static const aioss_engine engine = [] {
    aioss_engine made = other([](aioss_engine_identity* out) {
      original().identity(out);
      out->name = kCrashingEngine;
    });
    made.decode = &crashing_decode;
    return made;
  }();
  return &engine;
}

}  // namespace

std::vector<OtherEngine> other_engines() {
  return {{kSameEngine, same()}, {kOddEngine, odd()}, {kCrashingEngine, crashing()}};
}

}  // namespace aioss::runtime::testing
