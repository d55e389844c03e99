// From the JSON body of a request to what the gateway runs, and nothing else: no I/O, no state.
// Every field that OpenAI's two generation endpoints know is used, ignored because it changes
// nothing, or refused by name (rules.h); a field that nobody knows is refused with the nearest
// known one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai/rules.h"
#include "base/result.h"
#include "ipc/messages.h"
#include "runtime/calls/adapter_wish.h"

namespace aioss::api::openai {

// Deepest request that makes sense: body, messages, message, content, part, with room for metadata.
inline constexpr std::size_t kJsonDepthMax = 32;
// Model names are file names.
inline constexpr std::size_t kModelNameBytesMax = 255;

struct ParsedRequest {
  Endpoint endpoint = Endpoint::kChat;
  std::string model;
  ipc::Submit submit;  // without id and date
  bool seed_given = false;
  bool stream = false;
  bool include_usage = false;
  std::optional<std::chrono::seconds> keep_alive = {};  // of its model, after it; not OpenAI's
  std::vector<runtime::AdapterWish> adapters = {};      // likewise; `lora` on the wire
};

// kInvalidArgument or kUnsupported, with the name of the field in Error::field.
Result<ParsedRequest> parse_chat(std::string_view body);
Result<ParsedRequest> parse_completion(std::string_view body);

}  // namespace aioss::api::openai
