// Model files by open descriptor. A worker may open nothing once it parses a model, and
// ik_llama.cpp knows paths only. While a ModelFiles lives, the paths that it gives are those
// descriptors for the thread that made it: the plugin's fopen (replaced at link time:
// CMakeLists.txt) duplicates one instead of opening a file. Every other path is refused: no file is
// opened by name, ever.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "aioss/engine.h"

namespace aioss::engines::ik {

class ModelFiles final {
 public:
  // Borrows the descriptors; they are read by one thread at a time.
  explicit ModelFiles(std::span<const int> fds);
  ~ModelFiles();
  ModelFiles(const ModelFiles&) = delete;
  ModelFiles& operator=(const ModelFiles&) = delete;

  // AIOSS_E_CORRUPT if a file does not begin as a GGUF file does.
  aioss_status check_magic(aioss_error* error) const;
  // Of the first part: ik_llama.cpp derives the others' from it.
  std::string path() const;
  // The descriptor of a path; -1 if it is none of these.
  int descriptor_of(const char* path) const;

 private:
  std::string path_of(std::size_t part) const;

  std::span<const int> fds_;
};

}  // namespace aioss::engines::ik
