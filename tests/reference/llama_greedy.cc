// Prints what llama.cpp itself answers greedily, with no code of ours in between: one line of token
// ids for each prompt, separated by spaces.
//
//   llama_greedy MODEL PROMPTS TOKENS [--chat] [--reproducible] [--threads N] [--lora FILE SCALE]
//
// PROMPTS holds one prompt a line; empty lines and lines that begin with # are skipped. --chat
// wraps each as one user message in the model's own template. --reproducible sets the arithmetic
// that the profile of that name uses: our patches' results that company does not change, no
// repacked weights, prefill cut at multiples of 64 positions.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "chat.h"
#include "ggml-cpu.h"
#include "llama.h"

namespace {

constexpr int kContextTokens = 2048;
constexpr int kGridTokens = 64;

struct Arguments {
  std::string model;
  std::string prompts;
  int tokens = 32;
  bool chat = false;
  bool reproducible = false;
  int threads = 2;
  std::string lora;  // "": none
  float scale = 1.0F;
};

bool parse(int argc, char** argv, Arguments& out) {
  if (argc < 4) return false;
  out.model = argv[1];
  out.prompts = argv[2];
  out.tokens = std::atoi(argv[3]);
  for (int i = 4; i < argc; ++i) {
    if (std::strcmp(argv[i], "--chat") == 0) {
      out.chat = true;
    } else if (std::strcmp(argv[i], "--reproducible") == 0) {
      out.reproducible = true;
    } else if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      out.threads = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--lora") == 0 && i + 2 < argc) {
      out.lora = argv[++i];
      out.scale = static_cast<float>(std::atof(argv[++i]));
    } else {
      return false;
    }
  }
  return out.tokens > 0 && out.threads > 0;
}

std::string render(llama_model* model, const std::string& prompt) {
  const common_chat_templates_ptr templates = common_chat_templates_init(model, "");
  common_chat_templates_inputs inputs;
  common_chat_msg message;
  message.role = "user";
  message.content = prompt;
  inputs.messages.push_back(message);
  return common_chat_templates_apply(templates.get(), inputs).prompt;
}

std::vector<llama_token> tokenize(const llama_vocab* vocab, const std::string& text, bool special) {
  std::vector<llama_token> tokens(text.size() + 8);
  const int count = llama_tokenize(vocab, text.data(), static_cast<int>(text.size()), tokens.data(),
                                   static_cast<int>(tokens.size()), true, special);
  tokens.resize(count > 0 ? static_cast<size_t>(count) : 0);
  // A template that writes the begin token itself must not get a second one.
  if (special && tokens.size() >= 2 && tokens[0] == llama_vocab_bos(vocab) &&
      tokens[1] == llama_vocab_bos(vocab)) {
    tokens.erase(tokens.begin());
  }
  return tokens;
}

llama_token argmax(const float* logits, int count) {
  int best = 0;
  for (int i = 1; i < count; ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  return best;
}

void print_token(const llama_vocab* vocab, llama_token token) {
  char piece[256];
  const int length = llama_token_to_piece(vocab, token, piece, sizeof piece, 0, false);
  std::printf("%d:", token);
  for (int i = 0; i < length; ++i) {
    std::printf("%02x", static_cast<unsigned>(static_cast<unsigned char>(piece[i])));
  }
}

bool prefill(llama_context* context, std::vector<llama_token>& tokens, bool grid) {
  size_t at = 0;
  while (at < tokens.size()) {
    const size_t rest = tokens.size() - at;
    size_t chunk = rest < 512 ? rest : 512;
    if (grid && chunk >= kGridTokens) chunk = chunk / kGridTokens * kGridTokens;
    if (llama_decode(context, llama_batch_get_one(&tokens[at], static_cast<int>(chunk))) != 0) {
      return false;
    }
    at += chunk;
  }
  return true;
}

int answer(llama_model* model, llama_adapter_lora* lora, const Arguments& arguments,
           const std::string& prompt) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = kContextTokens;
  params.n_threads = params.n_threads_batch = arguments.threads;
  if (arguments.reproducible) {
#ifdef GGML_CPU_HAS_INVARIANT
    ggml_cpu_set_invariant(true);
#else
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
#endif
    params.swa_full = true;
  }
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 1;
  float scale = arguments.scale;
  if (lora != nullptr) llama_set_adapters_lora(context, &lora, 1, &scale);
  const llama_vocab* vocab = llama_model_get_vocab(model);
  const int vocabulary = llama_vocab_n_tokens(vocab);
  const std::string text = arguments.chat ? render(model, prompt) : prompt;
  std::vector<llama_token> tokens = tokenize(vocab, text, arguments.chat);
  bool fine = !tokens.empty() && prefill(context, tokens, arguments.reproducible);
  for (int i = 0; fine && i < arguments.tokens; ++i) {
    llama_token next = argmax(llama_get_logits_ith(context, -1), vocabulary);
    if (llama_vocab_is_eog(vocab, next)) break;
    if (i > 0) std::printf(" ");
    print_token(vocab, next);
    fine = llama_decode(context, llama_batch_get_one(&next, 1)) == 0;
  }
  std::printf("\n");
  llama_free(context);
  return fine ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fprintf(stderr,
                 "usage: llama_greedy MODEL PROMPTS TOKENS [--chat] [--reproducible] "
                 "[--threads N] [--lora FILE SCALE]\n");
    return 2;
  }
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  llama_model_params params = llama_model_default_params();
  params.use_extra_bufts = !arguments.reproducible;
  llama_model* model = llama_model_load_from_file(arguments.model.c_str(), params);
  std::ifstream prompts(arguments.prompts);
  if (model == nullptr || !prompts) {
    std::fprintf(stderr, "llama_greedy: cannot open %s or %s\n", arguments.model.c_str(),
                 arguments.prompts.c_str());
    return 1;
  }
  llama_adapter_lora* lora = nullptr;
  if (!arguments.lora.empty()) {
    lora = llama_adapter_lora_init(model, arguments.lora.c_str());
    if (lora == nullptr) {
      std::fprintf(stderr, "llama_greedy: cannot load %s\n", arguments.lora.c_str());
      return 1;
    }
  }
  int status = 0;
  for (std::string line; std::getline(prompts, line);) {
    if (line.empty() || line[0] == '#') continue;
    status |= answer(model, lora, arguments, line);
  }
  llama_model_free(model);
  return status;
}
