#include "runtime/requests/request_checks.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/strings.h"
#include "base/suggest.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {
namespace {

// Of its texts, as the client sent them.
std::uint64_t bytes_of(const ipc::Prompt& prompt) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return text->size();
  std::uint64_t bytes = 0;
  if (const auto* messages = std::get_if<std::vector<ipc::ChatMessage>>(&prompt)) {
    for (const ipc::ChatMessage& message : *messages) bytes += message.content.size();
  }
  return bytes;  // tokens are counted by the worker
}

}  // namespace

Status check_limits(const GenerateCall& call) {
  const std::uint64_t most = call.principal.limits.prompt_bytes_max;
  const std::uint64_t bytes = bytes_of(call.request.prompt);
  if (most == 0 || bytes <= most) return ok();
  const bool chat = std::holds_alternative<std::vector<ipc::ChatMessage>>(call.request.prompt);
  return Error{Code::kTooLarge,
               "the prompt has " + std::to_string(bytes) + " bytes and your tenant may send " +
                   std::to_string(most) + "; shorten the prompt",
               chat ? "messages" : "prompt"};
}

Status check_adapters(const GenerateCall& call, const ModelEntry& model, ipc::Profile profile) {
  const auto& wanted = call.adapters;
  if (wanted.size() > ipc::kAdaptersMax) {
    return Error{Code::kInvalidArgument,
                 "a request may ask for at most " + std::to_string(ipc::kAdaptersMax) +
                     " adapters, not " + std::to_string(wanted.size()),
                 "lora"};
  }
  for (auto one = wanted.begin(); one != wanted.end(); ++one) {
    const std::string shown =
        one_line(replace_invalid_utf8(one->name.substr(0, kModelNameBytesMax)));
    if (!std::isfinite(one->scale) || std::fabs(one->scale) > ipc::kAdapterScaleMax) {
      return Error{Code::kInvalidArgument,
                   "the scale of adapter '" + shown + "' must be a number from -100 to 100",
                   "lora"};
    }
    const bool twice = std::any_of(
        wanted.begin(), one, [&](const AdapterWish& other) { return other.name == one->name; });
    if (twice) {
      return Error{Code::kInvalidArgument, "the adapter '" + shown + "' is asked for twice",
                   "lora"};
    }
    const bool there =
        std::find(model.adapters.begin(), model.adapters.end(), one->name) != model.adapters.end();
    if (there) continue;
    const std::string hint = did_you_mean(one->name, model.adapters);
    return Error{
        Code::kNotFound,
        "model '" + model.name + "' has no adapter '" + shown + "'" +
            (hint.empty() ? "; GET /v1/models/" + model.name + " lists those it has" : hint),
        "lora"};
  }
  const auto used =
      std::count_if(wanted.begin(), wanted.end(), [](const auto& one) { return one.scale != 0; });
  if (profile != ipc::Profile::kFast &&
      static_cast<std::size_t>(used) > ipc::kAdaptersOutsideFastMax) {
    return Error{Code::kInvalidArgument,
                 "in profile " + std::string(ipc::name(profile)) +
                     " at most two adapters can be used at once",
                 "lora"};
  }
  return ok();
}

// The frame is decoded again as the worker would do it: one place has the bounds of every field,
// and a request that would make a worker refuse the conversation never reaches it.
Result<std::size_t> check_frame(const ipc::Submit& request) {
  const Bytes frame = ipc::encode(request);
  if (frame.size() > ipc::kFrameBytesMax) {
    return Error{Code::kTooLarge, "the request is larger than 16 MiB"};
  }
  const Result<ipc::ToWorker> decoded = ipc::decode_to_worker(frame);
  if (!decoded) return Error{Code::kInvalidArgument, decoded.error().message};
  const auto* same = std::get_if<ipc::Submit>(&*decoded);
  if (same == nullptr || !(*same == request)) {  // texts over a bound are cut by the encoder
    return Error{Code::kInvalidArgument,
                 "the request holds a text that is too long or is not valid UTF-8"};
  }
  return frame.size();
}

}  // namespace aioss::runtime
