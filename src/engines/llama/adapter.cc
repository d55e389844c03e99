// Opening an adapter. llama.cpp checks two of the dimensions and asserts on much else, some of it
// only when a graph is built: so the table of tensors is read here first, and held against the
// model's.
#include "engines/llama/adapter.h"

#include <gguf.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string_view>

#include "engine/abi.h"
#include "engines/llama/backend.h"
#include "engines/llama/descriptor_file.h"
#include "llama-model.h"

namespace aioss::engines::llama {
namespace {

using engine::fail;

constexpr std::int64_t kTensorsMax = 65'536;  // of known models a twentieth has so many
constexpr std::int64_t kRankMax = 4'096;      // 8 to 256 are usual
constexpr std::size_t kNameBytesMax = 256;    // of what people see
constexpr const char* kWrongBase = "; it was made for another model";

struct GgufDeleter {
  void operator()(gguf_context* context) const { gguf_free(context); }
};
struct TensorsDeleter {
  void operator()(ggml_context* context) const { ggml_free(context); }
};

// The head of the file: metadata, and tensors without their data.
struct Head {
  std::unique_ptr<gguf_context, GgufDeleter> gguf;
  std::unique_ptr<ggml_context, TensorsDeleter> tensors;

  std::int64_t key(const char* name, gguf_type type) const {
    const std::int64_t id = gguf_find_key(gguf.get(), name);
    return id >= 0 && gguf_get_kv_type(gguf.get(), id) == type ? id : -1;
  }
  std::string text(const char* name) const {
    const std::int64_t id = key(name, GGUF_TYPE_STRING);
    return id < 0 ? "" : gguf_get_val_str(gguf.get(), id);
  }
};

struct Pair {
  const ggml_tensor* a = nullptr;
  const ggml_tensor* b = nullptr;
};
using Pairs = std::map<std::string, Pair>;

aioss_status corrupt(aioss_error* error, const std::string& message) {
  return fail(error, AIOSS_E_CORRUPT, message);
}
aioss_status unsupported(aioss_error* error, const std::string& message) {
  return fail(error, AIOSS_E_UNSUPPORTED, message);
}

aioss_status read_head(std::FILE* file, const LogScope& log, Head& out, aioss_error* error) {
  ggml_context* tensors = nullptr;
  gguf_init_params params = {};
  params.no_alloc = true;
  params.ctx = &tensors;
  out.gguf.reset(gguf_init_from_file_ptr(file, params));
  out.tensors.reset(tensors);
  if (!out.gguf || !out.tensors) {
    return corrupt(error, log.error_or("the adapter's header is damaged"));
  }
  if (gguf_get_n_tensors(out.gguf.get()) > kTensorsMax) {
    return corrupt(error, "the adapter has more than 65,536 tensors");
  }
  return AIOSS_OK;
}

aioss_status check_kind(const Head& head, const LlamaModel& model, aioss_error* error) {
  if (head.text("general.type") != "adapter" || head.text("adapter.type") != "lora") {
    return unsupported(error,
                       "not a LoRA adapter: a GGUF file with general.type \"adapter\" and "
                       "adapter.type \"lora\" is wanted");
  }
  const std::string architecture = head.text("general.architecture");
  if (architecture != model.architecture) {
    return unsupported(error, "the adapter is for models of architecture \"" +
                                  architecture.substr(0, kNameBytesMax) + "\", and this one is \"" +
                                  model.architecture + "\"");
  }
  if (gguf_find_key(head.gguf.get(), "adapter.alora.invocation_tokens") >= 0) {
    return unsupported(error, "adapters that are activated by tokens (aLoRA) are not supported");
  }
  const char* const alpha = "adapter.lora.alpha";
  if (gguf_find_key(head.gguf.get(), alpha) < 0) return AIOSS_OK;
  const std::int64_t id = head.key(alpha, GGUF_TYPE_FLOAT32);
  if (id < 0 || !std::isfinite(gguf_get_val_f32(head.gguf.get(), id))) {
    return corrupt(error, "adapter.lora.alpha is no number of 32 bits");
  }
  return AIOSS_OK;
}

bool is_usable(ggml_type type) {
  return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16 ||
         type == GGML_TYPE_Q8_0;
}

// "blk.0.attn_q.weight.lora_a" → "blk.0.attn_q.weight" and its a.
aioss_status pair_up(const Head& head, std::uint64_t file_bytes, Pairs& pairs, aioss_error* error) {
  const gguf_context* const gguf = head.gguf.get();
  for (const ggml_tensor* t = ggml_get_first_tensor(head.tensors.get()); t != nullptr;
       t = ggml_get_next_tensor(head.tensors.get(), const_cast<ggml_tensor*>(t))) {
    const std::string name = t->name;
    const bool a = name.ends_with(".lora_a");
    if (!a && !name.ends_with(".lora_b")) {
      if (name.ends_with("_norm.weight")) continue;  // llama.cpp does without
      return unsupported(error, "the adapter's tensor " + name + " is neither .lora_a nor .lora_b");
    }
    if (!is_usable(t->type)) {
      return unsupported(error, "the adapter's tensor " + name + " is of type " +
                                    ggml_type_name(t->type) + "; F32, F16, BF16 and Q8_0 can be");
    }
    const std::uint64_t from =
        gguf_get_data_offset(gguf) + gguf_get_tensor_offset(gguf, gguf_find_tensor(gguf, t->name));
    if (from > file_bytes || ggml_nbytes(t) > file_bytes - from) {
      return corrupt(error, "the adapter is truncated: " + name + " is not all there");
    }
    Pair& pair = pairs[name.substr(0, name.size() - std::string_view(".lora_a").size())];
    (a ? pair.a : pair.b) = t;
  }
  if (pairs.empty()) return corrupt(error, "the adapter changes nothing: it has no tensors");
  return AIOSS_OK;
}

// The products that llama.cpp builds: B·(A·x) beside W·x, for experts of each expert, and for the
// embedding B·(a column of A).
bool fits(const ggml_tensor& weight, const Pair& pair, bool embedding) {
  const auto& w = weight.ne;
  const auto& a = pair.a->ne;
  const auto& b = pair.b->ne;
  for (int i = 2; i < GGML_MAX_DIMS; ++i) {
    if (a[i] != w[i] || b[i] != w[i]) return false;
  }
  if (embedding) return w[0] == b[1] && w[1] == a[1] && a[0] == b[0];
  return w[0] == a[0] && w[1] == b[1] && a[1] == b[0];
}

std::uint64_t experts_of_a_token(const LlamaModel& model) {
  char text[32] = {};
  const std::string key = model.architecture + ".expert_used_count";
  const int length = llama_model_meta_val_str(model.model.get(), key.c_str(), text, sizeof text);
  return length > 0 ? std::max<std::uint64_t>(std::strtoull(text, nullptr, 10), 1) : 1;
}

aioss_status check_pairs(const Pairs& pairs, const LlamaModel& model, LlamaAdapter& out,
                         aioss_error* error) {
  const auto& list = llama_internal_get_tensor_map(model.model.get());
  const std::map<std::string, const ggml_tensor*> weights(list.begin(), list.end());
  const std::string embedding_name = "token_embd.weight";
  const std::uint64_t experts = experts_of_a_token(model);
  for (const auto& [name, pair] : pairs) {
    if (pair.a == nullptr || pair.b == nullptr) {
      return corrupt(error, "the adapter has only one half of the pair for " + name);
    }
    const auto weight = weights.find(name);
    if (weight == weights.end()) {
      return unsupported(
          error, "the adapter changes " + name + ", which this model does not have" + kWrongBase);
    }
    const bool embedding = name == embedding_name;
    if (!fits(*weight->second, pair, embedding)) {
      return unsupported(error,
                         "the adapter's shape of " + name + " is not the model's" + kWrongBase);
    }
    // The output would be multiplied with what is made for the lookup: llama.cpp asserts.
    if (embedding && !weights.contains("output.weight")) {
      return unsupported(error,
                         "the adapter changes token_embd.weight, which is also this model's "
                         "output: llama.cpp cannot do that");
    }
    if (weight->second->type == GGML_TYPE_NVFP4) {
      return unsupported(error, "llama.cpp has no adapters for weights of type NVFP4: " + name);
    }
    const std::int64_t rank = pair.b->ne[0];
    if (rank < 1 || rank > kRankMax) {
      return corrupt(error, "the adapter's rank of " + name + " is " + std::to_string(rank));
    }
    out.rank = std::max(out.rank, static_cast<std::uint32_t>(rank));
    // Of a pair's products, and their sum with the weight's own, two rows live at once; of experts,
    // those of each that a token goes to.
    const std::uint64_t rows = weight->second->ne[2] > 1 ? experts : 1;
    const auto row = static_cast<std::uint64_t>(rank + 2 * pair.b->ne[1]) * sizeof(float) * rows;
    out.compute_bytes_per_token = std::max(out.compute_bytes_per_token, row);
    out.bytes += ggml_nbytes(pair.a) + ggml_nbytes(pair.b);
    ++out.pair_count;
  }
  return AIOSS_OK;
}

std::string people_name(const Head& head) {
  std::string name = head.text("general.name");
  name.resize(std::min(name.size(), kNameBytesMax));
  std::replace_if(name.begin(), name.end(), [](char c) { return c < 0x20 || c > 0x7E; }, '?');
  return name;
}

}  // namespace

aioss_status open_adapter(LlamaModel& model, const aioss_adapter_options& options,
                          std::unique_ptr<LlamaAdapter>& out, aioss_error* error) {
  if (options.flags != 0) return fail(error, AIOSS_E_INVALID, "unknown adapter flags");
  if (model.dry) return fail(error, AIOSS_E_INVALID, "this model was opened for a dry run");
  const LogScope log;
  if (const auto s = check_magic(options.fd, error); s != AIOSS_OK) return s;
  FilePointer file;
  if (const auto s = open_stream(options.fd, file, error); s != AIOSS_OK) return s;
  if (std::fseek(file.get(), 0, SEEK_END) != 0) {
    return fail(error, AIOSS_E_IO, "cannot find the adapter's end");
  }
  const long size = std::ftell(file.get());
  std::rewind(file.get());
  Head head;
  Pairs pairs;
  auto adapter = std::make_unique<LlamaAdapter>();
  if (const auto s = read_head(file.get(), log, head, error); s != AIOSS_OK) return s;
  if (const auto s = check_kind(head, model, error); s != AIOSS_OK) return s;
  if (const auto s = pair_up(head, static_cast<std::uint64_t>(std::max(size, 0L)), pairs, error);
      s != AIOSS_OK) {
    return s;
  }
  if (const auto s = check_pairs(pairs, model, *adapter, error); s != AIOSS_OK) return s;
  adapter->model = &model;
  adapter->architecture = model.architecture;
  adapter->name = people_name(head);
  std::rewind(file.get());
  const LogScope loading;
  adapter->adapter.reset(llama_adapter_lora_init_from_file_ptr(model.model.get(), file.get()));
  if (!adapter->adapter) {
    const std::string message = loading.error_or("llama.cpp cannot load this adapter");
    const bool memory = message.find("allocate") != std::string::npos;
    return fail(error, memory ? AIOSS_E_NO_MEMORY : AIOSS_E_CORRUPT, message);
  }
  out = std::move(adapter);
  return AIOSS_OK;
}

}  // namespace aioss::engines::llama
