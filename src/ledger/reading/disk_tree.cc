#include "ledger/reading/disk_tree.h"

#include "crypto/hash.h"
#include "ledger/reading/walk.h"

namespace aioss::ledger {
namespace {

// Of all proofs that are made at once.
constexpr std::size_t kWantedMax = 65'536;
// Every KEY_ROTATE has some 500 bytes.
constexpr std::size_t kRotationBytesMax = 64U << 20;

// Answers anything, and remembers what was asked.
class Recorder final : public SubtreeSource {
 public:
  using Want = std::function<Status(unsigned level, std::uint64_t first)>;
  explicit Recorder(Want want) : want_(std::move(want)) {}
  Result<Digest> subtree(unsigned level, std::uint64_t first) override {
    AIOSS_CHECK(want_(level, first));
    return Digest{};
  }

 private:
  const Want want_;
};

Error damaged(const WalkResult& walked) {
  return {Code::kCorrupt, "record " + std::to_string(walked.state.next_index) + " in " +
                              walked.file + " at byte " + std::to_string(walked.offset) + ": " +
                              walked.problem};
}

}  // namespace

Status DiskTree::plan(const ProofPlan& plan) {
  Recorder recorder([this](unsigned level, std::uint64_t first) -> Status {
    if (wanted_.size() >= kWantedMax) return Error{Code::kTooLarge, "too many proofs at once"};
    wanted_.emplace(Place{level, first}, std::nullopt);
    levels_ |= std::uint64_t{1} << level;
    return ok();
  });
  return plan(recorder);
}

void DiskTree::keep(unsigned level, std::uint64_t first, const Digest& root) {
  if (((levels_ >> level) & 1U) == 0) return;
  const auto found = wanted_.find({level, first});
  if (found != wanted_.end()) found->second = root;
}

void DiskTree::add(const Digest& leaf) {
  Digest subtree = leaf;
  keep(0, size_, subtree);
  // As MerkleTree does it: every subtree is complete at exactly one leaf.
  unsigned level = 0;
  for (std::uint64_t bits = size_; (bits & 1U) != 0; bits >>= 1U) {
    subtree = hasher_.node(frontier_.back(), subtree);
    frontier_.pop_back();
    ++level;
    keep(level, (size_ >> level) << level, subtree);
  }
  frontier_.push_back(subtree);
  ++size_;
}

Digest DiskTree::root() {
  return MerkleTree::from_frontier(size_, frontier_)->root(hasher_);
}

Result<Digest> DiskTree::subtree(unsigned level, std::uint64_t first) {
  const auto found = wanted_.find({level, first});
  if (found == wanted_.end() || !found->second) {
    return Error{Code::kInvalidArgument, "a proof asks for what was not planned"};
  }
  return *found->second;
}

Bytes frame_of(const Record& record) {
  Bytes body;
  codec::encode_to(record.body, body);
  Frame frame;
  frame.index = record.index;
  frame.type = static_cast<std::uint16_t>(record.type);
  frame.flags = record.flags;
  frame.chain = record.chain;
  frame.body = body;
  Bytes out;
  encode_frame(frame, out);
  return out;
}

Result<DiskFacts> prove_on_disk(os::FileSystem& fs, const std::string& directory,
                                std::uint64_t size, const ProofPlan& plan,
                                const Onlooker& onlooker) {
  DiskTree tree;
  AIOSS_CHECK(tree.plan(plan));
  DiskFacts facts;
  std::size_t rotation_bytes = 0;
  WalkOptions walking{directory, std::nullopt, nullptr, nullptr};
  // The visitor never sees a pruned record. Leaves come from where all of them do, and the walk
  // ends at the first record, from the last one that counts on, which it does see.
  walking.located = [&](const RecordPlace& place) {
    if (place.index >= size) return;
    tree.add(place.leaf);
    if (onlooker.located) onlooker.located(place);
  };
  walking.wants = [&](std::uint64_t index, RecordType type) {
    return onlooker.visit || type == RecordType::kKeyRotate || index + 1 >= size;
  };
  walking.visit = [&](const Record& record) {
    if (record.index >= size) return false;
    if (record.type == RecordType::kKeyRotate) {
      facts.rotations.push_back(frame_of(record));
      rotation_bytes += facts.rotations.back().size();
    }
    if (onlooker.visit) onlooker.visit(record);
    return record.index + 1 < size && rotation_bytes <= kRotationBytesMax;
  };
  AIOSS_TRY(const WalkResult walked, walk(fs, walking));
  if (rotation_bytes > kRotationBytesMax) {
    return Error{Code::kTooLarge, "the ledger's key was changed too many times"};
  }
  if (tree.size() < size && walked.damage != Damage::kNone) return damaged(walked);
  if (tree.size() < size) {
    return Error{Code::kNotFound, "the ledger has only " + std::to_string(tree.size()) +
                                      " records, not " + std::to_string(size)};
  }
  if (!walked.state.origin) {
    return Error{Code::kNotFound, "so few records say nothing of the ledger they are of"};
  }
  facts.origin = *walked.state.origin;
  facts.public_key = walked.state.public_key;
  facts.ledger_id = walked.state.segment.header.ledger_id;
  facts.root = tree.root();
  AIOSS_CHECK(plan(tree));
  return facts;
}

}  // namespace aioss::ledger
