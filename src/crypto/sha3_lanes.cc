#include "crypto/sha3_lanes.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "crypto/hash.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace aioss::crypto {
namespace {

// Each message goes through libcrypto, which needs no vector registers.
void hash_one_by_one(std::span<const Message> messages, std::span<Digest> digests) {
  Hasher hasher(HashAlgorithm::kSha3_256);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    for (const ByteView piece : messages[i].pieces) hasher.update(piece);
    digests[i] = hasher.finish();
  }
}

#if defined(__x86_64__)

constexpr std::size_t kStateWords = 25;
constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
constexpr std::size_t kBlockBytes = 136;  // the rate of SHA3-256
constexpr std::size_t kBlockWords = kBlockBytes / kWordBytes;

// What the step mappings rho and pi do to word i (FIPS 202, sections 3.2.2 and 3.2.3): it is
// rotated by rho[i] and becomes word pi[i].
struct Steps {
  int rho[kStateWords] = {};
  std::size_t pi[kStateWords] = {};
};
constexpr Steps make_steps() {
  Steps steps;
  for (std::size_t x = 0; x < 5; ++x) {
    for (std::size_t y = 0; y < 5; ++y) steps.pi[x + 5 * y] = y + (2 * x + 3 * y) % 5 * 5;
  }
  std::size_t word = 1;  // (x, y) = (1, 0); pi leads on from there through all words but the first
  for (int t = 0; t < 24; ++t) {
    steps.rho[word] = (t + 1) * (t + 2) / 2 % 64;
    word = steps.pi[word];
  }
  return steps;
}
constexpr Steps kSteps = make_steps();

// The step mapping iota (section 3.2.5): bits 0, 1, 3, 7, … 63 of a round's constant are the next
// seven that a shift register gives.
struct RoundConstants {
  std::uint64_t words[24] = {};
  constexpr const std::uint64_t* begin() const { return words; }
  constexpr const std::uint64_t* end() const { return words + 24; }
};
constexpr RoundConstants make_round_constants() {
  RoundConstants constants;
  unsigned bits = 1;
  for (std::uint64_t& word : constants.words) {
    for (unsigned j = 0; j < 7; ++j) {
      if ((bits & 1U) != 0) word |= std::uint64_t{1} << ((1U << j) - 1);
      bits = (bits << 1U) ^ ((bits & 0x80U) != 0 ? 0x171U : 0U);
    }
  }
  return constants;
}
constexpr RoundConstants kRoundConstants = make_round_constants();
static_assert(kRoundConstants.words[0] == 1 && kRoundConstants.words[1] == 0x8082);
static_assert(kRoundConstants.words[23] == 0x8000000080008008);

template <std::size_t kCount>
using Blocks = const std::uint8_t* [kCount];  // one of kBlockBytes for each lane

#define AIOSS_LANES_INLINE [[gnu::target(AIOSS_LANES_TARGET), gnu::always_inline]] inline

