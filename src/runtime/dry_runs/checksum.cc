#include "runtime/dry_runs/checksum.h"

#include <algorithm>

#include "crypto/hash.h"

namespace aioss::runtime {

Bytes with_checksum(Bytes body) {
  const Digest sum = crypto::sha256(body);
  body.insert(body.end(), sum.begin(), sum.end());
  return body;
}

Result<ByteView> without_checksum(ByteView bytes) {
  if (bytes.size() < sizeof(Digest)) return Error{Code::kCorrupt, "it is too short"};
  const ByteView body = bytes.first(bytes.size() - sizeof(Digest));
  const Digest sum = crypto::sha256(body);
  if (!std::equal(sum.begin(), sum.end(), bytes.last(sizeof(Digest)).begin())) {
    return Error{Code::kCorrupt, "its checksum is wrong"};
  }
  return body;
}

}  // namespace aioss::runtime
