// A radix tree over token sequences (Morrison, PATRICIA, 1968; as prefix cache: Zheng et al.,
// SGLang's RadixAttention, 2023): of the sequences that were put in, finds in one walk which begin
// as a prompt begins. Values; used by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace aioss::worker {

// How many tokens both begin with.
std::size_t tokens_in_common(std::span<const std::int32_t> a, std::span<const std::int32_t> b);

class TokenTree final {
 public:
  using Token = std::int32_t;
  using Id = std::uint32_t;  // the caller's, of a sequence

  TokenTree();
  ~TokenTree();
  TokenTree(TokenTree&&) noexcept;
  TokenTree& operator=(TokenTree&&) noexcept;

  // Not empty, and not there yet.
  void insert(std::span<const Token> tokens, Id id);
  // That is there.
  void erase(std::span<const Token> tokens);
  std::optional<Id> at(std::span<const Token> tokens) const;  // exactly this one
  bool empty() const;
  std::size_t nodes() const;  // for tests: none without a use

  struct Found {
    // The longest one that the prompt begins with, all of it.
    std::optional<Id> whole;
    std::size_t whole_tokens = 0;
    // One that agrees with the prompt for longer than that, and then goes on otherwise.
    std::optional<Id> part;
    std::size_t part_tokens = 0;  // for how long
  };
  Found find(std::span<const Token> prompt) const;

 private:
  struct Node;
  std::unique_ptr<Node> root_;
};

}  // namespace aioss::worker
