#include "ledger/format/epochs.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "ledger/format/bytes_io.h"

namespace aioss::ledger {
namespace {

Error broken(std::string_view what) {
  return {Code::kCorrupt, std::string(what)};
}

Bytes statement_of(const LedgerId& ledger_id, const Rotation& rotation) {
  constexpr std::string_view kPrefix = "aioss/rotate/v1\n";
  Bytes out(kPrefix.begin(), kPrefix.end());
  const auto append = [&out](ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); };
  std::array<std::uint8_t, 8> index{};
  store_big(rotation.index, index, 0);
  append(ledger_id);
  append(index);
  append(rotation.root_before);
  append(rotation.old_key);
  append(rotation.new_key);
  return out;
}

template <std::size_t kSize>
bool read_bytes(const codec::Map& body, std::uint64_t key, std::array<std::uint8_t, kSize>& into) {
  const codec::Value* const value = body.find(key);
  const Bytes* const bytes = value == nullptr ? nullptr : value->if_bytes();
  if (bytes == nullptr || bytes->size() != kSize) return false;
  std::copy(bytes->begin(), bytes->end(), into.begin());
  return true;
}

Result<Rotation> rotation_of_frame(ByteView bytes) {
  const ParsedFrame parsed = parse_frame(bytes);
  const Frame& frame = parsed.frame;
  if (parsed.form != Form::kGood || frame.bytes != bytes.size() ||
      frame.type != static_cast<std::uint16_t>(RecordType::kKeyRotate)) {
    return broken("a frame of the chain of keys is not a KEY_ROTATE");
  }
  AIOSS_TRY(const codec::Map body, codec::decode_map(frame.body));
  return parse_rotation(frame.index, body);
}

}  // namespace

Result<Rotation> parse_rotation(std::uint64_t index, const codec::Map& body) {
  namespace own = key::key_rotate;
  Rotation rotation;
  rotation.index = index;
  if (!read_bytes(body, own::kRoot, rotation.root_before) ||
      !read_bytes(body, own::kOldKey, rotation.old_key) ||
      !read_bytes(body, own::kNewKey, rotation.new_key) ||
      !read_bytes(body, own::kOldSignature, rotation.by_old) ||
      !read_bytes(body, own::kNewSignature, rotation.by_new)) {
    return broken("KEY_ROTATE lacks a key, a signature or its root");
  }
  return rotation;
}

Result<Rotation> sign_rotation(const LedgerId& ledger_id, std::uint64_t index,
                               const Digest& root_before, const crypto::SigningKey& old_key,
                               const crypto::SigningKey& new_key) {
  Rotation rotation;
  rotation.index = index;
  rotation.root_before = root_before;
  rotation.old_key = old_key.public_key();
  rotation.new_key = new_key.public_key();
  const Bytes statement = statement_of(ledger_id, rotation);
  AIOSS_TRY(rotation.by_old, old_key.sign(statement));
  AIOSS_TRY(rotation.by_new, new_key.sign(statement));
  return rotation;
}

void add_rotation(const Rotation& rotation, std::string_view reason,
                  const std::vector<std::string>& approvals, codec::Map& body) {
  namespace own = key::key_rotate;
  using codec::Value;
  body.set(own::kOldKey, Value::bytes(rotation.old_key))
      .set(own::kNewKey, Value::bytes(rotation.new_key))
      .set(own::kOldSignature, Value::bytes(rotation.by_old))
      .set(own::kNewSignature, Value::bytes(rotation.by_new))
      .set(own::kReason, Value::text(reason));
  if (!approvals.empty()) {
    codec::Array names;
    for (const std::string& name : approvals) names.push_back(Value::text(name));
    body.set(own::kApprovals, Value::array(std::move(names)));
  }
  body.set(own::kRoot, Value::bytes(rotation.root_before));
}

Result<KeyEpochs> KeyEpochs::of_frames(const LedgerId& ledger_id, std::span<const ByteView> frames,
                                       const crypto::PublicKey& given) {
  if (frames.size() >= kEpochsMax) return broken("there are too many KEY_ROTATE records");
  KeyEpochs epochs(ledger_id, given);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    AIOSS_TRY(const Rotation rotation, rotation_of_frame(frames[i]));
    if (i == 0) epochs = KeyEpochs(ledger_id, rotation.old_key);
    AIOSS_CHECK(epochs.add(rotation));
  }
  if (!epochs.contains(given)) return broken("the given key is not in the chain of keys");
  return epochs;
}

Status KeyEpochs::add(const Rotation& rotation) {
  ASSERT(!epochs_.empty());
  if (rotation.old_key != newest()) return broken("KEY_ROTATE names a key that is not in force");
  if (rotation.new_key == rotation.old_key) return broken("KEY_ROTATE names one key twice");
  if (rotation.index < epochs_.back().first_size ||
      rotation.index == std::numeric_limits<std::uint64_t>::max()) {
    return broken("KEY_ROTATE is out of order");
  }
  if (epochs_.size() >= kEpochsMax) return broken("there are too many KEY_ROTATE records");
  const Bytes statement = statement_of(ledger_id_, rotation);
  if (!crypto::verify(rotation.old_key, statement, rotation.by_old) ||
      !crypto::verify(rotation.new_key, statement, rotation.by_new)) {
    return broken("a signature of KEY_ROTATE does not hold");
  }
  epochs_.push_back({rotation.index + 1, rotation.new_key});
  return ok();
}

const crypto::PublicKey& KeyEpochs::in_force(std::uint64_t size) const {
  ASSERT(!epochs_.empty());
  const auto after = std::upper_bound(
      epochs_.begin(), epochs_.end(), size,
      [](std::uint64_t wanted, const KeyEpoch& epoch) { return wanted < epoch.first_size; });
  return std::prev(after)->public_key;  // the first one begins at 0
}

const crypto::PublicKey& KeyEpochs::newest() const {
  ASSERT(!epochs_.empty());
  return epochs_.back().public_key;
}

bool KeyEpochs::contains(const crypto::PublicKey& key) const {
  return std::any_of(epochs_.begin(), epochs_.end(),
                     [&key](const KeyEpoch& epoch) { return epoch.public_key == key; });
}

std::optional<crypto::PublicKey> signer_of(const Note& note, std::string_view origin,
                                           const KeyEpochs& epochs) {
  for (const KeyEpoch& epoch : epochs.list()) {
    if (signed_by(note, {std::string(origin), epoch.public_key})) return epoch.public_key;
  }
  return std::nullopt;
}

}  // namespace aioss::ledger
