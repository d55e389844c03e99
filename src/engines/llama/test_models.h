// The test models of this folder, by the environment variable AIOSS_MODELS_DIR.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "engine/engine.h"
#include "engines/llama/llama_engine.h"
#include "os/environment.h"
#include "os/file.h"

namespace aioss::engines::llama {

inline constexpr const char* kSmolLm2 = "SmolLM2-135M-Instruct.Q4_1.gguf";
inline constexpr const char* kGemma3 = "gemma-3-270m-q4_k_m.gguf";

// "" if the models are not there: the test is skipped and says so.
inline std::string model_path(const std::string& name) {
  const auto folder = os::environment("AIOSS_MODELS_DIR");
  if (!folder) return "";
  const std::string path = *folder + "/" + name;
  return access(path.c_str(), R_OK) == 0 ? path : "";
}

#define AIOSS_REQUIRE_MODEL(name) \
  if (model_path(name).empty())   \
  GTEST_SKIP() << name << " is not in AIOSS_MODELS_DIR; ./dev test obtains it"

inline os::Fd open_model_file(const std::string& name) {
  return os::Fd(open(model_path(name).c_str(), O_RDONLY | O_CLOEXEC));
}

inline Result<std::unique_ptr<engine::Model>> open_model(
    int fd, aioss_profile profile = AIOSS_PROFILE_FAST) {
  aioss_model_options options = {};
  options.struct_size = sizeof options;
  options.profile = static_cast<std::uint32_t>(profile);
  options.fds = &fd;
  options.fd_count = 1;
  return engine::Model::open(*entry(), options);
}

// AIOSS_LONG: all that there is to try.
inline bool long_form() {
  return os::environment("AIOSS_LONG").has_value();
}

}  // namespace aioss::engines::llama
