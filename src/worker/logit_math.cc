#include "worker/logit_math.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <utility>

#include "base/assert.h"

namespace aioss::worker {
namespace {

// Four lanes: the widest that every x86-64 and AArch64 has. Wider ones would change the order of
// sums.
using Lanes = float __attribute__((vector_size(16)));
using LaneBits = std::int32_t __attribute__((vector_size(16)));

Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

void store(float* to, Lanes lanes) {
  std::memcpy(to, &lanes, sizeof lanes);
}

Lanes select(LaneBits mask, Lanes yes, Lanes no) {
  return std::bit_cast<Lanes>((mask & std::bit_cast<LaneBits>(yes)) |
                              (~mask & std::bit_cast<LaneBits>(no)));
}

Lanes splat(float x) {
  return Lanes{x, x, x, x};
}
Lanes larger(Lanes a, Lanes b) {
  return a > b ? a : b;
}

// exp for x <= 0: 2^n times a polynomial on [−ln2/2, ln2/2] (Cephes' coefficients). Below
// kUnderflow the result would be subnormal and is 0.
constexpr float kUnderflow = -87.0F;
constexpr float kLog2E = 1.44269504088896341F;
constexpr float kLn2High = 0.693359375F;
constexpr float kLn2Low = -2.12194440e-4F;
constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer

Lanes exponential4(Lanes x) {
  const LaneBits visible = x >= splat(kUnderflow);
  x = select(visible, x, splat(0.0F));
  const Lanes shifted = x * kLog2E + splat(kRound);
  const Lanes n = shifted - splat(kRound);
  const Lanes r = (x - n * kLn2High) - n * kLn2Low;
  Lanes p = splat(1.9875691500e-4F);
  p = p * r + splat(1.3981999507e-3F);
  p = p * r + splat(8.3334519073e-3F);
  p = p * r + splat(4.1665795894e-2F);
  p = p * r + splat(1.6666665459e-1F);
  p = p * r + splat(5.0000001201e-1F);
  p = p * (r * r) + r + splat(1.0F);
  // The low bits of `shifted` are n; moved into the exponent they scale p by 2^n.
  const LaneBits exponent = std::bit_cast<LaneBits>(shifted) << 23;
  const Lanes scaled = std::bit_cast<Lanes>(std::bit_cast<LaneBits>(p) + exponent);
  return std::bit_cast<Lanes>(std::bit_cast<LaneBits>(scaled) & visible);
}

// The weights of one block, or of the rest of the row, and their sum: four lanes, added at the end
// in a fixed order.
float block_exponentials(const float* logits, std::size_t count, float maximum, float temperature,
                         float* weights) {
  const Lanes shift = splat(maximum);
  const Lanes divisor = splat(temperature);
  Lanes sum = splat(0.0F);
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const Lanes weight = exponential4((load(logits + i) - shift) / divisor);
    if (weights != nullptr) store(weights + i, weight);
    sum += weight;
  }
  float total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  for (; i < count; ++i) {
    const float weight = exponential((logits[i] - maximum) / temperature);
    if (weights != nullptr) weights[i] = weight;
    total += weight;
  }
  return total;
}

void add_blocks(std::span<const float> logits, float maximum, float temperature, float* values,
                Weights& out) {
  out.block_sums.clear();
  out.total = 0;
  for (std::size_t from = 0; from < logits.size(); from += kBlock) {
    const std::size_t count = std::min(kBlock, logits.size() - from);
    const float sum = block_exponentials(logits.data() + from, count, maximum, temperature,
                                         values != nullptr ? values + from : nullptr);
    out.block_sums.push_back(sum);
    out.total += static_cast<double>(sum);
  }
}

struct Weighed {
  Candidate candidate;
  float weight = 0;
};

const Candidate& middle_of(const std::vector<Weighed>& items) {
  const Candidate* a = &items.front().candidate;
  const Candidate* b = &items[items.size() / 2].candidate;
  const Candidate* c = &items.back().candidate;
  if (before(*b, *a)) std::swap(a, b);
  if (before(*c, *b)) std::swap(b, c);
  if (before(*b, *a)) std::swap(a, b);
  return *b;
}

// Sixteen bins for a factor of e in weight; below e^-87 weights are zero.
constexpr float kBinsPerUnit = 16.0F;
constexpr std::size_t kMassBins = 1400;

// The last candidate of the front that reaches `mass`: quickselect by weight. Partitions keep the
// order, so that equal rows are summed in equal order, whatever the standard library.
Candidate last_within(std::vector<Weighed> rest, double mass) {
  std::vector<Weighed> upper, lower;
  Candidate last = rest.front().candidate;
  double sum = 0;  // of what is certainly within
  while (!rest.empty()) {
    const Candidate pivot = middle_of(rest);
    upper.clear();
    lower.clear();
    double upper_sum = 0;
    float pivot_weight = 0;
    for (const Weighed& item : rest) {
      if (before(item.candidate, pivot)) {
        upper.push_back(item);
        upper_sum += static_cast<double>(item.weight);
      } else if (item.candidate.id == pivot.id) {
        pivot_weight = item.weight;
      } else {
        lower.push_back(item);
      }
    }
    if (!upper.empty() && sum + upper_sum >= mass) {
      rest.swap(upper);
      continue;
    }
    last = pivot;
    sum += upper_sum + static_cast<double>(pivot_weight);
    if (sum >= mass) break;
    rest.swap(lower);
  }
  return last;
}

}  // namespace

