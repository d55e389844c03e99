// The text side of a llama.cpp model: its vocabulary and its chat template.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "engines/llama/backend.h"
#include "engines/llama/chat_template.h"
#include "engines/llama/control_tokens.h"
#include "engines/llama/llama_engine.h"
#include "engines/llama/model.h"

namespace aioss::engines::llama {
namespace {

using engine::Token;

class LlamaTextModel final : public engine::TextModel {
 public:
  // Of a model that is its own.
  explicit LlamaTextModel(ModelPointer model) : LlamaTextModel(*model) { own_ = std::move(model); }
  ~LlamaTextModel() override {
    const LogScope log;
    own_.reset();
  }

  explicit LlamaTextModel(const llama_model& model)
      : vocab_(llama_model_get_vocab(&model)), controls_(vocab_) {
    facts_.vocabulary_size = static_cast<std::uint32_t>(llama_vocab_n_tokens(vocab_));
    const std::int32_t context = llama_model_n_ctx_train(&model);
    facts_.context_tokens_train = context > 0 ? static_cast<std::uint32_t>(context) : 0;
    Result<std::unique_ptr<ChatTemplate>> chat = ChatTemplate::create(model);
    if (!chat) {
      chat_error_ = std::move(chat).error();
      return;
    }
    chat_ = std::move(*chat);
    facts_.has_chat_template = true;
    facts_.chat_template_sha3 = codec::to_hex(crypto::sha3_256(as_bytes(chat_->source())));
  }

  engine::TextFacts facts() const override { return facts_; }

  Result<std::vector<Token>> tokenize(std::string_view text, bool add_special,
                                      bool parse_special) const override {
    const LogScope log;
    return tokenize_text(vocab_, text, add_special, parse_special);
  }

  std::string piece(Token token) const override { return piece_of(vocab_, token, false); }
  std::string display(Token token) const override { return piece_of(vocab_, token, true); }

  bool is_end_of_generation(Token token) const override {
    return token >= 0 && token < llama_vocab_n_tokens(vocab_) && llama_vocab_is_eog(vocab_, token);
  }

  Result<std::vector<Token>> apply_chat_template(const std::vector<engine::ChatMessage>& messages,
                                                 std::int64_t now_unix_s,
                                                 const engine::TextCheck& check) const override {
    if (!chat_) return chat_error_;
    AIOSS_TRY(const RenderedPrompt rendered, chat_->render(messages, now_unix_s));
    const std::vector<PromptPart>& parts = rendered.parts;
    std::string prompt;
    for (const PromptPart& part : parts) prompt += part.text;
    if (check) AIOSS_CHECK(check(prompt));
    const LogScope log;
    if (!rendered.origin_known) {
      AIOSS_CHECK(check_plain(messages));
    } else if (controls_.touches_input(parts)) {
      return controls_.tokenize(parts);
    }
    // The ordinary case, exactly as llama.cpp does it.
    return tokenize_text(vocab_, prompt, true, true);
  }

 private:
  // Without knowing who wrote which byte, a control token's text cannot be let through.
  Status check_plain(const std::vector<engine::ChatMessage>& messages) const {
    for (const engine::ChatMessage& message : messages) {
      if (!controls_.touches_input({{true, message.content}})) continue;
      return Error{Code::kInvalidArgument,
                   "a message holds the text of a control token, which this model's template does "
                   "not let us tell apart; remove it",
                   "messages"};
    }
    return ok();
  }

  ModelPointer own_;          // null: the model is somebody else's
  const llama_vocab* vocab_;  // of the model, which outlives this if it is not own_
  ControlTokens controls_;
  engine::TextFacts facts_;
  std::unique_ptr<ChatTemplate> chat_;
  Error chat_error_;
};

}  // namespace

Result<std::unique_ptr<engine::TextModel>> open_text(engine::Model& model) {
  ASSERT(&model.engine() == entry());
  return std::unique_ptr<engine::TextModel>(new LlamaTextModel(*model_of(model.handle())->model));
}

Result<std::unique_ptr<engine::TextModel>> open_vocabulary(const std::vector<int>& fds) {
  ModelPointer model;
  aioss_error error = {};
  const aioss_status status = load_vocabulary(fds, model, &error);
  AIOSS_CHECK(engine::check(status, error, "cannot read the model's vocabulary"));
  return std::unique_ptr<engine::TextModel>(new LlamaTextModel(std::move(model)));
}

}  // namespace aioss::engines::llama
