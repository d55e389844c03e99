// Proofs about a ledger on disk that this process does not write: one pass over it, in memory that
// does not grow with it. What a proof needs is planned first, by making it once from nothing; the
// pass computes those subtrees, and the proof is made again from them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "ledger/format/chain.h"
#include "ledger/format/epochs.h"
#include "ledger/format/proof.h"
#include "ledger/format/record.h"
#include "ledger/reading/history_index.h"
#include "os/file.h"

namespace aioss::ledger {

// Makes proofs from a source. Called twice: what it makes the first time means nothing.
using ProofPlan = std::function<Status(SubtreeSource&)>;

class DiskTree final : public SubtreeSource {
 public:
  // Remembers which subtrees the plan asks for.
  Status plan(const ProofPlan& plan);
  void add(const Digest& leaf);  // the next one
  std::uint64_t size() const { return size_; }
  Digest root();
  // kInvalidArgument if it was not planned, or is not complete.
  Result<Digest> subtree(unsigned level, std::uint64_t first) override;

 private:
  using Place = std::pair<unsigned, std::uint64_t>;  // level, first leaf
  void keep(unsigned level, std::uint64_t first, const Digest& root);

  std::map<Place, std::optional<Digest>> wanted_;
  std::uint64_t levels_ = 0;  // bit n: some subtree of level n is wanted
  ChainHasher hasher_;
  std::uint64_t size_ = 0;
  std::vector<Digest> frontier_;  // as MerkleTree has it
};

struct DiskFacts {
  std::string origin;
  crypto::PublicKey public_key{};  // of GENESIS
  LedgerId ledger_id{};
  std::vector<Bytes> rotations;  // frames of the KEY_ROTATE records among the first `size`
  Digest root{};                 // over the first `size`
};

// Who looks on while the first `size` records are read, in order.
struct Onlooker {
  std::function<void(const RecordPlace&)> located = {};  // each of them, the pruned ones too
  std::function<void(const Record&)> visit = {};         // likewise, if its content is there
};
// Reads the first `size` records and makes the proofs; a pruned record counts by its leaf.
// kNotFound if there are fewer; kCorrupt at the first bad one.
Result<DiskFacts> prove_on_disk(os::FileSystem& fs, const std::string& directory,
                                std::uint64_t size, const ProofPlan& plan,
                                const Onlooker& onlooker = {});

// The frame that was read, again: a record has one encoding.
Bytes frame_of(const Record& record);

}  // namespace aioss::ledger
