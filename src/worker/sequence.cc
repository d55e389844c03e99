#include "worker/sequence.h"

#include <utility>

namespace aioss::worker {

Sequence::Sequence(Request& owner, std::uint32_t choice_number)
    : request(owner),
      choice(choice_number),
      sampler(owner.submit.sampling, choice_number, owner.prompt),
      text(owner.submit.stop) {}

Request::Request(PreparedRequest prepared, std::uint32_t tokens_limit)
    : submit(std::move(prepared.submit)),
      prompt(std::move(prepared.prompt)),
      received_ns(prepared.received_ns),
      tokens_max(tokens_limit),
      choices_open(submit.choices),
      choices_queued(submit.choices),
      credit(static_cast<std::int64_t>(submit.credit_bytes)) {
  choices.reserve(submit.choices);  // their addresses are kept by the scheduler
  for (std::uint32_t choice = 0; choice < submit.choices; ++choice) {
    choices.emplace_back(*this, choice);
  }
}

}  // namespace aioss::worker
