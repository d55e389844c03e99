// Model files by open descriptor, as the streams that llama.cpp reads. A worker may open nothing
// once it parses a model; llama.cpp has a loader for one open stream, but wants paths for the parts
// of a split model. Those get a path that names a descriptor, and its one function that opens files
// (ggml_fopen, replaced at link time: CMakeLists.txt) duplicates the descriptor in its place.
// Thread-safe, but the streams of one descriptor share its offset: one thread reads them.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "aioss/engine.h"

namespace aioss::engines::llama {

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using FilePointer = std::unique_ptr<std::FILE, FileCloser>;

// A stream over a duplicate of the descriptor, at offset 0.
aioss_status open_stream(int fd, FilePointer& out, aioss_error* error);

// AIOSS_E_CORRUPT if the file does not begin as a GGUF file does.
aioss_status check_magic(int fd, aioss_error* error);

// What llama.cpp is given as the path of an open file: "/proc/self/fd/7".
std::string descriptor_path(int fd);

}  // namespace aioss::engines::llama
