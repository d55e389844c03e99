// The two shapes of a prompt on the wire: the messages of a chat, and the prompt of a completion.
// Pure.
#pragma once

#include <vector>

#include "api/openai/fields.h"
#include "base/result.h"
#include "ipc/messages.h"

namespace aioss::api::openai {

// `body` is the whole request; the field is looked up in it.
Result<std::vector<ipc::ChatMessage>> parse_messages(const Json& body);
Result<ipc::Prompt> parse_prompt(const Json& body);

}  // namespace aioss::api::openai