namespace avx2 {
#define AIOSS_LANES_TARGET "avx2"

constexpr std::size_t kLanes = 4;
using V = __m256i;
using Mask = __m256i;

AIOSS_LANES_INLINE Mask mask(unsigned bits) {
  const V lane_bit = _mm256_set_epi64x(8, 4, 2, 1);
  return _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(bits), lane_bit), lane_bit);
}
AIOSS_LANES_INLINE V load(const std::uint64_t* words, Mask chosen) {
  return _mm256_maskload_epi64(reinterpret_cast<const long long*>(words), chosen);
}
AIOSS_LANES_INLINE void store(std::uint64_t* words, V v) {
  _mm256_store_si256(reinterpret_cast<V*>(words), v);
}
AIOSS_LANES_INLINE V xor2(V a, V b) {
  return _mm256_xor_si256(a, b);
}
AIOSS_LANES_INLINE V xor3(V a, V b, V c) {
  return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
AIOSS_LANES_INLINE V chi(V a, V b, V c) {
  return _mm256_xor_si256(a, _mm256_andnot_si256(b, c));
}
template <int kBits>
AIOSS_LANES_INLINE V rotl(V v) {
  if constexpr (kBits == 0) return v;
  return _mm256_or_si256(_mm256_slli_epi64(v, kBits), _mm256_srli_epi64(v, 64 - kBits));
}
AIOSS_LANES_INLINE V all(std::uint64_t word) {
  return _mm256_set1_epi64x(static_cast<long long>(word));
}
AIOSS_LANES_INLINE V row(const std::uint8_t* bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(bytes));
}
AIOSS_LANES_INLINE void zip(const Blocks<kLanes>& blocks, std::size_t at, V (&v)[kLanes]) {
  const V a = row(blocks[0] + at), b = row(blocks[1] + at);
  const V c = row(blocks[2] + at), d = row(blocks[3] + at);
  const V even_ab = _mm256_unpacklo_epi64(a, b), odd_ab = _mm256_unpackhi_epi64(a, b);
  const V even_cd = _mm256_unpacklo_epi64(c, d), odd_cd = _mm256_unpackhi_epi64(c, d);
  v[0] = _mm256_permute2x128_si256(even_ab, even_cd, 0x20);
  v[1] = _mm256_permute2x128_si256(odd_ab, odd_cd, 0x20);
  v[2] = _mm256_permute2x128_si256(even_ab, even_cd, 0x31);
  v[3] = _mm256_permute2x128_si256(odd_ab, odd_cd, 0x31);
}
AIOSS_LANES_INLINE V zip_word(const Blocks<kLanes>& blocks, std::size_t at) {
  alignas(V) std::uint64_t words[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) std::memcpy(&words[i], blocks[i] + at, kWordBytes);
  return _mm256_load_si256(reinterpret_cast<const V*>(words));
}

#include "crypto/keccak_lanes.inc"
#undef AIOSS_LANES_TARGET
}  // namespace avx2

namespace avx512 {
#define AIOSS_LANES_TARGET "avx512f"

constexpr std::size_t kLanes = 8;
using V = __m512i;
using Mask = __mmask8;
// Some operations are written with a mask that chooses all lanes, and compile to the plain ones:
// g++ 12 warns of an uninitialized value inside those.
constexpr Mask kEveryLane = 0xFF;

AIOSS_LANES_INLINE Mask mask(unsigned bits) {
  return static_cast<Mask>(bits);
}
AIOSS_LANES_INLINE V load(const std::uint64_t* words, Mask chosen) {
  return _mm512_maskz_load_epi64(chosen, words);
}
AIOSS_LANES_INLINE void store(std::uint64_t* words, V v) {
  _mm512_store_si512(words, v);
}
AIOSS_LANES_INLINE V xor2(V a, V b) {
  return _mm512_xor_si512(a, b);
}
// The last argument is the truth table: bit 4a + 2b + c.
AIOSS_LANES_INLINE V xor3(V a, V b, V c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}
AIOSS_LANES_INLINE V chi(V a, V b, V c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0xD2);
}
template <int kBits>
AIOSS_LANES_INLINE V rotl(V v) {
  return _mm512_maskz_rol_epi64(kEveryLane, v, kBits);
}
AIOSS_LANES_INLINE V all(std::uint64_t word) {
  return _mm512_set1_epi64(static_cast<long long>(word));
}
AIOSS_LANES_INLINE V even_words(V a, V b) {
  return _mm512_maskz_unpacklo_epi64(kEveryLane, a, b);
}
AIOSS_LANES_INLINE V odd_words(V a, V b) {
  return _mm512_maskz_unpackhi_epi64(kEveryLane, a, b);
}
// Quarters 0 and 2 of each, or 1 and 3.
AIOSS_LANES_INLINE V even_quarters(V a, V b) {
  return _mm512_maskz_shuffle_i64x2(kEveryLane, a, b, 0x88);
}
AIOSS_LANES_INLINE V odd_quarters(V a, V b) {
  return _mm512_maskz_shuffle_i64x2(kEveryLane, a, b, 0xDD);
}
// The four quarters of each of these hold one word of two blocks; v takes a quarter of all four.
AIOSS_LANES_INLINE void zip_quarters(V ab, V cd, V ef, V gh, V& v0, V& v1, V& v2, V& v3) {
  const V even_abcd = even_quarters(ab, cd);
  const V even_efgh = even_quarters(ef, gh);
  const V odd_abcd = odd_quarters(ab, cd);
  const V odd_efgh = odd_quarters(ef, gh);
  v0 = even_quarters(even_abcd, even_efgh);
  v1 = even_quarters(odd_abcd, odd_efgh);
  v2 = odd_quarters(even_abcd, even_efgh);
  v3 = odd_quarters(odd_abcd, odd_efgh);
}
AIOSS_LANES_INLINE V row(const std::uint8_t* bytes) {
  return _mm512_loadu_si512(bytes);
}
AIOSS_LANES_INLINE void zip(const Blocks<kLanes>& blocks, std::size_t at, V (&v)[kLanes]) {
  const V a = row(blocks[0] + at), b = row(blocks[1] + at);
  const V c = row(blocks[2] + at), d = row(blocks[3] + at);
  const V e = row(blocks[4] + at), f = row(blocks[5] + at);
  const V g = row(blocks[6] + at), h = row(blocks[7] + at);
  zip_quarters(even_words(a, b), even_words(c, d), even_words(e, f), even_words(g, h), v[0], v[2],
               v[4], v[6]);
  zip_quarters(odd_words(a, b), odd_words(c, d), odd_words(e, f), odd_words(g, h), v[1], v[3], v[5],
               v[7]);
}
AIOSS_LANES_INLINE V zip_word(const Blocks<kLanes>& blocks, std::size_t at) {
  alignas(V) std::uint64_t words[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) std::memcpy(&words[i], blocks[i] + at, kWordBytes);
  return _mm512_load_si512(words);
}