void scan(std::span<const float> logits, RowScan& out) {
  const std::size_t blocks = (logits.size() + kBlock - 1) / kBlock;
  out.block_maxima.resize(blocks);
  out.maximum = kMinusInfinity;
  const Lanes finite_max = splat(std::numeric_limits<float>::max());
  LaneBits all_sound{-1, -1, -1, -1};
  bool tail_sound = true;
  for (std::size_t block = 0; block < blocks; ++block) {
    const float* row = logits.data() + block * kBlock;
    const std::size_t count = std::min(kBlock, logits.size() - block * kBlock);
    float maximum = kMinusInfinity;
    if (count == kBlock) {
      std::array<Lanes, 4> best;
      best.fill(splat(kMinusInfinity));
      for (std::size_t i = 0; i < kBlock; i += 16) {
        for (std::size_t j = 0; j < 4; ++j) {
          const Lanes x = load(row + i + 4 * j);
          all_sound &= x <= finite_max;  // false for NaN and for +infinity
          best[j] = larger(x, best[j]);
        }
      }
      const Lanes top = larger(larger(best[0], best[1]), larger(best[2], best[3]));
      maximum = std::max(std::max(top[0], top[1]), std::max(top[2], top[3]));
    } else {
      for (std::size_t i = 0; i < count; ++i) {
        tail_sound = tail_sound && row[i] <= std::numeric_limits<float>::max();
        maximum = row[i] > maximum ? row[i] : maximum;
      }
    }
    out.block_maxima[block] = maximum;
    out.maximum = std::max(out.maximum, maximum);
  }
  const LaneBits s = all_sound;
  out.sound = tail_sound && (s[0] & s[1] & s[2] & s[3]) != 0;
}

std::uint32_t argmax(std::span<const float> logits, const RowScan& scanned) {
  for (std::size_t block = 0; block < scanned.block_maxima.size(); ++block) {
    if (scanned.block_maxima[block] != scanned.maximum) continue;
    const std::size_t end = std::min(logits.size(), (block + 1) * kBlock);
    for (std::size_t i = block * kBlock; i < end; ++i) {
      if (logits[i] == scanned.maximum) return static_cast<std::uint32_t>(i);
    }
  }
  ASSERT(false);  // a sound row holds its maximum
  return 0;
}

float exponential(float x) {
  return exponential4(splat(x))[0];
}

void exponentials(std::span<const float> logits, float maximum, float temperature, Weights& out) {
  out.values.resize(logits.size());
  add_blocks(logits, maximum, temperature, out.values.data(), out);
}

void exponential_sums(std::span<const float> logits, float maximum, float temperature,
                      Weights& out) {
  out.values.clear();
  add_blocks(logits, maximum, temperature, nullptr, out);
}

