// Prefixes whose states are kept: which one helps a prompt, and which one goes when there is no
// room. An index over a StateArena, a tree of tokens for each tenant: what one tenant has asked can
// make no other's answer come sooner.
//
// Value: what goes first is the prefix that is worth least, by tokens saved a byte and how often it
// was of use, aging (GreedyDual-Size with frequency; Cherkasova, HPL-98-69R1). Used by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "worker/state_arena.h"
#include "worker/token_tree.h"

namespace aioss::worker {

class PrefixCache final {
 public:
  using Token = TokenTree::Token;
  using Number = StateArena::Number;

  using Whose = StateArena::Whose;

  // Takes over what is there: at once, or when it is told to. Until then it keeps nothing.
  enum class TakeOver { kNow, kWhenTold };
  explicit PrefixCache(os::SharedMapping memory, TakeOver when = TakeOver::kNow);
  void take_over();  // what an earlier worker has left; once

  TokenTree::Found find(std::uint64_t tenant, std::span<const Token> prompt) const;
  ByteView state(Number number) const { return arena_.state(number); }
  std::size_t tokens(Number number) const { return entries_[number].tokens.size(); }
  void was_of_use(Number number);

  // A new one, not there yet: others go until there is room. Nothing: it is too large. The caller
  // fills room(), then keeps it or drops it.
  std::optional<Number> make_room(Whose whose, std::span<const Token> tokens,
                                  std::size_t state_bytes);
  std::span<std::uint8_t> room(Number number) { return arena_.room(number); }
  void keep(Number number, std::size_t state_bytes);
  void drop(Number number);
  // All of them: nothing is left in the memory.
  void clear();

  std::uint32_t size() const { return size_; }
  std::uint64_t bytes() const { return arena_.used_bytes(); }

 private:
  struct Entry {
    std::uint64_t tenant = 0;
    std::vector<Token> tokens;  // empty: no such entry
    std::uint64_t bytes = 0;
    std::uint32_t uses = 0;
    double value = 0;
    bool kept = false;  // it is in the tree
  };
  void revalue(Entry& entry);
  bool drop_least();

  StateArena arena_;
  std::unordered_map<std::uint64_t, TokenTree> trees_;  // by tenant
  std::vector<Entry> entries_;                          // by number
  std::uint32_t size_ = 0;                              // of those that are kept
  bool taken_over_ = false;
  bool cleared_ = false;  // before it was taken over
  double age_ = 0;        // value of what went last: what is new is worth more
};

}  // namespace aioss::worker
