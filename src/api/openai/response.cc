#include "api/openai/response.h"

#include <algorithm>
#include <utility>

#include "api/openai/json_text.h"
#include "base/assert.h"

namespace aioss::api::openai {
namespace {

constexpr std::string_view kRequestPrefix = "req_";
// Of one chunk without its text, so that a token's chunk is one allocation.
constexpr std::size_t kChunkBytes = 512;

bool is_chat(const AnswerFacts& facts) {
  return facts.endpoint == Endpoint::kChat;
}

// The members that every object of an answer begins with.
std::string head(const AnswerFacts& facts, std::string_view object) {
  std::string_view id = facts.request_id;
  if (id.starts_with(kRequestPrefix)) id.remove_prefix(kRequestPrefix.size());
  std::string out = "{\"id\":";
  append_string(out, std::string(is_chat(facts) ? "chatcmpl-" : "cmpl-") + std::string(id));
  out += ",\"object\":";
  append_string(out, object);
  out += ",\"created\":";
  append_signed(out, facts.created_unix_s);
  out += ",\"model\":";
  append_string(out, facts.model);
  out += ",\"system_fingerprint\":";
  append_string(out, facts.fingerprint);
  return out;
}

void append_usage(const runtime::StreamDone& done, std::string& out) {
  out += "{\"prompt_tokens\":";
  append_unsigned(out, done.prompt_tokens);
  out += ",\"completion_tokens\":";
  append_unsigned(out, done.completion_tokens);
  out += ",\"total_tokens\":";
  append_unsigned(out, std::uint64_t{done.prompt_tokens} + done.completion_tokens);
  out += ",\"prompt_tokens_details\":{\"cached_tokens\":";
  append_unsigned(out, done.cached_tokens);
  out += "}}";
}

// `end_name`: of the record that ended it, if there is one.
std::string aioss_member(const AnswerFacts& facts, std::string_view end_name,
                         std::optional<std::uint64_t> end_record) {
  std::string out = ",\"aioss\":{\"request_id\":";
  append_string(out, facts.request_id);
  if (facts.request_record.has_value()) {
    out += ",\"request_record\":";
    append_unsigned(out, *facts.request_record);
  }
  if (end_record.has_value()) {
    out += ",\"";
    out += end_name;
    out += "\":";
    append_unsigned(out, *end_record);
  }
  out += ",\"profile\":";
  append_string(out, ipc::name(facts.profile));
  out += ",\"seed\":";
  append_unsigned(out, facts.seed);
  out += '}';
  return out;
}

void append_estimate(std::string& out, const std::optional<std::uint32_t>& seconds) {
  out += ",\"estimate_seconds\":";
  if (seconds.has_value()) {
    append_unsigned(out, *seconds);
  } else {
    out += "null";
  }
}

// In hundredths.
void append_fraction(std::string& out, float fraction) {
  constexpr float kHundred = 100;
  const auto hundredths = static_cast<std::uint64_t>(std::clamp(fraction, 0.0F, 1.0F) * kHundred);
  out += hundredths >= 100 ? "1" : hundredths >= 10 ? "0." : "0.0";
  if (hundredths < 100) append_unsigned(out, hundredths);
}

void append_wait(std::string& out, const ModelWait& wait) {
  out += "{\"state\":";
  append_string(out, wait.state);
  out += ",\"fraction\":";
  append_fraction(out, wait.fraction);
  out += ",\"seconds\":";
  append_unsigned(out, wait.seconds);
  append_estimate(out, wait.estimate_seconds);
  out += ",\"position\":";
  append_unsigned(out, wait.position);
  out += '}';
}

std::vector<LogprobText> one_per_choice(const AnswerFacts& facts) {
  return std::vector<LogprobText>(facts.choices, LogprobText(facts.endpoint));
}

}  // namespace

std::string fingerprint(const ipc::EngineFacts& engine, ipc::Profile profile) {
  std::string out = "aioss-" AIOSS_VERSION;
  for (const std::string_view part :
       {std::string_view(engine.name), std::string_view(engine.build_id), ipc::name(profile)}) {
    if (part.empty()) continue;
    out += '-';
    out += part;
  }
  return out;
}

ChunkWriter::ChunkWriter(AnswerFacts facts)
    : facts_(std::move(facts)), logprobs_(one_per_choice(facts_)) {
  head_ = "data: " + head(facts_, is_chat(facts_) ? "chat.completion.chunk" : "text_completion");
  tail_ = facts_.include_usage ? "],\"usage\":null}\n\n" : "]}\n\n";
}

void ChunkWriter::open_chunk(std::uint32_t choice, std::string& out) const {
  out += head_;
  out += ",\"choices\":[{\"index\":";
  append_unsigned(out, choice);
}

void ChunkWriter::begin(std::string& out) {
  if (!is_chat(facts_)) return;
  for (std::uint32_t choice = 0; choice < facts_.choices; ++choice) {
    open_chunk(choice, out);
    out +=
        ",\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"
        ",\"logprobs\":null,\"finish_reason\":null}";
    out += tail_;
  }
}

void ChunkWriter::add(const runtime::StreamDelta& delta, std::string& out) {
  ASSERT(delta.choice < facts_.choices);
  flush_held(out);
  const bool with_logprobs = facts_.logprobs && !delta.logprobs.empty();
  if (delta.text.empty() && !with_logprobs) return;
  if (out.capacity() - out.size() < kChunkBytes) out.reserve(2 * out.size() + kChunkBytes);
  open_chunk(delta.choice, out);
  out += is_chat(facts_) ? ",\"delta\":{\"content\":" : ",\"text\":";
  append_string(out, delta.text);
  if (is_chat(facts_)) out += '}';
  out += ",\"logprobs\":";
  if (with_logprobs) {
    LogprobText& logprobs = logprobs_[delta.choice];
    for (const ipc::TokenLogprob& token : delta.logprobs) logprobs.add(token);
    logprobs.take(out);
  } else {
    out += "null";
  }
  out += ",\"finish_reason\":null}";
  out += tail_;
}

void ChunkWriter::add(const runtime::ChoiceEnd& end, std::string& out) {
  ASSERT(end.choice < facts_.choices);
  flush_held(out);
  held_ = end;
}

void ChunkWriter::write_finish(const runtime::ChoiceEnd& end, std::string_view aioss,
                               std::string& out) const {
  open_chunk(end.choice, out);
  out += is_chat(facts_) ? ",\"delta\":{}" : ",\"text\":\"\"";
  out += ",\"logprobs\":null,\"finish_reason\":";
  append_string(out, ipc::name(end.reason));
  out += "}]";
  if (facts_.include_usage) out += ",\"usage\":null";
  out += aioss;
  out += "}\n\n";
}

void ChunkWriter::flush_held(std::string& out) {
  if (!held_.has_value()) return;
  write_finish(*held_, "", out);
  held_.reset();
}

void ChunkWriter::done(const runtime::StreamDone& done, std::string& out) {
  const std::string aioss = aioss_member(facts_, "result_record", done.result_record);
  if (facts_.include_usage) {
    flush_held(out);
    out += head_;
    out += ",\"choices\":[],\"usage\":";
    append_usage(done, out);
    out += aioss;
    out += "}\n\n";
  } else if (held_.has_value()) {
    write_finish(*held_, aioss, out);
    held_.reset();
  }
  out += "data: [DONE]\n\n";
}

void ChunkWriter::fail(const runtime::StreamFailed& failed, std::string& out) {
  flush_held(out);
  out += "data: ";
  out += error_body(failed.error);
  out.pop_back();  // the error's object gets one more member
  out += aioss_member(facts_, "abort_record", failed.abort_record);
  out += "}\n\n";
}

std::string progress_event(const AnswerFacts& facts, const ModelWait& wait) {
  std::string out = "event: aioss.progress\ndata: ";
  out += head(facts, is_chat(facts) ? "chat.completion.chunk" : "text_completion");
  out += ",\"choices\":[],\"aioss\":{\"request_id\":";
  append_string(out, facts.request_id);
  out += ",\"progress\":";
  append_wait(out, wait);
  out += "}}\n\n";
  return out;
}

AnswerWriter::AnswerWriter(AnswerFacts facts) : facts_(std::move(facts)) {
  for (std::uint32_t i = 0; i < facts_.choices; ++i) choices_.emplace_back(facts_.endpoint);
}

Status AnswerWriter::add(const runtime::StreamDelta& delta) {
  ASSERT(delta.choice < choices_.size());
  Choice& choice = choices_[delta.choice];
  const std::size_t before = choice.logprobs.bytes();
  choice.text += delta.text;
  if (facts_.logprobs) {
    for (const ipc::TokenLogprob& token : delta.logprobs) choice.logprobs.add(token);
  }
  bytes_ += delta.text.size() + choice.logprobs.bytes() - before;
  if (bytes_ <= kAnswerBytesMax) return ok();
  return Error{Code::kTooLarge, "the answer is over " + std::to_string(kAnswerBytesMax >> 20) +
                                    " MiB; ask with \"stream\": true, or for less"};
}

void AnswerWriter::add(const runtime::ChoiceEnd& end) {
  ASSERT(end.choice < choices_.size());
  choices_[end.choice].reason = end.reason;
}

void AnswerWriter::write_choice(std::uint32_t index, std::string& out) {
  Choice& choice = choices_[index];
  out += index == 0 ? "{\"index\":" : ",{\"index\":";
  append_unsigned(out, index);
  out += is_chat(facts_) ? ",\"message\":{\"role\":\"assistant\",\"content\":" : ",\"text\":";
  append_string(out, choice.text);
  if (is_chat(facts_)) out += ",\"refusal\":null}";
  out += ",\"logprobs\":";
  if (facts_.logprobs) {
    choice.logprobs.take(out);
  } else {
    out += "null";
  }
  out += ",\"finish_reason\":";
  append_string(out, ipc::name(choice.reason));
  out += '}';
}

std::string AnswerWriter::done(const runtime::StreamDone& done) {
  std::string out = head(facts_, is_chat(facts_) ? "chat.completion" : "text_completion");
  out.reserve(out.size() + bytes_ + bytes_ / 8 + kChunkBytes * (choices_.size() + 1));
  out += ",\"choices\":[";
  for (std::uint32_t i = 0; i < facts_.choices; ++i) write_choice(i, out);
  out += "],\"usage\":";
  append_usage(done, out);
  out += aioss_member(facts_, "result_record", done.result_record);
  out += '}';
  return out;
}

std::string error_body(const Error& error) {
  const CodeInfo& code = info(error.code);
  std::string out = "{\"error\":{\"message\":";
  append_string(out, error.message);
  out += ",\"type\":";
  append_string(out, code.wire_type);
  out += ",\"param\":";
  if (error.field.empty()) {
    out += "null";
  } else {
    append_string(out, error.field);
  }
  out += ",\"code\":";
  append_string(out, code.name);
  if (error.backlog.has_value()) {
    out += ",\"position\":";
    append_unsigned(out, error.backlog->position);
    append_estimate(out, error.backlog->seconds);
  }
  if (error.wait.has_value()) {
    out += ",\"load\":";
    append_wait(out, *error.wait);
  }
  out += "}}";
  return out;
}

namespace {

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out += ",\"";
  out += name;
  out += "\":";
  append_string(out, text);
}

void append_member(std::string& out, std::string_view name, std::uint64_t number) {
  out += ",\"";
  out += name;
  out += "\":";
  append_unsigned(out, number);
}

void append_facts(std::string& out, const ipc::Ready& facts) {
  append_member(out, "architecture", facts.architecture);
  append_member(out, "parameters", facts.parameter_count);
  append_member(out, "context_tokens", facts.cells_per_stream);
  append_member(out, "context_tokens_train", facts.context_tokens_train);
  append_member(out, "parallel", facts.streams);
  append_member(out, "profile", ipc::name(facts.profile));
  out += ",\"chat\":";
  append_bool(out, facts.has_chat_template);
}

void append_names(std::string& out, std::string_view member, const std::vector<std::string>& all) {
  if (all.empty()) return;
  out += ",\"";
  out += member;
  out += "\":[";
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0) out += ',';
    append_string(out, all[i]);
  }
  out += ']';
}

