// What loading a model has in common, in whatever descends from llama.cpp: its way to say how far
// it is and to ask whether to go on, and what its messages mean.
#pragma once

#include <string_view>

#include "aioss/engine.h"

namespace aioss::engines::ggml {

// Carries the progress of a load to who asked for it. Must outlive the load; used by its thread.
class LoadProgress final {
 public:
  explicit LoadProgress(const aioss_model_options& options) : options_(options) {}

  // For llama_model_params::progress_callback, with this object as its user data. False: give up.
  static bool on_progress(float fraction, void* user);
  // Whether who asked has given up.
  bool was_cancelled() const { return cancelled_; }

 private:
  const aioss_model_options& options_;
  bool cancelled_ = false;
};

// What kind of failure such a message of a load tells of.
aioss_status status_of_load(std::string_view message);

}  // namespace aioss::engines::ggml
