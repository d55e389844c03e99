#include "ledger/format/frame_batch.h"

namespace aioss::ledger {

void FrameBatch::read(ByteView window, const LedgerId& ledger_id, const Digest& before,
                      std::size_t limit) {
  parse(window, limit);
  messages_.resize(items_.size());
  digests_.resize(items_.size());
  hash_leaves(ledger_id);
  hash_chain(before);
}

void FrameBatch::parse(ByteView window, std::size_t limit) {
  items_.clear();
  while (items_.size() < limit) {
    refused_ = parse_frame(window);
    if (refused_.form != Form::kGood) return;
    items_.push_back({refused_.frame});
    window = window.subspan(refused_.frame.bytes);
  }
}

void FrameBatch::hash_leaves(const LedgerId& ledger_id) {
  heads_.resize(items_.size());
  for (std::size_t i = 0; i < items_.size(); ++i) {
    heads_[i] = leaf_head(ledger_id, items_[i].frame);
    messages_[i].pieces = {heads_[i], items_[i].frame.body, {}};
  }
  crypto::sha3_256_each(messages_, digests_);
  for (std::size_t i = 0; i < items_.size(); ++i) items_[i].leaf = digests_[i];
}

void FrameBatch::hash_chain(const Digest& before) {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Digest& last = i == 0 ? before : items_[i - 1].frame.chain;
    messages_[i].pieces = {as_bytes(kChainTag), last, items_[i].leaf};
  }
  crypto::sha3_256_each(messages_, digests_);
  for (std::size_t i = 0; i < items_.size(); ++i) items_[i].chain = digests_[i];
}

}  // namespace aioss::ledger
