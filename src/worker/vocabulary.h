// The bytes of every token, read once from the text model, so that the engine thread never needs
// it: the text model belongs to the thread that tokenizes prompts. Immutable, so safe to share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/text.h"
#include "ipc/messages.h"

namespace aioss::worker {

using ipc::Token;

class Vocabulary final {
 public:
  // kModelCorrupt if the text side knows fewer tokens than the engine has logits, or is out of
  // bounds.
  static Result<std::unique_ptr<const Vocabulary>> create(const engine::TextModel& text,
                                                          std::uint32_t logits_per_row);

  std::uint32_t size() const { return static_cast<std::uint32_t>(ends_of_generation_.size()); }
  bool has(Token token) const { return token >= 0 && static_cast<std::uint32_t>(token) < size(); }
  // As output text: "" for control tokens. May be a part of a character.
  std::string_view piece(Token token) const;
  // As the vocabulary writes it.
  std::string_view display(Token token) const;
  bool ends_generation(Token token) const;
  // The most bytes that one token is written with: at least 1.
  std::size_t token_bytes_max() const { return token_bytes_max_; }
  // What these tables take.
  std::uint64_t heap_bytes() const;

 private:
  Vocabulary() = default;

  std::string bytes_;                   // pieces, one after the other
  std::vector<std::uint32_t> offsets_;  // size() + 1
  std::vector<bool> ends_of_generation_;
  std::size_t token_bytes_max_ = 1;
  std::unordered_map<Token, std::string> displays_;  // where it differs from the piece
};

}  // namespace aioss::worker
