#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "engine/abi.h"
#include "engines/fake/parts.h"

namespace aioss::engines::fake {

using engine::fail;
using engine::guarded;
using engine::read_struct;
using engine::write_struct;

aioss_status read_text(int fd, std::string& text, aioss_error* error) {
  text.assign(kScriptBytesMax + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = pread(fd, text.data() + size, text.size() - size, static_cast<off_t>(size));
    if (n < 0) return fail(error, AIOSS_E_IO, "cannot read the fake model");
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size > kScriptBytesMax) return fail(error, AIOSS_E_CORRUPT, "the fake model is too long");
  text.resize(size);
  return AIOSS_OK;
}

aioss_status scripted_load_failure(const std::string& kind, aioss_error* error) {
  if (kind == "corrupt") return fail(error, AIOSS_E_CORRUPT, "the script says: corrupt");
  if (kind == "memory") return fail(error, AIOSS_E_NO_MEMORY, "the script says: no memory");
  if (kind == "io") return fail(error, AIOSS_E_IO, "the script says: input/output error");
  if (kind == "unsupported") {
    return fail(error, AIOSS_E_UNSUPPORTED, "the script says: unsupported");
  }
  if (kind == "crash") std::abort();
  return fail(error, AIOSS_E_FAILED, "the script says: " + kind);
}

aioss_status influence_of(FakeSession& session, const aioss_batch& batch, Influence& out,
                          aioss_error* error) {
  if (const auto s = engine::check_adapters(batch, error); s != AIOSS_OK) return s;
  for (std::uint32_t i = 0; i < batch.adapter_count; ++i) {
    const FakeAdapter& adapter = *unwrap(batch.adapters[i].adapter);
    if (adapter.model != session.model) {
      return fail(error, AIOSS_E_INVALID, "an adapter of another model");
    }
    if (adapter.script.fail_use) {
      session.failed = true;
      return fail(error, AIOSS_E_FAILED, "the adapter ordered a failure");
    }
    out.add(adapter.script, batch.adapters[i].scale);
  }
  if (out.mark != 0) session.had_adapters = true;
  return AIOSS_OK;
}

aioss_status adapter_open(aioss_model* model, const aioss_adapter_options* options,
                          aioss_adapter** out, aioss_error* error) {
  return guarded(error, [&] {
    aioss_adapter_options copy;
    if (model == nullptr || out == nullptr || !read_struct(options, copy)) {
      return fail(error, AIOSS_E_INVALID, "no model, no options, or without struct_size");
    }
    *out = nullptr;
    if (copy.flags != 0 || unwrap(model)->dry) {
      return fail(error, AIOSS_E_INVALID, "unknown flags, or a model opened for a dry run");
    }
    std::string text;
    if (const auto s = read_text(copy.fd, text, error); s != AIOSS_OK) return s;
    Result<AdapterScript> script = AdapterScript::parse(text);
    if (!script) return fail(error, AIOSS_E_CORRUPT, script.error().message);
    std::this_thread::sleep_for(std::chrono::milliseconds(script->load_ms));
    if (!script->fail.empty()) return scripted_load_failure(script->fail, error);
    auto adapter = std::make_unique<FakeAdapter>();
    adapter->model = unwrap(model);
    adapter->script = std::move(*script);
    *out = reinterpret_cast<aioss_adapter*>(adapter.release());
    return AIOSS_OK;
  });
}

void adapter_facts(const aioss_adapter* adapter, aioss_adapter_facts* out) {
  const AdapterScript& script = unwrap(adapter)->script;
  aioss_adapter_facts value = {};
  value.rank = 1;
  value.pair_count = 1;
  value.bytes = script.bytes;
  value.architecture = "fake";
  value.name = script.name.c_str();
  write_struct(out, value);
}

void adapter_close(aioss_adapter* adapter) {
  delete unwrap(adapter);
}

}  // namespace aioss::engines::fake
