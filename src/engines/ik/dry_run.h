// ik_llama.cpp has no dry run of a context and half of one of a model: it would read the whole file
// ahead and fill buffers with zeros. While a DryRun lives, for its thread, it does neither, at link
// time (--wrap, CMakeLists.txt): what it "allocates" then is address space that is never touched.
#pragma once

namespace aioss::engines::ik {

class DryRun final {
 public:
  explicit DryRun(bool is_dry = true);
  ~DryRun();
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;
};

}  // namespace aioss::engines::ik