#include "crypto/keccak_lanes.inc"
#undef AIOSS_LANES_TARGET
}  // namespace avx512

std::size_t bytes_of(const Message& message) {
  std::size_t bytes = 0;
  for (const ByteView piece : message.pieces) bytes += piece.size();
  return bytes;
}

std::size_t blocks_of(const Message& message) {  // with the padding, which is never empty
  return bytes_of(message) / kBlockBytes + 1;
}

// In which order messages go into the lanes: those first that are long beside a lane's share of all
// of it. Begun last, such a one would keep a single lane busy when the others have run dry.
class Order {
 public:
  Order(std::span<const Message> messages, std::size_t lanes) : messages_(messages) {
    constexpr std::size_t kParts = 16;  // so much of the time may be spent on lanes running dry
    std::size_t blocks = 0;
    for (const Message& message : messages) blocks += blocks_of(message);
    long_blocks_ = blocks / (lanes * kParts);
  }

  std::optional<std::size_t> next() {
    for (; pass_ < 2; ++pass_, at_ = 0) {
      while (at_ < messages_.size()) {
        const std::size_t message = at_++;
        const bool is_long = blocks_of(messages_[message]) > long_blocks_;
        if (is_long == (pass_ == 0)) return message;
      }
    }
    return std::nullopt;
  }

 private:
  const std::span<const Message> messages_;
  std::size_t long_blocks_ = 0;
  int pass_ = 0;  // 0: the long ones
  std::size_t at_ = 0;
};

// Cuts one message into blocks, the last of them padded (FIPS 202, section B.2).
class Cutter {
 public:
  void start(const Message& message, Digest& digest) {
    message_ = &message;
    digest_ = &digest;
    piece_ = 0;
    offset_ = 0;
    finished_ = false;
  }
  bool busy() const { return message_ != nullptr; }
  bool finished() const { return finished_; }  // the last block has been handed out
  Digest& stop() {
    message_ = nullptr;
    return *digest_;
  }

