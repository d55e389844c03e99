// One answer of `aioss run`, from submit to its last record: streams the text as it comes, cancels
// on Ctrl-C or when the reader of standard output is gone. Blocking, one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "cli/interrupt.h"
#include "runtime/gateway.h"

namespace aioss::cli {

struct GenerationResult {
  std::string request_id;
  std::string text;
  std::uint64_t seed = 0;
  ipc::Profile profile = ipc::Profile::kFast;
  std::optional<std::uint64_t> request_record, end_record;  // the end: INFER_RESULT or INFER_ABORT
  std::uint32_t prompt_tokens = 0, completion_tokens = 0;
  std::optional<runtime::ChoiceEnd> end;         // if it ended by itself
  std::optional<Error> error;                    // otherwise; kCancelled after Ctrl-C
  std::int64_t first_text_ns = 0, total_ns = 0;  // from submit
};

// `show` gets each piece of text and returns false if there is nobody to show it to.
GenerationResult generate(runtime::Gateway& gateway, const Clock& clock, Interrupt& interrupt,
                          runtime::GenerateCall call,
                          const std::function<bool(std::string_view)>& show);

// "24 tokens in 1.2 s (20.3/s), first after 120 ms, prompt 31 tokens, records 12 and 13, seed 42".
std::string describe(const GenerationResult& result);
// One JSON object, with a line end.
std::string as_json(const GenerationResult& result, const std::string& model);

}  // namespace aioss::cli
