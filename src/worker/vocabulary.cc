#include "worker/vocabulary.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "ipc/limits.h"

namespace aioss::worker {
namespace {

// The pieces of 262,144 tokens take about 2 MiB; a file that wants more than this is not a
// vocabulary.
constexpr std::size_t kPieceBytesMax = std::size_t{1} << 30;

}  // namespace

Result<std::unique_ptr<const Vocabulary>> Vocabulary::create(const engine::TextModel& text,
                                                             std::uint32_t logits_per_row) {
  const std::uint32_t known = text.facts().vocabulary_size;
  if (logits_per_row == 0 || logits_per_row > ipc::kVocabularyMax || known < logits_per_row) {
    return Error{Code::kModelCorrupt, "the tokenizer knows " + std::to_string(known) +
                                          " tokens and the engine computes " +
                                          std::to_string(logits_per_row)};
  }
  std::unique_ptr<Vocabulary> vocabulary(new Vocabulary);
  vocabulary->offsets_.reserve(logits_per_row + 1);
  vocabulary->ends_of_generation_.resize(logits_per_row);
  vocabulary->offsets_.push_back(0);
  for (std::uint32_t i = 0; i < logits_per_row; ++i) {
    const auto token = static_cast<Token>(i);
    const std::string piece = text.piece(token);
    vocabulary->bytes_ += piece;
    if (vocabulary->bytes_.size() > kPieceBytesMax) {
      return Error{Code::kModelCorrupt, "the vocabulary is larger than 1 GiB"};
    }
    vocabulary->offsets_.push_back(static_cast<std::uint32_t>(vocabulary->bytes_.size()));
    vocabulary->ends_of_generation_[i] = text.is_end_of_generation(token);
    // Only tokens without text of their own are written differently.
    std::string display = piece.empty() ? text.display(token) : "";
    vocabulary->token_bytes_max_ =
        std::max({vocabulary->token_bytes_max_, piece.size(), display.size()});
    if (piece.empty()) vocabulary->displays_.emplace(token, std::move(display));
  }
  return std::unique_ptr<const Vocabulary>(std::move(vocabulary));
}

std::string_view Vocabulary::piece(Token token) const {
  const auto i = static_cast<std::size_t>(token);
  ASSERT(i + 1 < offsets_.size());
  return std::string_view(bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

std::string_view Vocabulary::display(Token token) const {
  const auto found = displays_.find(token);
  return found != displays_.end() ? std::string_view(found->second) : piece(token);
}

bool Vocabulary::ends_generation(Token token) const {
  const auto i = static_cast<std::size_t>(token);
  ASSERT(i < ends_of_generation_.size());
  return ends_of_generation_[i];
}

std::uint64_t Vocabulary::heap_bytes() const {
  constexpr std::uint64_t kNodeBytes = 64;  // of a map: link, token, string, allocator
  std::uint64_t bytes = bytes_.capacity() + offsets_.capacity() * sizeof offsets_.front() +
                        ends_of_generation_.capacity() / 8 +
                        displays_.bucket_count() * sizeof(void*);
  for (const auto& [token, display] : displays_) {
    const bool inside = display.capacity() <= std::string().capacity();
    bytes += kNodeBytes + (inside ? 0 : display.capacity());
  }
  return bytes;
}

}  // namespace aioss::worker
