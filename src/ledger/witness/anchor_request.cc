#include "ledger/witness/anchor_request.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "codec/base64.h"
#include "codec/hex.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kOldStart = "old ";
constexpr std::string_view kLedgerStart = "ledger ";
constexpr std::string_view kKeyStart = "key ";

Error malformed(std::string_view what) {
  return {Code::kCorrupt, "the request " + std::string(what) +
                              "; make it again with `aioss anchor export --witness`"};
}

// "old N": one number, one text.
std::optional<std::uint64_t> parse_old(std::string_view line) {
  if (!line.starts_with(kOldStart)) return std::nullopt;
  line.remove_prefix(kOldStart.size());
  if (line.size() > 1 && line.front() == '0') return std::nullopt;
  return parse_u64(line);
}

// Only lower case, so that one request has one text.
Status take_ledger_id(std::string_view text, AnchorRequest& out) {
  const auto bytes = codec::from_hex(text);
  if (!bytes || bytes->size() != out.ledger_id.size() || codec::to_hex(*bytes) != text) {
    return malformed("has a damaged ledger id");
  }
  std::copy(bytes->begin(), bytes->end(), out.ledger_id.begin());
  return ok();
}

Status take_key_frame(std::string_view text, AnchorRequest& out) {
  if (out.key_frames.size() == kKeyFramesMax) return malformed("has too many keys");
  auto frame = codec::from_base64(text);
  if (!frame || frame->size() > kKeyFrameBytesMax) return malformed("has a damaged key");
  out.key_frames.push_back(std::move(*frame));
  return ok();
}

Status take_hash(std::string_view text, AnchorRequest& out) {
  if (out.proof.size() == kProofLinesMax) return malformed("has too many hashes");
  const auto bytes = codec::from_base64(text);
  Digest digest;
  if (!bytes || bytes->size() != digest.size()) return malformed("has a damaged hash");
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  out.proof.push_back(digest);
  return ok();
}

// The line at the front, without its line feed, taken off the text, which ends in one.
std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(line.size() + 1);
  return line;
}

// Everything between the first line and the empty one.
Status parse_middle(std::string_view text, AnchorRequest& out) {
  const bool rotated = text.starts_with(kLedgerStart);
  if (rotated) AIOSS_CHECK(take_ledger_id(take_line(text).substr(kLedgerStart.size()), out));
  while (text.starts_with(kKeyStart)) {
    AIOSS_CHECK(take_key_frame(take_line(text).substr(kKeyStart.size()), out));
  }
  if (rotated == out.key_frames.empty()) return malformed("has keys without a ledger id");
  while (!text.empty()) AIOSS_CHECK(take_hash(take_line(text), out));
  return ok();
}

}  // namespace

std::string format_request(const AnchorRequest& request) {
  std::string text = std::string(kOldStart) + std::to_string(request.old_size) + '\n';
  if (!request.key_frames.empty()) {
    text += std::string(kLedgerStart) + codec::to_hex(request.ledger_id) + '\n';
  }
  for (const Bytes& frame : request.key_frames) {
    text += std::string(kKeyStart) + codec::to_base64(frame) + '\n';
  }
  for (const Digest& digest : request.proof) text += codec::to_base64(digest) + '\n';
  return text + '\n' + text_of(request.note);
}

Result<AnchorRequest> parse_request(std::string_view text) {
  if (text.size() > kRequestBytesMax) return malformed("is too large");
  const std::size_t blank = text.find("\n\n");
  if (!text.starts_with(kOldStart) || blank == std::string_view::npos) {
    return malformed("does not begin with the line 'old N'");
  }
  std::string_view head = text.substr(0, blank + 1);
  const std::string_view note = text.substr(blank + 2);
  AnchorRequest out;
  const auto old_size = parse_old(take_line(head));
  if (!old_size) return malformed("does not begin with the line 'old N'");
  out.old_size = *old_size;
  AIOSS_CHECK(parse_middle(head, out));
  if (note.size() > kNoteBytesMax) return malformed("has too large a checkpoint");
  AIOSS_TRY(out.note, parse_note(note));
  return out;
}

}  // namespace aioss::ledger
