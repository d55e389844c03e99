#include "engine/engine.h"

#include <cstddef>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "base/assert.h"

namespace aioss::engine {
namespace {

Code code_of(aioss_status status) {
  switch (status) {
    case AIOSS_OK:
      break;
    case AIOSS_E_INVALID:
      return Code::kInvalidArgument;
    case AIOSS_E_UNSUPPORTED:
      return Code::kUnsupported;
    case AIOSS_E_CORRUPT:
      return Code::kModelCorrupt;
    case AIOSS_E_NO_MEMORY:
      return Code::kNoMemory;
    case AIOSS_E_IO:
      return Code::kIo;
    case AIOSS_E_ABORTED:
      return Code::kCancelled;
    case AIOSS_E_FULL:
      return Code::kContextExceeded;
    case AIOSS_E_FAILED:
      return Code::kEngineFailed;
  }
  return Code::kEngineFailed;  // a status that this version of the ABI does not know
}

std::string text_or_empty(const char* text) {
  return text == nullptr ? "" : text;
}

// A plugin may forget the zero.
template <std::size_t N>
void end_text(char (&text)[N]) {
  text[N - 1] = '\0';
}

constexpr std::uint32_t kTableBytesMax = 1U << 16;  // one pointer a call: there are never so many

Status check_abi(std::uint32_t version) {
  if (version == AIOSS_ENGINE_ABI_VERSION) return ok();
  const bool newer = version > AIOSS_ENGINE_ABI_VERSION;
  return Error{Code::kUnsupported,
               "the engine speaks ABI version " + std::to_string(version) +
                   ", this program version " + std::to_string(AIOSS_ENGINE_ABI_VERSION) +
                   (newer ? "; update aioss, or install the engine built for this program"
                          : "; install the engine built for this program")};
}

bool has_all_functions(const aioss_engine& engine) {
  return engine.identity != nullptr && engine.profiles != nullptr &&
         engine.prefill_grid_tokens != nullptr && engine.device_count != nullptr &&
         engine.device != nullptr && engine.plan != nullptr && engine.model_open != nullptr &&
         engine.model_facts != nullptr && engine.model_close != nullptr &&
         engine.session_create != nullptr && engine.session_close != nullptr &&
         engine.decode != nullptr && engine.logits != nullptr &&
         engine.sequence_remove != nullptr && engine.sequence_copy != nullptr &&
         engine.sequence_state_size != nullptr && engine.sequence_save != nullptr &&
         engine.sequence_load != nullptr && engine.counters != nullptr;
}

}  // namespace

std::string_view status_name(aioss_status status) {
  switch (status) {
    case AIOSS_OK:
      return "AIOSS_OK";
    case AIOSS_E_INVALID:
      return "AIOSS_E_INVALID";
    case AIOSS_E_UNSUPPORTED:
      return "AIOSS_E_UNSUPPORTED";
    case AIOSS_E_CORRUPT:
      return "AIOSS_E_CORRUPT";
    case AIOSS_E_NO_MEMORY:
      return "AIOSS_E_NO_MEMORY";
    case AIOSS_E_IO:
      return "AIOSS_E_IO";
    case AIOSS_E_ABORTED:
      return "AIOSS_E_ABORTED";
    case AIOSS_E_FULL:
      return "AIOSS_E_FULL";
    case AIOSS_E_FAILED:
      return "AIOSS_E_FAILED";
  }
  return "an unknown status";
}

Status check(aioss_status status, const aioss_error& error, std::string_view what) {
  if (status == AIOSS_OK) return ok();
  // A plugin may forget the zero.
  const std::string_view detail(error.message, strnlen(error.message, sizeof error.message));
  std::string message(what);
  message += ": ";
  message += detail.empty() ? status_name(status) : detail;
  return Error{code_of(status), std::move(message)};
}

Status validate_table(const aioss_engine& engine) {
  AIOSS_CHECK(check_abi(engine.abi_version));
  if (engine.struct_size < offsetof(aioss_engine, adapter_open)) {  // what follows is optional
    return Error{Code::kUnsupported, "the engine's table is shorter than this program needs"};
  }
  if (engine.struct_size > kTableBytesMax) {
    return Error{Code::kUnsupported, "the engine's table claims to be of " +
                                         std::to_string(engine.struct_size) + " bytes"};
  }
  if (!has_all_functions(engine)) {
    return Error{Code::kUnsupported, "the engine's table has missing functions"};
  }
  return ok();
}

Status validate(const aioss_engine& engine, aioss_profile profile) {
  AIOSS_CHECK(validate_table(engine));
  if ((engine.profiles() & (1u << static_cast<unsigned>(profile))) == 0) {
    return Error{Code::kUnsupported, "this engine does not keep the profile '" +
                                         std::string(profile_name(profile)) +
                                         "'; choose another profile or engine"};
  }
  return ok();
}

bool has_adapters(const aioss_engine& engine) {
  return engine.struct_size >= sizeof(aioss_engine) && engine.adapter_open != nullptr &&
         engine.adapter_facts != nullptr && engine.adapter_close != nullptr;
}

std::string_view profile_name(aioss_profile profile) {
  switch (profile) {
    case AIOSS_PROFILE_FAST:
      return "fast";
    case AIOSS_PROFILE_REPRODUCIBLE:
      return "reproducible";
    case AIOSS_PROFILE_EVIDENCE:
      return "evidence";
  }
  return "unknown";
}

Identity identity(const aioss_engine& engine) {
  aioss_engine_identity raw = {};
  raw.struct_size = sizeof raw;
  engine.identity(&raw);
  return {.abi_version = raw.abi_version,
          .name = text_or_empty(raw.name),
          .version = text_or_empty(raw.version),
          .build_id = text_or_empty(raw.build_id),
          .compiler = text_or_empty(raw.compiler),
          .cpu_features = text_or_empty(raw.cpu_features)};
}

Result<aioss_plan> plan(const aioss_engine& engine, const aioss_model_options& model,
                        const aioss_session_options& session) {
  aioss_model_options dry = model;
  dry.flags |= AIOSS_MODEL_DRY_RUN;
  AIOSS_TRY(const auto opened, Model::open(engine, dry));
  return opened->plan(session);
}

std::optional<aioss_kv_type> kv_type_from_name(std::string_view name) {
  constexpr std::pair<std::string_view, aioss_kv_type> kNames[] = {
      {"f16", AIOSS_KV_F16},   {"bf16", AIOSS_KV_BF16}, {"f32", AIOSS_KV_F32},
      {"q8_0", AIOSS_KV_Q8_0}, {"q5_1", AIOSS_KV_Q5_1}, {"q5_0", AIOSS_KV_Q5_0},
      {"q4_1", AIOSS_KV_Q4_1}, {"q4_0", AIOSS_KV_Q4_0}};
  for (const auto& [known, type] : kNames) {
    if (known == name) return type;
  }
  return std::nullopt;
}

Result<aioss_device> device(const aioss_engine& engine, std::uint32_t index, DeviceDetail detail) {
  aioss_device device = {};
  device.struct_size = detail == DeviceDetail::kMemory ? std::uint32_t{sizeof device}
                                                       : offsetof(aioss_device, bytes_total);
  aioss_error error = {};
  AIOSS_CHECK(check(engine.device(index, &device, &error), error, "cannot read a device"));
  end_text(device.name);
  end_text(device.backend);
  end_text(device.description);
  return device;
}

Result<std::vector<aioss_device>> devices(const aioss_engine& engine, DeviceDetail detail) {
  std::vector<aioss_device> out;
  const std::uint32_t count = engine.device_count();
  if (count > kDevicesMax) {
    return Error{Code::kEngineFailed, "the engine claims too many devices, " +
                                          std::to_string(count) + "; it may have " +
                                          std::to_string(kDevicesMax)};
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    AIOSS_TRY(const aioss_device found, device(engine, i, detail));
    out.push_back(found);
  }
  return out;
}

Result<std::unique_ptr<Model>> Model::open(const aioss_engine& engine,
                                           const aioss_model_options& options) {
  aioss_model* handle = nullptr;
  aioss_error error = {};
  AIOSS_CHECK(check(engine.model_open(&options, &handle, &error), error, "cannot load the model"));
  if (handle == nullptr) return Error{Code::kEngineFailed, "the engine returned no model"};
  return std::unique_ptr<Model>(new Model(engine, handle));
}

Model::~Model() {
  engine_.model_close(handle_);
}

aioss_model_facts Model::facts() const {
  aioss_model_facts facts = {};
  facts.struct_size = sizeof facts;
  engine_.model_facts(handle_, &facts);
  return facts;
}

Result<aioss_plan> Model::plan(const aioss_session_options& session) {
  aioss_plan out = {};
  out.struct_size = sizeof out;
  aioss_error error = {};
  AIOSS_CHECK(
      check(engine_.plan(handle_, &session, &out, &error), error, "cannot plan the session"));
  return out;
}

Result<std::unique_ptr<Adapter>> Adapter::open(Model& model, int fd) {
  if (!has_adapters(model.engine())) {
    return Error{Code::kUnsupported, "this engine knows no adapters"};
  }
  aioss_adapter_options options = {};
  options.struct_size = sizeof options;
  options.fd = fd;
  aioss_adapter* handle = nullptr;
  aioss_error error = {};
  AIOSS_CHECK(check(model.engine().adapter_open(model.handle(), &options, &handle, &error), error,
                    "cannot load the adapter"));
  if (handle == nullptr) return Error{Code::kEngineFailed, "the engine returned no adapter"};
  return std::unique_ptr<Adapter>(new Adapter(model.engine(), handle));
}

Adapter::~Adapter() {
  engine_.adapter_close(handle_);
}

aioss_adapter_facts Adapter::facts() const {
  aioss_adapter_facts facts = {};
  facts.struct_size = sizeof facts;
  engine_.adapter_facts(handle_, &facts);
  return facts;
}

Result<std::unique_ptr<Session>> Session::create(Model& model,
                                                 const aioss_session_options& options) {
  const std::uint32_t vocabulary_size = model.facts().vocabulary_size;
  aioss_session* handle = nullptr;
  aioss_error error = {};
  AIOSS_CHECK(check(model.engine().session_create(model.handle(), &options, &handle, &error), error,
                    "cannot create a session"));
  if (handle == nullptr) return Error{Code::kEngineFailed, "the engine returned no session"};
  return std::unique_ptr<Session>(new Session(model, handle, vocabulary_size));
}

Session::~Session() {
  model_.engine().session_close(handle_);
}

Status Session::decode(const aioss_batch& batch) {
  aioss_error error = {};
  return check(model_.engine().decode(handle_, &batch, &error), error, "decoding failed");
}

std::span<const float> Session::logits(std::uint32_t output) const {
  const float* row = model_.engine().logits(handle_, output);
  if (row == nullptr) return {};
  return {row, vocabulary_size_};
}

Status Session::remove(std::int32_t sequence, std::int32_t from, std::int32_t to) {
  aioss_error error = {};
  return check(model_.engine().sequence_remove(handle_, sequence, from, to, &error), error,
               "cannot cut the sequence");
}

Status Session::copy(std::int32_t source, std::int32_t target) {
  aioss_error error = {};
  return check(model_.engine().sequence_copy(handle_, source, target, &error), error,
               "cannot copy the sequence");
}

Result<std::size_t> Session::state_size(std::int32_t sequence) {
  aioss_error error = {};
  std::size_t size = 0;
  AIOSS_CHECK(check(model_.engine().sequence_state_size(handle_, sequence, &size, &error), error,
                    "cannot measure the sequence"));
  return size;
}

Result<Bytes> Session::save(std::int32_t sequence) {
  AIOSS_TRY(const std::size_t size, state_size(sequence));
  Bytes state;
  try {
    state.resize(size);
  } catch (const std::exception&) {  // the size is the engine's word
    return Error{Code::kEngineFailed, "the engine says that the state of a sequence takes " +
                                          std::to_string(size) + " bytes; there is no room for it"};
  }
  AIOSS_TRY(const std::size_t written, save(sequence, state));
  state.resize(written);
  return state;
}

Result<std::size_t> Session::save(std::int32_t sequence, std::span<std::uint8_t> room) {
  aioss_error error = {};
  std::size_t written = room.size();
  AIOSS_CHECK(check(model_.engine().sequence_save(handle_, sequence, room.data(), &written, &error),
                    error, "cannot save the sequence"));
  if (written > room.size()) {
    return Error{Code::kEngineFailed, "the engine wrote past its own state size"};
  }
  return written;
}

Status Session::load(std::int32_t sequence, ByteView state) {
  aioss_error error = {};
  return check(model_.engine().sequence_load(handle_, sequence, state.data(), state.size(), &error),
               error, "cannot load the sequence");
}

aioss_counters Session::counters() const {
  aioss_counters counters = {};
  counters.struct_size = sizeof counters;
  model_.engine().counters(handle_, &counters);
  return counters;
}

}  // namespace aioss::engine