  // Where the next block lies: in the message itself if one of its pieces holds all of it. Valid
  // until the next call.
  const std::uint8_t* next_block() {
    const ByteView piece = rest();
    if (piece.size() >= kBlockBytes) {
      offset_ += kBlockBytes;
      return piece.data();
    }
    std::memset(block_, 0, kBlockBytes);
    std::size_t filled = 0;
    for (ByteView part = piece; !part.empty() && filled < kBlockBytes; part = rest()) {
      const std::size_t bytes = std::min(part.size(), kBlockBytes - filled);
      std::memcpy(block_ + filled, part.data(), bytes);
      filled += bytes;
      offset_ += bytes;
    }
    if (filled < kBlockBytes) {
      block_[filled] ^= 0x06;
      block_[kBlockBytes - 1] ^= 0x80;
      finished_ = true;
    }
    return block_;
  }

 private:
  // What is left of the piece at hand, or of the first one after it that is not empty.
  ByteView rest() {
    for (; piece_ < message_->pieces.size(); ++piece_, offset_ = 0) {
      const ByteView piece = message_->pieces[piece_];
      if (offset_ < piece.size()) return piece.subspan(offset_);
    }
    return {};
  }

  const Message* message_ = nullptr;
  Digest* digest_ = nullptr;
  std::size_t piece_ = 0, offset_ = 0;
  bool finished_ = false;
  std::uint8_t block_[kBlockBytes];
};

template <typename Kernel>
void hash_in_lanes(std::span<const Message> messages, std::span<Digest> digests) {
  constexpr std::size_t kLanes = Kernel::kLaneCount;
  static constexpr std::uint8_t kNothing[kBlockBytes] = {};  // for lanes that have run dry
  Order order(messages, kLanes);
  Cutter cutters[kLanes];
  typename Kernel::LaneState state;  // filled by the first absorb(): all lanes begin anew
  Blocks<kLanes> blocks;
  for (;;) {
    unsigned keep = 0;
    bool any = false;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      Cutter& cutter = cutters[lane];
      if (cutter.busy()) {
        keep |= 1U << lane;
      } else if (const auto message = order.next()) {
        cutter.start(messages[*message], digests[*message]);
      }
      blocks[lane] = cutter.busy() ? cutter.next_block() : kNothing;
      any |= cutter.busy();
    }
    if (!any) return;
    Kernel::absorb(state, blocks, keep);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      if (!cutters[lane].busy() || !cutters[lane].finished()) continue;
      Digest& digest = cutters[lane].stop();
      for (std::size_t word = 0; word * kWordBytes < digest.size(); ++word) {
        std::memcpy(&digest[word * kWordBytes], &state.words[word][lane], kWordBytes);
      }
    }
  }
}

#endif  // __x86_64__

}  // namespace

bool supported(Lanes lanes) {
#if defined(__x86_64__)
  // Asks the operating system, too: it has to save the registers.
  if (lanes == Lanes::kEight) return __builtin_cpu_supports("avx512f") != 0;
  if (lanes == Lanes::kFour) return __builtin_cpu_supports("avx2") != 0;
#endif
  return lanes == Lanes::kOne;
}

Lanes widest_lanes() {
  static const Lanes widest = supported(Lanes::kEight)  ? Lanes::kEight
                              : supported(Lanes::kFour) ? Lanes::kFour
                                                        : Lanes::kOne;
  return widest;
}

void sha3_256_each(std::span<const Message> messages, std::span<Digest> digests, Lanes lanes) {
  ASSERT(messages.size() == digests.size() && supported(lanes));
#if defined(__x86_64__)
  if (messages.size() < 2) lanes = Lanes::kOne;  // a lane alone is slower than libcrypto
  if (lanes == Lanes::kEight) return hash_in_lanes<avx512::Kernel>(messages, digests);
  if (lanes == Lanes::kFour) return hash_in_lanes<avx2::Kernel>(messages, digests);
#endif
  hash_one_by_one(messages, digests);
}

}  // namespace aioss::crypto
