// The two wire forms of log probabilities: the `content` list of a chat, and the four parallel
// lists of a completion. Values; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "api/openai/rules.h"
#include "ipc/messages.h"

namespace aioss::api::openai {

// Collects tokens in wire form, for a chunk or for a whole choice.
class LogprobText final {
 public:
  explicit LogprobText(Endpoint endpoint) : endpoint_(endpoint) {}

  void add(const ipc::TokenLogprob& token);
  // The object for all that was added since the last take.
  void take(std::string& out);
  bool empty() const { return empty_; }
  std::size_t bytes() const;

 private:
  void add_chat(const ipc::TokenLogprob& token);
  void add_completion(const ipc::TokenLogprob& token);
  void next(std::string& list) const;

  const Endpoint endpoint_;
  bool empty_ = true;
  std::string tokens_;    // chat: the objects; completion: the texts
  std::string logprobs_;  // completion only, as the next two
  std::string tops_;
  std::string offsets_;
  std::uint64_t characters_ = 0;  // of the tokens so far: text_offset of the next one
};

// A token's text for a reader: itself if it is UTF-8, else its bytes written \xNN, as OpenAI does.
std::string token_text(std::string_view bytes);

}  // namespace aioss::api::openai
