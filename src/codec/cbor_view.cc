#include "codec/cbor_view.h"

#include "base/assert.h"
#include "codec/cbor.h"
#include "codec/cbor_head.h"
#include "codec/utf8.h"

namespace aioss::codec {
namespace {

// Accepts what the decoder in cbor.cc accepts; each rule here has its twin there. Recursive, but
// never deeper than kCborDepthMax.
class Checker {
 public:
  explicit Checker(ByteView bytes) : bytes_(bytes) {}

  bool only_map() {
    Head head;
    return read(head) && head.major == kMap && map(head.argument, 1) && at_ == bytes_.size();
  }

 private:
  bool read(Head& head) { return read_head(bytes_, at_, head).empty(); }
  std::size_t left() const { return bytes_.size() - at_; }

  bool value(std::size_t depth) {
    Head head;
    if (!read(head)) return false;
    switch (head.major) {
      case kNegative:
        return head.argument <= kCborNegativeMost;
      case kByteString:
        return skip(head.argument);
      case kTextString: {
        const std::size_t begin = at_;
        return skip(head.argument) && is_utf8(as_text(bytes_.subspan(begin, at_ - begin)));
      }
      case kArray:
        return array(head.argument, depth + 1);
      case kMap:
        return map(head.argument, depth + 1);
      default:
        return true;  // unsigned, false and true are in their heads
    }
  }

  bool skip(std::uint64_t length) {
    if (length > left()) return false;
    at_ += static_cast<std::size_t>(length);
    return true;
  }

  bool count(std::uint64_t items) {
    items_ += items;  // of at most as many as there are bytes
    return items_ <= kCborItemsMax;
  }

  bool array(std::uint64_t items, std::size_t depth) {
    if (depth > kCborDepthMax || items > left() || !count(items)) return false;
    for (std::uint64_t i = 0; i < items; ++i) {
      if (!value(depth)) return false;
    }
    return true;
  }

  bool map(std::uint64_t entries, std::size_t depth) {
    if (depth > kCborDepthMax || entries > left() / 2 || !count(entries)) return false;
    std::uint64_t previous = 0;
    for (std::uint64_t i = 0; i < entries; ++i) {
      Head key;
      if (!read(key) || key.major != kUnsigned) return false;
      if (i > 0 && key.argument <= previous) return false;
      previous = key.argument;
      if (!value(depth)) return false;
    }
    return true;
  }

  const ByteView bytes_;
  std::size_t at_ = 0;
  std::uint64_t items_ = 0;  // of all arrays and maps so far
};

Head head_of(ByteView checked, std::size_t& at) {
  Head head;
  ASSERT(read_head(checked, at, head).empty());
  return head;
}

// Behind one value of bytes that have been checked. As many heads are to be read as containers
// still promise: no recursion.
void skip_value(ByteView checked, std::size_t& at) {
  for (std::uint64_t values = 1; values > 0; --values) {
    const Head head = head_of(checked, at);
    if (head.major == kByteString || head.major == kTextString) at += head.argument;
    if (head.major == kArray) values += head.argument;
    if (head.major == kMap) values += 2 * head.argument;
  }
}

}  // namespace

std::optional<MapView> MapView::check(ByteView bytes) {
  if (!Checker(bytes).only_map()) return std::nullopt;
  return MapView(bytes);
}

std::optional<std::size_t> MapView::find(std::uint64_t key) const {
  if (bytes_.empty()) return std::nullopt;
  std::size_t at = 0;
  const std::uint64_t entries = head_of(bytes_, at).argument;
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::uint64_t found = head_of(bytes_, at).argument;
    if (found == key) return at;
    if (found > key) break;  // they ascend
    skip_value(bytes_, at);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> MapView::get_uint(std::uint64_t key) const {
  auto at = find(key);
  if (!at) return std::nullopt;
  const Head head = head_of(bytes_, *at);
  if (head.major != kUnsigned) return std::nullopt;
  return head.argument;
}

std::optional<std::int64_t> MapView::get_int(std::uint64_t key) const {
  auto at = find(key);
  if (!at) return std::nullopt;
  const Head head = head_of(bytes_, *at);
  if (head.major > kNegative || head.argument > kCborNegativeMost) return std::nullopt;
  const auto value = static_cast<std::int64_t>(head.argument);
  return head.major == kNegative ? -1 - value : value;
}

std::optional<ByteView> MapView::get_bytes(std::uint64_t key) const {
  auto at = find(key);
  if (!at) return std::nullopt;
  const Head head = head_of(bytes_, *at);
  if (head.major != kByteString) return std::nullopt;
  return bytes_.subspan(*at, static_cast<std::size_t>(head.argument));
}

std::optional<std::string_view> MapView::get_text(std::uint64_t key) const {
  auto at = find(key);
  if (!at) return std::nullopt;
  const Head head = head_of(bytes_, *at);
  if (head.major != kTextString) return std::nullopt;
  return as_text(bytes_.subspan(*at, static_cast<std::size_t>(head.argument)));
}

}  // namespace aioss::codec
