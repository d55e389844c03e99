#include "cli/generation.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/clock.h"
#include "cli/term.h"
#include "codec/json.h"

namespace aioss::cli {
namespace {

// How soon Ctrl-C is noticed while the model is silent.
constexpr std::chrono::milliseconds kAnswerPoll{50};

double seconds(std::int64_t ns) {
  return static_cast<double>(ns) / kNsPerSecond;
}
double seconds(std::uint64_t ns) {
  return static_cast<double>(ns) / kNsPerSecond;
}

// Takes one event into the result; true if it was the last.
class Collector {
 public:
  Collector(GenerationResult& result, const std::function<bool(std::string_view)>& show)
      : result_(result), show_(show) {}

  bool reader_gone() const { return reader_gone_; }

  bool operator()(runtime::StreamStarted& event) {
    result_.request_record = event.request_record;
    result_.prompt_tokens = event.prompt_tokens;
    return false;
  }
  bool operator()(runtime::StreamDelta& event) {
    result_.text += event.text;
    result_.completion_tokens += static_cast<std::uint32_t>(event.tokens.size());
    if (!event.text.empty() && !reader_gone_ && !show_(event.text)) reader_gone_ = true;
    return false;
  }
  bool operator()(runtime::ChoiceEnd& event) {
    result_.end = event;
    return false;
  }
  bool operator()(runtime::StreamDone& event) {
    result_.end_record = event.result_record;
    result_.prompt_tokens = event.prompt_tokens;
    result_.completion_tokens = event.completion_tokens;
    return true;
  }
  bool operator()(runtime::StreamFailed& event) {
    result_.end_record = event.abort_record;
    result_.error = std::move(event.error);
    return true;
  }

 private:
  GenerationResult& result_;
  const std::function<bool(std::string_view)>& show_;
  bool reader_gone_ = false;
};

}  // namespace

GenerationResult generate(runtime::Gateway& gateway, const Clock& clock, Interrupt& interrupt,
                          runtime::GenerateCall call,
                          const std::function<bool(std::string_view)>& show) {
  GenerationResult result;
  const std::int64_t start_ns = clock.monotonic_ns();
  auto submitted = gateway.submit(std::move(call));
  if (!submitted) {
    result.error = std::move(submitted).error();
    return result;
  }
  const std::shared_ptr<runtime::Stream> stream = std::move(submitted).value();
  result.request_id = stream->request_id();
  result.seed = stream->seed();
  result.profile = stream->profile();
  Collector collect(result, show);
  bool cancelled = false;
  for (;;) {
    auto event = stream->next_for(kAnswerPoll);
    if (event) {
      const bool last = std::visit(collect, *event);
      if (result.first_text_ns == 0 && !result.text.empty()) {
        result.first_text_ns = clock.monotonic_ns() - start_ns;
      }
      if (last) break;
    }
    if (!cancelled && (collect.reader_gone() || interrupt.take())) {
      cancelled = true;
      stream->cancel();  // the stream still ends, once its record is durable
    }
  }
  result.total_ns = clock.monotonic_ns() - start_ns;
  return result;
}

std::string describe(const GenerationResult& result) {
  std::string out = std::to_string(result.completion_tokens) + " tokens in " +
                    human_seconds(seconds(result.total_ns));
  if (result.end && result.end->timings.decode_ns > 0 && result.completion_tokens > 1) {
    std::array<char, 32> rate{};
    std::snprintf(rate.data(), rate.size(), " (%.1f/s)",
                  (result.completion_tokens - 1) / seconds(result.end->timings.decode_ns));
    out += rate.data();
  }
  if (result.first_text_ns > 0) {
    out += ", first after " + human_seconds(seconds(result.first_text_ns));
  }
  out += ", prompt " + std::to_string(result.prompt_tokens) + " tokens";
  if (result.end) out += ", ended by " + std::string(ipc::name(result.end->reason));
  if (result.request_record && result.end_record) {
    out += ", records " + std::to_string(*result.request_record) + " and " +
           std::to_string(*result.end_record);
  }
  return out + ", seed " + std::to_string(result.seed);
}

std::string as_json(const GenerationResult& result, const std::string& model) {
  codec::OrderedJson out;
  out["model"] = model;
  out["request_id"] = result.request_id;
  out["text"] = result.text;
  if (result.end) {
    out["finish_reason"] = ipc::name(result.end->reason);
  } else if (result.error) {
    out["finish_reason"] = result.error->code == Code::kCancelled ? "cancelled" : "error";
  }
  out["usage"]["prompt_tokens"] = result.prompt_tokens;
  out["usage"]["completion_tokens"] = result.completion_tokens;
  out["seed"] = result.seed;
  out["profile"] = ipc::name(result.profile);
  if (result.request_record) out["request_record"] = *result.request_record;
  if (result.end_record) out["result_record"] = *result.end_record;
  out["timings"]["first_text_ns"] = result.first_text_ns;
  out["timings"]["total_ns"] = result.total_ns;
  if (result.end) {
    out["timings"]["queue_ns"] = result.end->timings.queue_ns;
    out["timings"]["prefill_ns"] = result.end->timings.prefill_ns;
    out["timings"]["decode_ns"] = result.end->timings.decode_ns;
  }
  if (result.error) {
    out["error"]["code"] = info(result.error->code).name;
    out["error"]["message"] = result.error->message;
  }
  return codec::dump_json(out) + "\n";
}

}  // namespace aioss::cli
