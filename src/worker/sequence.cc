#include "worker/sequence.h"

#include <algorithm>
#include <utility>

namespace aioss::worker {
namespace {

std::vector<Token> to_prefill(std::vector<Token> tokens, const ipc::Submit& submit,
                              bool prefill_resumed) {
  // Choices share their prompt, so only one by itself can have its own tokens behind it.
  if (prefill_resumed && submit.resume.size() == 1) {
    const std::vector<Token>& made = submit.resume.front().tokens;
    tokens.insert(tokens.end(), made.begin(), made.end());
  }
  return tokens;
}

}  // namespace

Sequence::Sequence(Request& owner, std::uint32_t choice_number, std::span<const Token> asked)
    : request(owner),
      choice(choice_number),
      sampler(owner.submit.sampling, choice_number, asked),
      text(owner.submit.stop) {
  if (!owner.submit.resume.empty() && owner.submit.resume[choice].ended) phase = Phase::kDone;
}

Request::Request(PreparedRequest prepared, std::uint32_t tokens_limit, bool prefill_resumed,
                 const AdapterSet& set)
    : submit(std::move(prepared.submit)),
      adapters(set),
      shares_prefixes_as(prefix_tenant(submit.tenant, set)),
      asked_tokens(static_cast<std::uint32_t>(prepared.prompt.size())),
      prompt(to_prefill(std::move(prepared.prompt), submit, prefill_resumed)),
      received_ns(prepared.received_ns),
      chat(prepared.chat),
      tokens_max(tokens_limit),
      choices_open(submit.choices),
      credit(static_cast<std::int64_t>(submit.credit_bytes)),
      leaves_prefix(submit.leaves_prefix) {
  const std::span<const Token> asked = std::span<const Token>(prompt).first(asked_tokens);
  choices.reserve(submit.choices);  // their addresses are kept by the scheduler
  for (std::uint32_t choice = 0; choice < submit.choices; ++choice) {
    choices.emplace_back(*this, choice, asked);
  }
  choices_open -= static_cast<std::uint32_t>(
      std::count_if(choices.begin(), choices.end(),
                    [](const Sequence& sequence) { return sequence.phase == Phase::kDone; }));
  choices_queued = choices_open;
}

std::span<const Token> Request::resumed(std::uint32_t choice) const {
  if (submit.resume.empty()) return {};
  return submit.resume[choice].tokens;
}

}  // namespace aioss::worker
