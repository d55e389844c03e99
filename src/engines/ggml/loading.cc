#include "engines/ggml/loading.h"

namespace aioss::engines::ggml {

bool LoadProgress::on_progress(float fraction, void* user) {
  auto* self = static_cast<LoadProgress*>(user);
  const aioss_model_options& options = self->options_;
  if (options.progress == nullptr) return true;
  if (options.progress(fraction, options.progress_user) != 0) return true;
  self->cancelled_ = true;
  return false;
}

aioss_status status_of_load(std::string_view message) {
  const auto has = [&](std::string_view part) { return message.find(part) != message.npos; };
  if (has("unknown model architecture") || has("unsupported model architecture")) {
    return AIOSS_E_UNSUPPORTED;
  }
  if (has("unable to allocate") || has("failed to allocate")) return AIOSS_E_NO_MEMORY;
  return AIOSS_E_CORRUPT;
}

}  // namespace aioss::engines::ggml
