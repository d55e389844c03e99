// A fake model in an unnamed file, for tests of this folder and of those above it.
#pragma once

#include <cstdio>
#include <string>

#include "base/assert.h"

namespace aioss::engines::fake {

// Owns the file; the descriptor is open for reading while the object lives.
class TestModelFile final {
 public:
  // `lines` come after the first line, or replace it if they bring their own.
  explicit TestModelFile(const std::string& lines, bool bare = false) : file_(std::tmpfile()) {
    ASSERT(file_ != nullptr);
    const std::string text = bare ? lines : "aioss-fake 1\n" + lines;
    ASSERT(std::fwrite(text.data(), 1, text.size(), file_) == text.size());
    ASSERT(std::fflush(file_) == 0);
    std::rewind(file_);
  }
  ~TestModelFile() { std::fclose(file_); }
  TestModelFile(const TestModelFile&) = delete;
  TestModelFile& operator=(const TestModelFile&) = delete;

  int fd() const { return fileno(file_); }

 private:
  std::FILE* file_;
};

}  // namespace aioss::engines::fake