void append_residence(std::string& out, const runtime::ModelEntry& entry) {
  const runtime::Residence& residence = entry.residence;
  if (entry.state == "loading") {
    out += ",\"load_fraction\":";
    append_fraction(out, entry.load_fraction);
  }
  out += ",\"pinned\":";
  append_bool(out, residence.pinned);
  if (residence.unloading) out += ",\"unloading\":true";
  const auto seconds = [&](std::string_view name, const std::optional<std::int64_t>& at) {
    if (at.has_value())
      append_member(out, name, static_cast<std::uint64_t>(std::max<std::int64_t>(*at, 0)));
  };
  seconds("idle_since", residence.idle_unix_s);
  seconds("expires_at", residence.expires_unix_s);
  if (!entry.last_error.has_value()) return;
  append_member(out, "error", entry.last_error->message);
  append_member(out, "error_code", info(entry.last_error->code).name);
  if (residence.retry_seconds.has_value())
    append_member(out, "retry_seconds", std::uint64_t{*residence.retry_seconds});
}

// Nothing, as long as nobody has said anything about it.
void append_engine(std::string& out, const runtime::EngineStatus& status) {
  if (status.orders == 0 && status.step.empty() && !status.pinned) return;
  out += ",\"engine_switch\":{\"orders\":";
  append_unsigned(out, status.orders);
  append_member(out, "step", status.step);
  append_member(out, "outcome", status.outcome);
  append_member(out, "reason", status.reason);
  append_member(out, "before", status.before);
  out += ",\"pinned\":";
  append_bool(out, status.pinned);
  out += '}';
}

}  // namespace

std::string model_object(const runtime::ModelEntry& entry) {
  std::string out = "{\"id\":";
  append_string(out, entry.name);
  out += ",\"object\":\"model\",\"created\":";
  append_signed(out, entry.modified_unix_s);
  out += ",\"owned_by\":\"aioss\",\"aioss\":{\"state\":";
  append_string(out, entry.state);
  const std::string& engine = entry.engine_status.engine;
  append_member(out, "engine", engine.empty() ? entry.engine : engine);
  append_member(out, "file_bytes", entry.file_bytes);
  if (!entry.sha256.empty()) append_member(out, "sha256", entry.sha256);
  if (entry.facts.has_value()) append_facts(out, *entry.facts);
  append_names(out, "aliases", entry.aliases);
  append_names(out, "adapters", entry.adapters);
  append_residence(out, entry);
  append_engine(out, entry.engine_status);
  out += "}}";
  return out;
}

std::string model_list(const std::vector<runtime::ModelEntry>& entries) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out += ',';
    out += model_object(entries[i]);
  }
  out += "]}";
  return out;
}

}  // namespace aioss::api::openai
