// What a person says of an answer: HUMAN_REVIEW records. Shared by the endpoint of a running server
// and by `aioss review`. Blocks on the disk and on the ledger: not on the io thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/random.h"
#include "ledger/writing/ledger.h"
#include "runtime/calls/principal.h"

namespace aioss::runtime {

inline constexpr std::size_t kReviewCommentBytesMax = 65'536;

struct ReviewCall {
  Principal by;
  // What is reviewed: a request by its id, or by the index of any of its records; if both are
  // given, they must name the same request.
  std::string request_id;
  std::optional<std::uint64_t> record;
  std::string verdict;  // a name in ledger::review_verdict
  std::string comment;  // committed to, never written; "" for none
};

struct Reviewed {
  std::uint64_t record = 0;           // of the HUMAN_REVIEW
  std::uint64_t reviewed_record = 0;  // what it refers to
  std::string request_id;
  std::optional<Digest> comment_salt;  // with it, and the comment, the commitment can be opened
};

// Of the call alone. kInvalidArgument, naming the field.
Status check_review(const ReviewCall& call);

// Finds what is reviewed, writes the record and waits for it. kNotFound if it is not in the ledger.
Result<Reviewed> review(crypto::Random& random, ledger::Ledger& ledger, const ReviewCall& call);

}  // namespace aioss::runtime
