// What is kept of prompts, from one worker to the next (prefixes/prefix_store.h) and over the disk
// (prefixes/prefix_disk.h): what a life is given of it at its start, what comes from the disk while
// it loads, and what is taken from it at its end. One memory for each model. Runtime thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "os/file.h"
#include "runtime/calls/post.h"
#include "runtime/models/model_life.h"
#include "runtime/prefixes/prefix_store.h"

namespace aioss::runtime {

class ModelTable;

class PrefixCustody final {
 public:
  // `there`: what a life waited for has come from the disk, and its worker was told. `disk`: null,
  // they end with the gateway. It and the table outlive the custody.
  using There = std::function<void(Life&)>;
  PrefixCustody(PrefixStore store, PrefixDisk* disk, ModelTable& models, Post post, There there);

  // Before its worker starts, with the rest of its Configure set. New memory may get something from
  // the disk, while the model is loaded: the worker waits for word of that.
  void give(Life& life, LinkOptions& link, const std::vector<os::FileInfo>& files);
  void was_not_started(const Life& life);
  // What its states depend on is known now: `program` is the executable's hash.
  void bring(Life& life, const Digest& program);
  void note_owner(const Model& model, const StreamState& stream);
  // Its worker has ended. `trusted`: there is no reason to doubt what it left. Before the model's
  // next worker starts, which takes it back.
  void take(const Life& life, bool trusted, std::uint64_t chunk_ns);
  // Somebody is erased: the workers that run clear theirs, the next ones begin with new memory.
  void forget();

  // Kept of a model now. Nothing: there is none here, or its worker has it alone.
  std::optional<std::uint64_t> bytes_of(const std::string& model) const;
  void drop(const std::string& model);

 private:
  void on_brought(std::uint64_t number, const PrefixOwners& owners);

  PrefixStore store_;
  PrefixDisk* const disk_;
  ModelTable& models_;
  const Post post_;
  const There there_;
};

}  // namespace aioss::runtime
