#include "engines/llama/chat_template.h"

#include <chrono>
#include <ctime>
#include <exception>
#include <utility>

#include "chat.h"
#include "engines/llama/backend.h"
#include "jinja/caps.h"
#include "jinja/runtime.h"
#include "json.h"

namespace aioss::engines::llama {
namespace {

using engine::ChatMessage;

constexpr std::size_t kTemplateBytesMax = std::size_t{1} << 20;  // the largest known has 30 KiB

// "02 Jan 2006" in UTC: a prompt must not depend on where the server stands.
std::string format_date(std::int64_t unix_s, const char* format) {
  const auto time = static_cast<std::time_t>(unix_s);
  std::tm parts = {};
  gmtime_r(&time, &parts);
  char text[64] = {};
  const std::size_t size = std::strftime(text, sizeof text, format, &parts);
  return {text, size};
}

// What templates call for the date: the request's time, in UTC, where llama-common would take the
// machine's clock and read its time zone from a file.
jinja::value time_function(std::int64_t now_unix_s) {
  return jinja::mk_val<jinja::value_func>(
      "strftime_now", [now_unix_s](const jinja::func_args& args) -> jinja::value {
        const std::string format = args.get_pos(0)->as_string().str();
        return jinja::mk_val<jinja::value_string>(format_date(now_unix_s, format.c_str()));
      });
}

std::string without_controls(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 200)) {
    out += c >= 0x20 && c < 0x7F ? c : ' ';
  }
  return out;
}

// The roles and order that this template can take: as llama-common prepares them.
std::vector<ChatMessage> prepared(std::vector<ChatMessage> messages, const std::string& source,
                                  bool supports_system) {
  if (source.find("<|channel|>") == std::string::npos) {
    for (ChatMessage& message : messages) {
      if (message.role == "developer") message.role = "system";
    }
  }
  if (!supports_system && !messages.empty() && messages.front().role == "system") {
    if (messages.size() == 1) {
      messages.front().role = "user";  // llama-common would drop it silently
    } else {
      messages[1].content = messages.front().content + "\n" + messages[1].content;
      messages.erase(messages.begin());
    }
  }
  return messages;
}

common_json to_json(const std::vector<ChatMessage>& messages, bool typed_content) {
  common_json out = common_json::array();
  for (const ChatMessage& message : messages) {
    common_json item = common_json::object();
    item["role"] = message.role;
    if (typed_content) {
      common_json text = common_json::object();
      text["type"] = "text";
      text["text"] = message.content;
      common_json parts = common_json::array();
      parts.push_back(std::move(text));
      item["content"] = std::move(parts);
    } else {
      item["content"] = message.content;
    }
    if (!message.name.empty()) item["name"] = message.name;
    out.push_back(std::move(item));
  }
  return out;
}

std::string concatenated(const std::vector<PromptPart>& parts) {
  std::string out;
  for (const PromptPart& part : parts) out += part.text;
  return out;
}

// Finds the messages in a prompt, in order; what is not found is taken for the template's.
std::vector<PromptPart> split_by_search(const std::string& prompt,
                                        const std::vector<ChatMessage>& messages, bool& complete) {
  std::vector<PromptPart> parts;
  std::size_t at = 0;
  complete = true;
  for (const ChatMessage& message : messages) {
    std::string_view content = message.content;
    const std::size_t first = content.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) continue;  // nothing that could be mistaken
    content = content.substr(first, content.find_last_not_of(" \t\r\n") - first + 1);
    const std::size_t found = prompt.find(content, at);
    if (found == std::string::npos) {
      complete = false;
      continue;
    }
    parts.push_back({false, prompt.substr(at, found - at)});
    parts.push_back({true, std::string(content)});
    at = found + content.size();
  }
  parts.push_back({false, prompt.substr(at)});
  return parts;
}

}  // namespace

struct ChatTemplate::Library {
  common_chat_templates_ptr templates;
  std::unique_ptr<common_chat_template> parsed;
};

ChatTemplate::ChatTemplate() : library_(std::make_unique<Library>()) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::create(const llama_model& model) {
  // Asked first: llama-common takes a template of its own where the model has none.
  const char* source = llama_model_chat_template(&model, nullptr);
  if (source == nullptr || *source == '\0') {
    return Error{Code::kUnsupported,
                 "this model has no chat template; use /v1/completions with it"};
  }
  std::unique_ptr<ChatTemplate> out(new ChatTemplate);
  out->source_ = source;
  if (out->source_.size() > kTemplateBytesMax || out->source_ == "chatml") {
    return Error{Code::kUnsupported, "this model's chat template cannot be used"};
  }
  const llama_vocab* vocab = llama_model_get_vocab(&model);
  out->adds_bos_ = llama_vocab_get_add_bos(vocab);
  out->adds_eos_ = llama_vocab_get_add_eos(vocab);
  const LogScope log;
  try {
    out->library_->templates = common_chat_templates_init(&model, "");
    out->library_->parsed = std::make_unique<common_chat_template>(
        common_chat_templates_source(out->library_->templates.get()),
        piece_of(vocab, llama_vocab_bos(vocab), true),
        piece_of(vocab, llama_vocab_eos(vocab), true));
    out->marks_input_ = out->agrees_with_library();
  } catch (const std::exception& e) {
    return Error{Code::kUnsupported,
                 "this model's chat template cannot be parsed: " + without_controls(e.what())};
  } catch (...) {
    return Error{Code::kUnsupported, "this model's chat template cannot be parsed"};
  }
  return out;
}

