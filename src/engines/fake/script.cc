#include "engines/fake/script.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/strings.h"

namespace aioss::engines::fake {
namespace {

constexpr std::uint32_t kLayersMax = 1024;

constexpr std::size_t kDirectiveBytesMax = 1024;  // a longer [[…]] is plain text
constexpr std::size_t kRepliesMax = 1024;
constexpr std::uint32_t kLongReplyMax = 1u << 20;
constexpr std::uint32_t kDelayMsMax = 600'000;  // ten minutes: a longer stall is a typing error
constexpr float kOtherLogitsMax = 8.0F;  // tokens that are not scripted have logits in [0, this)
constexpr std::uint64_t kWordsBeforeEnd = 12;  // on average, in a completion without a template

// splitmix64's finalizer: every bit of the result depends on every bit of the input.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

template <typename T>
bool parse_number(std::string_view text, T max, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0 && out <= max;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    ++i;
    out += text[i] == 'n' ? '\n' : text[i] == 't' ? '\t' : text[i];
  }
  return out;
}

std::string words(std::uint32_t bytes) {
  static constexpr std::string_view kWords =
      "the ledger keeps every word that was said and nobody may take one out of it ";
  std::string out;
  out.reserve(bytes);
  for (std::uint32_t i = 0; i < bytes; ++i) out += kWords[i % kWords.size()];
  return out;
}

constexpr std::uint64_t kMemoryMax = std::uint64_t{1} << 50;

// "weights=1 kv=2": fields that a script may leave out.
Status apply_memory(Script& script, std::string_view fields) {
  const std::pair<std::string_view, std::uint64_t*> known[] = {
      {"weights", &script.weight_bytes},
      {"kv", &script.kv_bytes_per_cell},
      {"compute", &script.compute_bytes},
      {"vocabulary", &script.vocabulary_bytes},
      {"overhead", &script.overhead_bytes}};
  for (const std::string_view field : split(fields, ' ')) {
    bool taken = field.empty();
    for (const auto& [name, out] : known) {
      if (!field.starts_with(name) || field.substr(name.size(), 1) != "=") continue;
      taken = parse_number(field.substr(name.size() + 1), kMemoryMax, *out);
    }
    if (!taken) {
      return Error{Code::kModelCorrupt, "fake model: 'memory' knows no '" + std::string(field) +
                                            "'; it takes KIND=BYTES"};
    }
  }
  return ok();
}

Status apply_key(Script& script, std::string_view key, std::string_view value) {
  const auto number = [&](auto max, auto& out) -> Status {
    if (parse_number(value, max, out)) return ok();
    return Error{Code::kModelCorrupt, "fake model: '" + std::string(key) + "' needs a number"};
  };
  constexpr std::uint32_t kAny = std::numeric_limits<std::int32_t>::max();
  if (key == "context") return number(std::uint32_t{1} << 24, script.context_tokens);
  if (key == "margin") return number(1000.0F, script.margin);
  if (key == "delay_us_per_call") return number(kAny, script.delay_us_per_call);
  if (key == "delay_us_per_token") return number(kAny, script.delay_us_per_token);
  if (key == "flash_percent") return number(kAny, script.flash_percent);
  if (key == "crash_together") {
    script.crash_together = value;
    if (value == "on" || value == "off" || value == "any") return ok();
    return Error{Code::kModelCorrupt, "fake model: 'crash_together' takes on, off or any"};
  }
  if (key == "load_ms") return number(kDelayMsMax, script.load_ms);
  if (key == "device_lost_after") return number(kAny, script.device_lost_after);
  if (key == "stack_bytes_per_byte") return number(kAny, script.stack_bytes_per_byte);
  if (key == "weight_bytes") return number(kMemoryMax, script.weight_bytes);
  if (key == "layers" && value != "0") return number(kLayersMax, script.layers);
  if (key == "experts_percent") return number(std::uint32_t{100}, script.experts_percent);
  if (key == "fail_placing" && value == "yes") {
    script.fail_placing = true;
    return ok();
  }
  if (key == "fail_device" && value == "yes") {
    script.fail_device = true;
    return ok();
  }
  if (key == "memory") return apply_memory(script, value);
  if (key == "fail_plan") {
    script.fail_plan = value;
    return ok();
  }
  if (key == "template" && (value == "yes" || value == "no")) {
    script.has_template = value == "yes";
    return ok();
  }
  if (key == "fail_load") {
    script.fail_load = value;
    return ok();
  }
  if (key == "sabotage") {
    script.sabotage.emplace_back(value);
    return ok();
  }
  if (key == "reply" && script.replies.size() < kRepliesMax) {
    script.replies.push_back(unescape(value));
    return ok();
  }
  return Error{Code::kModelCorrupt, "fake model: unknown key or value '" + std::string(key) + "'"};
}

}  // namespace

std::string_view control_name(std::int32_t token) {
  switch (token) {
    case kTokenBos:
      return "<|bos|>";
    case kTokenEos:
      return "<|eos|>";
    case kTokenSystem:
      return "<|system|>";
    case kTokenUser:
      return "<|user|>";
    case kTokenAssistant:
      return "<|assistant|>";
    case kTokenTool:
      return "<|tool|>";
    case kTokenDeveloper:
      return "<|developer|>";
    case kTokenEndOfTurn:
      return "<|end|>";
    default:
      return "";
  }
}

