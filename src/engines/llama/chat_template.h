// A model's own chat template, rendered by llama-common's Jinja interpreter, with the origin of
// every byte: the template, or a message. Templates come with the model file and are untrusted code
// in a small language: use this in a worker only. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/text.h"
#include "engines/llama/control_tokens.h"
#include "llama.h"

namespace aioss::engines::llama {

struct RenderedPrompt {
  std::vector<PromptPart> parts;
  bool origin_known = true;  // false: one part, and which bytes came from a message is not known
};

class ChatTemplate final {
 public:
  // kUnsupported if the model has none, or one that cannot be parsed. Never a default one.
  static Result<std::unique_ptr<ChatTemplate>> create(const llama_model& model);
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // The prompt for the assistant's next turn. A begin token that the template writes itself is left
  // out if the tokenizer adds one. kInvalidArgument if the template refuses these messages.
  Result<RenderedPrompt> render(const std::vector<engine::ChatMessage>& messages,
                                std::int64_t now_unix_s) const;
  // As the model file has it.
  const std::string& source() const { return source_; }
  // False if the template needs llama-common's special handling, so that the origin of bytes has to
  // be found by searching for the messages in the prompt.
  bool marks_input() const { return marks_input_; }

 private:
  struct Library;
  ChatTemplate();
  Result<std::vector<PromptPart>> render_marked(const std::vector<engine::ChatMessage>& messages,
                                                std::int64_t now_unix_s) const;
  Result<std::string> render_by_library(const std::vector<engine::ChatMessage>& messages,
                                        std::int64_t now_unix_s) const;
  bool agrees_with_library() const;

  std::unique_ptr<Library> library_;
  std::string source_;
  bool adds_bos_ = false;
  bool adds_eos_ = false;
  bool marks_input_ = false;
};

}  // namespace aioss::engines::llama