// llama-common's entry point prepares some families of templates specially, analyses the template
// anew at each call, and loses the origin of bytes. Where rendering the template directly gives the
// same prompt, that is what we do.
bool ChatTemplate::agrees_with_library() const {
  const std::vector<std::vector<ChatMessage>> probes = {
      {{"user", "Hello", ""}},
      {{"system", "Be brief.", ""}, {"user", " two\nlines ", ""}},
      {{"user", "a", ""}, {"assistant", "b", ""}, {"user", "c", ""}},
  };
  const auto now_unix_s = static_cast<std::int64_t>(std::time(nullptr));  // one time for both
  for (const auto& probe : probes) {
    const Result<std::string> theirs = render_by_library(probe, now_unix_s);
    const Result<std::vector<PromptPart>> ours = render_marked(probe, now_unix_s);
    if (theirs.has_value() != ours.has_value()) return false;
    if (theirs && *theirs != concatenated(*ours)) return false;
  }
  return true;
}

Result<RenderedPrompt> ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                            std::int64_t now_unix_s) const {
  RenderedPrompt out;
  if (marks_input_) {
    AIOSS_TRY(out.parts, render_marked(messages, now_unix_s));
    return out;
  }
  AIOSS_TRY(const std::string prompt, render_by_library(messages, now_unix_s));
  out.parts = split_by_search(prompt, messages, out.origin_known);
  if (!out.origin_known) out.parts = {{false, prompt}};
  return out;
}

Result<std::string> ChatTemplate::render_by_library(const std::vector<ChatMessage>& messages,
                                                    std::int64_t now_unix_s) const {
  const LogScope log;
  try {
    common_chat_templates_inputs inputs;
    for (const ChatMessage& message : messages) {
      common_chat_msg item;
      item.role = message.role;
      item.content = message.content;
      inputs.messages.push_back(std::move(item));
    }
    inputs.now = std::chrono::system_clock::from_time_t(static_cast<std::time_t>(now_unix_s));
    inputs.add_bos = adds_bos_;
    inputs.add_eos = adds_eos_;
    return common_chat_templates_apply(library_->templates.get(), inputs).prompt;
  } catch (const std::exception& e) {
    return Error{Code::kInvalidArgument,
                 "the model's chat template refuses these messages: " + without_controls(e.what()),
                 "messages"};
  } catch (...) {
    return Error{Code::kInvalidArgument, "the model's chat template refuses these messages",
                 "messages"};
  }
}

Result<std::vector<PromptPart>> ChatTemplate::render_marked(
    const std::vector<ChatMessage>& messages, std::int64_t now_unix_s) const {
  const common_chat_template& parsed = *library_->parsed;
  const auto caps = parsed.original_caps();
  try {
    const bool typed = caps.supports_typed_content && !caps.supports_string_content;
    common_json input = common_json::object();
    input["messages"] = to_json(prepared(messages, source_, caps.supports_system_role), typed);
    common_json own = common_json::object();
    own["bos_token"] = parsed.bos_token();
    own["eos_token"] = parsed.eos_token();
    own["enable_thinking"] = true;
    own["add_generation_prompt"] = true;
    own["datetime"] = format_date(now_unix_s, "%b %d %Y");
    own["date_string"] = format_date(now_unix_s, "%d %b %Y");

    jinja::context context(parsed.source());
    context.set_val("strftime_now", time_function(now_unix_s));
    jinja::global_from_json(context, own, false);
    jinja::global_from_json(context, input, true);
    jinja::runtime runtime(context);
    const jinja::value results = runtime.execute(parsed.prog);
    std::vector<PromptPart> parts;
    for (const auto& part : jinja::runtime::gather_string_parts(results)->as_string().parts) {
      parts.push_back({part.is_input, part.val});
    }
    const std::string& bos = parsed.bos_token();
    if (adds_bos_ && !bos.empty() && !parts.empty() && !parts.front().is_input &&
        parts.front().text.starts_with(bos)) {
      parts.front().text.erase(0, bos.size());
    }
    const std::string& eos = parsed.eos_token();
    if (adds_eos_ && !eos.empty() && !parts.empty() && !parts.back().is_input &&
        parts.back().text.ends_with(eos)) {
      parts.back().text.resize(parts.back().text.size() - eos.size());
    }
    return parts;
  } catch (const std::exception& e) {
    return Error{Code::kInvalidArgument,
                 "the model's chat template refuses these messages: " + without_controls(e.what()),
                 "messages"};
  } catch (...) {
    return Error{Code::kInvalidArgument, "the model's chat template refuses these messages",
                 "messages"};
  }
}

}  // namespace aioss::engines::llama
