// Where the last few tokens of a sequence stood before in it, and so what may follow them now: the
// drafts of speculative decoding without a second model. The method is prompt lookup decoding
// (A. Saxena, 2023, github.com/apoorvumang/prompt-lookup-decoding; llama.cpp has it as
// examples/lookup and common/ngram-cache).
//
// The longest of the last 4, 3 or 2 tokens that stood before counts, and of its places the newest.
// A table without probing: an n-gram takes the slot of another of the same hash, and what a slot
// says is compared with the tokens themselves, so that hashes decide only what is found. O(1) for
// each token; at most 32 bytes for each token of the sequence. A value, one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ipc/messages.h"

namespace aioss::worker {

using ipc::Token;

class NgramIndex final {
 public:
  // `tokens`: the whole sequence. What came since the last call is taken in.
  void catch_up(std::span<const Token> tokens);
  // The position behind the newest earlier place of the last tokens; 0: there is none. `tokens` are
  // those of the last catch_up.
  std::size_t find(std::span<const Token> tokens) const;

  std::size_t bytes() const { return slots_.capacity() * sizeof(std::uint32_t); }

 private:
  void insert(std::span<const Token> tokens, std::size_t end);

  std::vector<std::uint32_t> slots_;  // the position behind an n-gram; 0: empty
  std::size_t next_end_ = 0;          // n-grams that end before it are in
};

// Appends to `draft` the `count` tokens that would follow if what stood at `from` came again.
// Behind the end of the sequence it goes on with the draft itself: a period repeats.
void copy_from(std::span<const Token> tokens, std::size_t from, std::size_t count,
               std::vector<Token>& draft);

}  // namespace aioss::worker
