// Which engines workers can be started with: those linked into the binary, and plugins, which are
// files that a worker opens by descriptor. The gateway's side: nothing here runs a byte of a
// plugin. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::plugins {

inline constexpr std::string_view kLlama = "llama";  // linked in, and the default

// What a model's file must be for an engine.
enum class ModelFormat { kGguf, kScript };

struct EngineImage {
  std::string name;  // [a-z0-9][a-z0-9._-]*, as settings and orders give it
  std::string version;
  ModelFormat format = ModelFormat::kGguf;
  bool is_linked = false;  // part of the binary: neither file nor hash
  // Otherwise: read-only, the very bytes of the hash, and kept from changing. A worker inherits it.
  std::shared_ptr<const os::Fd> file;
  Digest sha256 = {};
  std::string origin;  // "linked", "embedded", or the path that it was installed at
};

// Installed, but not used.
struct LeftOut {
  std::string name;
  Error why;
};

// What a worker inherits of it; −1: nothing, for the engine is linked, or there is none to inherit.
int plugin_descriptor(const EngineImage* engine);

// Whether workers of it drive GPUs, and so want the sandbox for that: an engine that does has the
// name of its backend, or that and more behind a hyphen, as "cuda", "vulkan-1.4".
bool is_for_gpus(std::string_view engine);

class EngineTable final {
 public:
  explicit EngineTable(std::vector<EngineImage> engines);

  // Null: there is none of this name. What is found stays whole while somebody holds it.
  std::shared_ptr<const EngineImage> find(std::string_view name) const;
  // Likewise; kUnsupported names those that there are, or says that it is left out.
  Result<std::shared_ptr<const EngineImage>> get(std::string_view name) const;
  std::vector<std::shared_ptr<const EngineImage>> all() const;  // in the order of their names
  // Replaces one of the same name.
  void put(EngineImage engine);
  bool remove(std::string_view name);  // false: there was none. Workers that have it go on
  void set_left_out(std::vector<LeftOut> engines);

 private:
  std::optional<Error> refusal_of(std::string_view name) const;

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<const EngineImage>> engines_;  // sorted by name
  std::vector<LeftOut> left_out_;
};

}  // namespace aioss::plugins
