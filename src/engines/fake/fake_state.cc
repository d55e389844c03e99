#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engines/fake/parts.h"

namespace aioss::engines::fake {
namespace {

// State: a magic number, the session's geometry, a hash of what follows, counts; then the tokens,
// and if there were adapters, their marks and what those say. Native byte order: it never leaves
// the machine.
struct StateHeader {
  std::uint64_t magic;
  std::uint64_t geometry;
  std::uint64_t check;
  std::uint64_t count;  // of tokens
  std::uint64_t says;
};
constexpr std::uint64_t kStateMagic = 0x3176'454b'4146'0002u;

std::uint64_t geometry_of(const FakeSession& session) {
  return (std::uint64_t{session.options.sequences_max} << 32) | session.options.cells_per_sequence;
}

std::uint64_t check_of(std::string_view bytes) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

template <typename T>
void append_raw(std::string& out, const T* values, std::size_t count) {
  out.append(reinterpret_cast<const char*>(values), count * sizeof(T));
}

// Takes `count` values off the front; false if there are fewer.
template <typename T>
bool take_raw(std::string_view& in, T* values, std::size_t count) {
  if (in.size() / sizeof(T) < count) return false;
  if (count > 0) std::memcpy(values, in.data(), count * sizeof(T));
  in.remove_prefix(count * sizeof(T));
  return true;
}

}  // namespace

std::string state_of(const FakeSession& session, const Sequence& sequence) {
  std::string body;
  append_raw(body, sequence.tokens().data(), sequence.tokens().size());
  if (!sequence.says().empty()) {
    append_raw(body, sequence.marks().data(), sequence.marks().size());
  }
  for (const auto& [mark, say] : sequence.says()) {
    const std::uint64_t head[] = {mark, say.size()};
    append_raw(body, head, 2);
    body += say;
  }
  const StateHeader header = {kStateMagic, geometry_of(session), check_of(body),
                              sequence.tokens().size(), sequence.says().size()};
  std::string out;
  append_raw(out, &header, 1);
  return out + body;
}

bool load_state(const FakeSession& session, std::string_view state, Sequence& into) {
  StateHeader header = {};
  if (!take_raw(state, &header, 1)) return false;
  if (header.magic != kStateMagic || header.geometry != geometry_of(session) ||
      header.count > session.options.cells_per_sequence || header.check != check_of(state)) {
    return false;
  }
  std::vector<std::int32_t> tokens(header.count);
  std::vector<std::uint64_t> marks(header.count);
  if (!take_raw(state, tokens.data(), header.count)) return false;
  if (header.says > 0 && !take_raw(state, marks.data(), header.count)) return false;
  std::map<std::uint64_t, std::string> says;
  for (std::uint64_t i = 0; i < header.says; ++i) {
    std::uint64_t head[2] = {};
    if (!take_raw(state, head, 2) || state.size() < head[1]) return false;
    says[head[0]] = state.substr(0, head[1]);
    state.remove_prefix(head[1]);
  }
  if (!state.empty()) return false;
  for (const std::int32_t token : tokens) {
    const std::uint32_t vocabulary = session.model->script.vocabulary();
    if (token < 0 || static_cast<std::uint32_t>(token) >= vocabulary) return false;
  }
  into.clear();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    into.push(tokens[i], {marks[i], marks[i] != 0 ? says[marks[i]] : ""});
  }
  return true;
}

}  // namespace aioss::engines::fake