double exponential_sum(std::span<const float> logits, float maximum) {
  double total = 0;
  for (std::size_t from = 0; from < logits.size(); from += kBlock) {
    const std::size_t count = std::min(kBlock, logits.size() - from);
    total += static_cast<double>(
        block_exponentials(logits.data() + from, count, maximum, 1.0F, nullptr));
  }
  return total;
}

void collect_at_least(std::span<const float> logits, const RowScan& scanned, float threshold,
                      std::vector<Candidate>& out) {
  out.clear();
  for (std::size_t block = 0; block < scanned.block_maxima.size(); ++block) {
    if (scanned.block_maxima[block] < threshold) continue;
    const std::size_t end = std::min(logits.size(), (block + 1) * kBlock);
    for (std::size_t i = block * kBlock; i < end; ++i) {
      if (logits[i] >= threshold) out.push_back({static_cast<std::uint32_t>(i), logits[i]});
    }
  }
}

void collect_largest(std::span<const float> logits, const RowScan& scanned, std::size_t count,
                     std::vector<Candidate>& out) {
  ASSERT(count > 0);
  constexpr float kLowest = std::numeric_limits<float>::lowest();  // leaves −infinity out
  if (count >= scanned.block_maxima.size()) {
    collect_at_least(logits, scanned, kLowest, out);
    return;
  }
  std::vector<float> maxima = scanned.block_maxima;
  const auto nth = maxima.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(maxima.begin(), nth, maxima.end(), std::greater<>());
  collect_at_least(logits, scanned, std::max(*nth, kLowest), out);
}

void collect_mass(std::span<const float> logits, const RowScan& scanned, float temperature,
                  const Weights& weights, double mass, std::vector<Candidate>& out) {
  // Bins of equal width in logits: everything in a lower bin comes before everything in a higher
  // one.
  std::array<double, kMassBins + 1> bins{};
  const auto bin_of = [&](float logit) {
    const float depth = (scanned.maximum - logit) / temperature * kBinsPerUnit;
    return depth < static_cast<float>(kMassBins) ? static_cast<std::size_t>(depth) : kMassBins;
  };
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (weights.values[i] > 0) bins[bin_of(logits[i])] += static_cast<double>(weights.values[i]);
  }
  std::size_t last_bin = 0;
  double sure = 0;  // of the bins before the last one
  while (last_bin < kMassBins && sure + bins[last_bin] < mass) sure += bins[last_bin++];
  out.clear();
  std::vector<Weighed> border;  // the bin within which the front ends
  for (std::size_t block = 0; block < scanned.block_maxima.size(); ++block) {
    if (bin_of(scanned.block_maxima[block]) > last_bin) continue;
    const std::size_t end = std::min(logits.size(), (block + 1) * kBlock);
    for (std::size_t i = block * kBlock; i < end; ++i) {
      const std::size_t bin = weights.values[i] > 0 ? bin_of(logits[i]) : kMassBins + 1;
      if (bin > last_bin) continue;
      const Candidate candidate{static_cast<std::uint32_t>(i), logits[i]};
      out.push_back(candidate);
      if (bin == last_bin) border.push_back({candidate, weights.values[i]});
    }
  }
  if (border.empty()) return;
  const Candidate last = last_within(std::move(border), mass - sure);
  std::erase_if(out, [&](const Candidate& c) { return before(last, c); });
}

void keep_largest(std::vector<Candidate>& candidates, std::size_t count) {
  if (count >= candidates.size()) return;
  ASSERT(count > 0);
  std::vector<Candidate> ordered = candidates;
  const auto nth = ordered.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(ordered.begin(), nth, ordered.end(), before);
  const Candidate last = *nth;
  std::erase_if(candidates, [&](const Candidate& c) { return before(last, c); });
}

void keep_mass(std::vector<Candidate>& candidates, std::vector<float>& weights, double mass) {
  ASSERT(!candidates.empty() && candidates.size() == weights.size());
  std::vector<Weighed> items;
  items.reserve(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) items.push_back({candidates[i], weights[i]});
  const Candidate last = last_within(std::move(items), mass);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (before(last, candidates[i])) continue;
    candidates[kept] = candidates[i];
    weights[kept++] = weights[i];
  }
  candidates.resize(kept);
  weights.resize(kept);
}

}  // namespace aioss::worker
