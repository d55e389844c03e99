// C++ handles over the C ABI (include/aioss/engine.h): statuses become Errors, handles close
// themselves. Used by worker and conformance; one thread at a time per object, as the ABI says.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aioss/engine.h"
#include "base/bytes.h"
#include "base/result.h"

namespace aioss::engine {

std::string_view status_name(aioss_status status);
std::string_view profile_name(aioss_profile profile);  // "fast", "reproducible", "evidence"

// AIOSS_OK is ok(); otherwise an Error that begins with `what`.
Status check(aioss_status status, const aioss_error& error, std::string_view what);

// Refuses a table of another ABI version, of an absurd size, or with missing functions.
Status validate_table(const aioss_engine& engine);
// And one of an engine that does not keep the profile.
Status validate(const aioss_engine& engine, aioss_profile profile);
// Whether it has the optional calls for adapters.
bool has_adapters(const aioss_engine& engine);

// Copies of what the table's calls answer, with struct_size set as the ABI asks.
struct Identity {
  std::uint32_t abi_version = 0;
  std::string name;
  std::string version;
  std::string build_id;
  std::string compiler;
  std::string cpu_features;
};
Identity identity(const aioss_engine& engine);
// At most so many of them, with texts that end; more are kEngineFailed.
inline constexpr std::uint32_t kDevicesMax = 64;
// Of kNames the memory is zero, and no GPU was touched for it.
enum class DeviceDetail { kNames, kMemory };
Result<std::vector<aioss_device>> devices(const aioss_engine& engine,
                                          DeviceDetail detail = DeviceDetail::kMemory);
Result<aioss_device> device(const aioss_engine& engine, std::uint32_t index,
                            DeviceDetail detail = DeviceDetail::kMemory);
// Opens the model for a dry run, whatever its flags say, asks once and closes it.
Result<aioss_plan> plan(const aioss_engine& engine, const aioss_model_options& model,
                        const aioss_session_options& session);
// As settings name it: "f16", "q8_0"; nothing for an unknown name.
std::optional<aioss_kv_type> kv_type_from_name(std::string_view name);

class Model final {
 public:
  static Result<std::unique_ptr<Model>> open(const aioss_engine& engine,
                                             const aioss_model_options& options);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const aioss_engine& engine() const { return engine_; }
  aioss_model* handle() const { return handle_; }
  aioss_model_facts facts() const;
  // Of a model that was opened for a dry run.
  Result<aioss_plan> plan(const aioss_session_options& session);

 private:
  Model(const aioss_engine& engine, aioss_model* handle) : engine_(engine), handle_(handle) {}
  const aioss_engine& engine_;  // a static table
  aioss_model* handle_;
};

// Closed before its model.
class Adapter final {
 public:
  // kUnsupported if the engine has none.
  static Result<std::unique_ptr<Adapter>> open(Model& model, int fd);
  ~Adapter();
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;

  aioss_adapter* handle() const { return handle_; }
  aioss_adapter_facts facts() const;

 private:
  Adapter(const aioss_engine& engine, aioss_adapter* handle) : engine_(engine), handle_(handle) {}
  const aioss_engine& engine_;
  aioss_adapter* handle_;
};

class Session final {
 public:
  static Result<std::unique_ptr<Session>> create(Model& model,
                                                 const aioss_session_options& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Status decode(const aioss_batch& batch);
  // Empty if there is no such output. Valid until the next call.
  std::span<const float> logits(std::uint32_t output) const;
  Status remove(std::int32_t sequence, std::int32_t from, std::int32_t to);
  Status copy(std::int32_t source, std::int32_t target);
  Result<std::size_t> state_size(std::int32_t sequence);
  Result<Bytes> save(std::int32_t sequence);
  // The same into `room`, as large as state_size() says; how much of it was used.
  Result<std::size_t> save(std::int32_t sequence, std::span<std::uint8_t> room);
  Status load(std::int32_t sequence, ByteView state);
  aioss_counters counters() const;

 private:
  Session(Model& model, aioss_session* handle, std::uint32_t vocabulary_size)
      : model_(model), handle_(handle), vocabulary_size_(vocabulary_size) {}
  Model& model_;  // outlives its sessions
  aioss_session* handle_;
  std::uint32_t vocabulary_size_;
};

}  // namespace aioss::engine
