#include "plugins/plugin_file.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <string>

#include "crypto/hash.h"

namespace aioss::plugins {
namespace {

// From now on no memory file is made.
bool forbid_memory_files(int error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool in_a_child(const std::function<bool()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class PluginFileTest : public testing::Test {
 protected:
  PluginFileTest() {
    const os::Fd file(::mkstemp(path_.data()));
    EXPECT_EQ(::write(file.get(), "plugin", 6), 6);
  }
  ~PluginFileTest() override { ::unlink(path_.c_str()); }

  os::RealFileSystem fs_;
  std::string path_ = testing::TempDir() + "aioss-plugin-XXXXXX";
};

TEST_F(PluginFileTest, IsACopyThatNobodyChanges) {
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  const auto file = read_plugin(fs_, path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->sealed);
  EXPECT_EQ(file->sha256, crypto::sha256(as_bytes("plugin")));
}

TEST_F(PluginFileTest, WithoutMemoryFilesIsTheFileIfNobodyElseMayChangeIt) {
  for (const int error : {ENOSYS, EACCES}) {
    EXPECT_TRUE(in_a_child([&] {
      if (!forbid_memory_files(error)) return false;
      const auto file = read_plugin(fs_, path_);
      return file && !file->sealed && file->sha256 == crypto::sha256(as_bytes("plugin"));
    }));
  }
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  EXPECT_TRUE(in_a_child([&] {
    if (!forbid_memory_files(ENOSYS)) return false;
    const auto file = read_plugin(fs_, path_);
    return !file && file.error().code == Code::kForbidden;
  }));
}

TEST_F(PluginFileTest, IsNotTheFileForWantOfMemory) {
  EXPECT_TRUE(in_a_child([&] {
    if (!forbid_memory_files(ENOMEM)) return false;
    const auto file = read_plugin(fs_, path_);
    return !file && file.error().code == Code::kNoMemory;
  }));
}

}  // namespace
}  // namespace aioss::plugins
