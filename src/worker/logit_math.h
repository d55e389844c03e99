// Passes over a row of logits, fast enough for vocabularies of 262,144 and with a fixed order of
// every sum, so that equal logits give equal bits on every machine: no libm, no reassociation by
// the compiler (the library is built with -ffp-contract=off). Pure functions on borrowed memory.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace aioss::worker {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Maxima of consecutive blocks of 64 logits. They make selection cheap: the k-th largest block
// maximum is a lower bound of the k-th largest logit, and a block whose maximum is below it need
// not be read.
inline constexpr std::size_t kBlock = 64;

struct RowScan {
  float maximum = kMinusInfinity;
  bool sound = true;  // no NaN and no +infinity; −infinity means "forbidden"
  std::vector<float> block_maxima;
};

// One pass over the row.
void scan(std::span<const float> logits, RowScan& out);

// The lowest index that holds the maximum.
std::uint32_t argmax(std::span<const float> logits, const RowScan& scanned);

struct Weights {
  std::vector<float> values;  // exp((logits[i] − maximum) / temperature), relative error below 2e-7
  std::vector<float> block_sums;
  double total = 0;  // of the block sums, in order
};
void exponentials(std::span<const float> logits, float maximum, float temperature, Weights& out);
// The same without the values: sums and total alone, which spares a megabyte of writes.
void exponential_sums(std::span<const float> logits, float maximum, float temperature,
                      Weights& out);
// The sum alone, at temperature 1.
double exponential_sum(std::span<const float> logits, float maximum);
float exponential(float x);  // the same function for one value, x <= 0

struct Candidate {
  std::uint32_t id = 0;
  float logit = 0;
};

// The order of every cut: by logit descending, then by id ascending.
inline bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// All of the following leave candidates by ascending id.

// All that can be among the `count` largest; at least `count` of them if the row has as many above
// −infinity. May be many more for flat rows.
void collect_largest(std::span<const float> logits, const RowScan& scanned, std::size_t count,
                     std::vector<Candidate>& out);
// All with a logit >= threshold.
void collect_at_least(std::span<const float> logits, const RowScan& scanned, float threshold,
                      std::vector<Candidate>& out);
// The shortest front, in the order of cuts, whose weights reach `mass`; `weights` are those of the
// whole row at this temperature. Two passes, whatever the row looks like.
void collect_mass(std::span<const float> logits, const RowScan& scanned, float temperature,
                  const Weights& weights, double mass, std::vector<Candidate>& out);
// Keeps the `count` first in the order of cuts.
void keep_largest(std::vector<Candidate>& candidates, std::size_t count);
// Keeps the shortest front, in the order of cuts, whose weights reach `mass`; at least one.
// `weights` belong to the candidates one by one and are cut with them.
void keep_mass(std::vector<Candidate>& candidates, std::vector<float>& weights, double mass);

}  // namespace aioss::worker