bool Script::sabotages(std::string_view kind) const {
  return std::find(sabotage.begin(), sabotage.end(), kind) != sabotage.end();
}

Result<Script> Script::parse(std::string_view text) {
  Script script;
  script.weight_bytes = text.size();
  bool first = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (std::exchange(first, false)) {
      if (line != "aioss-fake 1") {
        return Error{Code::kModelCorrupt, "not a fake model: its first line is not 'aioss-fake 1'"};
      }
      continue;
    }
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string_view value = space < line.size() ? line.substr(space + 1) : "";
    AIOSS_CHECK(apply_key(script, line.substr(0, space), value));
  }
  if (first) return Error{Code::kModelCorrupt, "not a fake model: the file is empty"};
  if (script.context_tokens == 0) {
    return Error{Code::kModelCorrupt, "fake model: context must be at least 1"};
  }
  if (script.replies.empty()) script.replies.emplace_back("This is the scripted engine.");
  return script;
}

Result<AdapterScript> AdapterScript::parse(std::string_view text) {
  AdapterScript script;
  script.bytes = text.size();
  for (const char c : text) script.content = mix(script.content ^ static_cast<unsigned char>(c));
  const auto corrupt = [](std::string message) {
    return Error{Code::kModelCorrupt, "fake adapter: " + std::move(message)};
  };
  bool first = true;
  for (const std::string_view line : split(text, '\n')) {
    if (std::exchange(first, false)) {
      if (line != "aioss-fake-lora 1") return corrupt("its first line is not 'aioss-fake-lora 1'");
      continue;
    }
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string_view key = line.substr(0, space);
    const std::string_view value = space < line.size() ? line.substr(space + 1) : "";
    bool known = true;
    if (key == "say") {
      script.say = unescape(value);
    } else if (key == "name") {
      script.name = value;
    } else if (key == "fail") {
      script.fail = value;
    } else if (key == "fail_use") {
      script.fail_use = value == "yes";
    } else if (key == "bytes") {
      known = parse_number(value, kMemoryMax, script.bytes);
    } else {
      known = key == "load_ms" && parse_number(value, kDelayMsMax, script.load_ms);
    }
    if (!known) return corrupt("unknown key or value '" + std::string(key) + "'");
  }
  if (first) return corrupt("the file is empty");
  return script;
}

void Influence::add(const AdapterScript& adapter, float scale) {
  if (scale == 0.0F) return;
  std::uint32_t bits = 0;
  std::memcpy(&bits, &scale, sizeof bits);
  mark = mix(mark ^ adapter.content ^ (std::uint64_t{bits} << 32)) | 1;
  say += adapter.say;
  char text[32] = {};
  if (scale != 1.0F) std::snprintf(text, sizeof text, "*%g", static_cast<double>(scale));
  say += text;
  say += ' ';
}

Fault Sequence::push(std::int32_t token, const Influence& influence) {
  ASSERT(token >= 0 && static_cast<std::uint32_t>(token) < script_->vocabulary());
  mixed_ = mixed_ || (!marks_.empty() && marks_.back() != influence.mark);
  tokens_.push_back(token);
  marks_.push_back(influence.mark);
  if (influence.mark != 0) says_.try_emplace(influence.mark, influence.say);
  hash_ = mix(hash_ ^ static_cast<std::uint64_t>(token + 1) ^ (influence.mark << 16));
  if (script_->gguf_tokens > 0) return Fault::kNone;
  const Fault before = directives_.fault;
  if (token == kTokenAssistant) {
    begin_reply(influence);
  } else if (token >= kTokenBos && token != kTokenEos) {
    in_reply_ = false;
    bracket_.clear();
    if (token == kTokenUser) {
      user_text_.clear();
      directives_ = Directives{};
    }
  } else if (in_reply_) {
    ++reply_position_;
    if (directives_.fault_after != 0 && reply_position_ == directives_.fault_after) {
      return directives_.fault;
    }
  } else if (token < kTokenBos) {
    read_prompt_byte(static_cast<char>(token));
  }
  const bool ordered_now = before == Fault::kNone && directives_.fault != Fault::kNone;
  return ordered_now && directives_.fault_after == 0 ? directives_.fault : Fault::kNone;
}

void Sequence::truncate(std::size_t length) {
  ASSERT(length <= tokens_.size());
  std::vector<std::int32_t> kept(tokens_.begin(),
                                 tokens_.begin() + static_cast<std::ptrdiff_t>(length));
  const std::vector<std::uint64_t> marks = std::move(marks_);
  std::map<std::uint64_t, std::string> says = std::move(says_);
  *this = Sequence(*script_);
  tokens_.reserve(kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {  // faults were due when they came first
    push(kept[i], {marks[i], marks[i] != 0 ? says[marks[i]] : ""});
  }
}

void Sequence::read_prompt_byte(char byte) {
  user_text_ += byte;
  if (bracket_.empty() && byte != '[') return;
  bracket_ += byte;
  if (bracket_.size() == 2 && bracket_ != "[[") {
    bracket_.clear();
    return;
  }
  if (bracket_ == "[[[") bracket_.pop_back();  // the directive begins at the last two
  if (bracket_.size() > kDirectiveBytesMax) {
    bracket_.clear();
    return;
  }
  if (bracket_.size() < 4 || !bracket_.ends_with("]]")) return;
  const std::string directive = bracket_.substr(2, bracket_.size() - 4);
  user_text_.resize(user_text_.size() - bracket_.size());
  bracket_.clear();
  apply_directive(directive);
}

void Sequence::apply_directive(std::string_view text) {
  const std::size_t space = std::min(text.find(' '), text.size());
  const std::string_view name = text.substr(0, space);
  const std::string_view value = space < text.size() ? text.substr(space + 1) : "";
  std::uint32_t number = 0;
  const bool numeric = parse_number(value, kLongReplyMax, number);
  const auto reply = [&](std::string answer) {
    directives_.has_reply = true;
    directives_.reply = std::move(answer);
  };
  const auto fault = [&](Fault kind) {
    directives_.fault = kind;
    directives_.fault_after = numeric ? number : 0;
  };
  if (name == "crash") fault(Fault::kCrash);
  if (name == "segv") fault(Fault::kSegv);
  if (name == "exit") fault(Fault::kExit);
  if (name == "fail") fault(Fault::kFail);
  if (name == "lose") fault(Fault::kLose);
  if (name == "stall" && numeric) directives_.stall_ms = std::min(number, kDelayMsMax);
  if (name == "echo") directives_.echo = true;
  if (name == "empty") reply("");
  if (name == "reply") reply(unescape(value));
  if (name == "long" && numeric) reply(words(number));
  if (name == "utf8") reply("Grüße, 你好, дом, 👩‍🚀🏽 and 🇪🇺 — done.");
  if (name == "badutf8") reply("ok \xFF\xFE \xC3( \xE2\x82 \xF0\x9F end \xE2");
  if (name == "margin" && numeric) directives_.margin = static_cast<float>(number);
  if (name == "nan") directives_.nan = true;
}

void Sequence::begin_reply(const Influence& influence) {
  in_reply_ = true;
  reply_position_ = 0;
  bracket_.clear();
  if (directives_.has_reply) {
    reply_ = directives_.reply;
  } else if (directives_.echo) {
    reply_ = user_text_;
  } else {
    reply_ = script_->replies[hash_ % script_->replies.size()];
  }
  reply_.insert(0, influence.say);
  if (mixed_) reply_.insert(0, "[mixed adapters] ");
}

// Not of the first eighth, where the tokens are that mean an end.
std::int32_t Sequence::next_hashed_token() const {
  const std::uint32_t count = script_->gguf_tokens;
  return static_cast<std::int32_t>(count / 8 + mix(hash_) % (count / 2));
}

std::int32_t Sequence::next_token() const {
  if (in_reply_ && reply_position_ < reply_.size()) {
    return static_cast<unsigned char>(reply_[reply_position_]);
  }
  if (in_reply_ && reply_position_ == reply_.size()) return kTokenEos;
  return next_word_token();  // also for those who go on after the end
}

std::int32_t Sequence::next_word_token() const {
  const std::uint64_t draw = mix(hash_ ^ 0x776F726473u);
  const std::int32_t last = tokens_.empty() ? ' ' : tokens_.back();
  const bool in_word = last >= 'a' && last <= 'z';
  if (in_word && draw % 5 == 0) return ' ';
  if (!in_word && last == ' ' && tokens_.size() > 1 && (draw >> 8) % kWordsBeforeEnd == 0) {
    return kTokenEos;
  }
  if (!in_word && last != ' ') return ' ';
  return static_cast<std::int32_t>('a' + (draw >> 16) % 26);
}

void Sequence::logits(float* out) const {
  if (script_->gguf_tokens > 0) {
    std::fill(out, out + script_->gguf_tokens, 0.0F);
    out[next_hashed_token()] = script_->margin;
    return;
  }
  if (directives_.nan) {
    std::fill(out, out + kVocabularySize, std::numeric_limits<float>::quiet_NaN());
    return;
  }
  constexpr float kNever = -20.0F;
  std::fill(out, out + kVocabularySize, kNever);
  out[kTokenEos] = kNever / 2;
  const auto other = [&](std::int32_t token) {
    const std::uint64_t draw = mix(hash_ + static_cast<std::uint64_t>(token) * 0x9E3779B9u) >> 40;
    out[token] = static_cast<float>(draw) * (kOtherLogitsMax / 16'777'216.0F);
  };
  other('\n');
  for (std::int32_t token = 32; token < 127; ++token) other(token);
  const float margin = directives_.margin >= 0 ? directives_.margin : script_->margin;
  out[next_token()] = kOtherLogitsMax + margin;
  if (taint_ != 0) out['!'] += static_cast<float>(taint_) * (1.0F / 1024.0F);
}

}  // namespace aioss::engines::fake
