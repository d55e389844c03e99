#include "os/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "os/testing/fault_file_system.h"

namespace aioss::os {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "aioss-file-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ + '/' + name; }
  unsigned permissions_of(const std::string& name) const {
    struct stat about{};
    EXPECT_EQ(::stat(path(name).c_str(), &about), 0);
    return about.st_mode & 07777;
  }
  std::string content_of(const std::string& name) {
    const auto bytes = read_file(fs_, path(name), 1 << 20);
    return bytes ? std::string(as_text(*bytes)) : "error: " + bytes.error().message;
  }

  std::string directory_;
  RealFileSystem fs_;
};

TEST_F(FileTest, WritesReadsAndTruncates) {
  auto file = fs_.open(path("a"), OpenMode::kCreateNew);
  ASSERT_TRUE(file);
  EXPECT_EQ(*(*file)->write_at(0, as_bytes("hello world")), 11u);
  EXPECT_EQ(*(*file)->write_at(6, as_bytes("there")), 5u);
  EXPECT_TRUE((*file)->sync_data());
  EXPECT_TRUE((*file)->sync_all());
  Bytes buffer(64);
  EXPECT_EQ(*(*file)->read_at(6, buffer), 5u);  // fewer only at the end
  EXPECT_EQ(as_text(ByteView(buffer).first(5)), "there");
  EXPECT_EQ(*(*file)->read_at(100, buffer), 0u);
  EXPECT_TRUE((*file)->truncate(5));
  EXPECT_EQ((*file)->info()->size, 5u);
  EXPECT_TRUE((*file)->info()->is_regular);
  EXPECT_EQ(content_of("a"), "hello");
  EXPECT_EQ((*file)->info()->inode, fs_.info(path("a"))->inode);
}

TEST_F(FileTest, ModesDoWhatTheySay) {
  EXPECT_EQ(fs_.open(path("a"), OpenMode::kRead).error().code, Code::kNotFound);
  EXPECT_EQ(fs_.open(path("a"), OpenMode::kReadWrite).error().code, Code::kNotFound);
  ASSERT_TRUE(fs_.open(path("a"), OpenMode::kReadWriteCreate, 0600));
  EXPECT_EQ(permissions_of("a"), 0600u);
  EXPECT_EQ(fs_.open(path("a"), OpenMode::kCreateNew).error().code, Code::kConflict);
  auto reading = fs_.open(path("a"), OpenMode::kRead);
  ASSERT_TRUE(reading);
  EXPECT_FALSE((*reading)->write_at(0, as_bytes("x")));
  EXPECT_NE(::fcntl((*reading)->descriptor(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(::fcntl((*reading)->descriptor(), F_GETFL) & O_NONBLOCK, 0);
}

// A named pipe in a models directory must not hang whoever opens what is there.
TEST_F(FileTest, OpeningANamedPipeDoesNotWait) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  auto opened = fs_.open(path("pipe"), OpenMode::kRead);
  ASSERT_TRUE(opened);
  EXPECT_FALSE((*opened)->info()->is_regular);
}

TEST_F(FileTest, OffsetsBeyondTheSystemsAreErrors) {
  auto file = fs_.open(path("a"), OpenMode::kCreateNew);
  Bytes buffer(8);
  EXPECT_EQ((*file)->read_at(~0ULL, buffer).error().code, Code::kInvalidArgument);
  EXPECT_EQ((*file)->write_at((1ULL << 63) - 4, as_bytes("12345678")).error().code,
            Code::kInvalidArgument);
  EXPECT_FALSE((*file)->truncate(1ULL << 63));
}

TEST_F(FileTest, ErrorsNameTheFileAndNotTheFolder) {
  const Error error = fs_.open(path("missing.gguf"), OpenMode::kRead).error();
  EXPECT_THAT(error.message, HasSubstr("cannot open missing.gguf: No such file"));
  EXPECT_THAT(error.message, Not(HasSubstr(directory_)));
}

TEST_F(FileTest, OneLockAtATimeAndItEndsWithTheObject) {
  auto first = fs_.open(path("LOCK"), OpenMode::kReadWriteCreate);
  auto second = fs_.open(path("LOCK"), OpenMode::kReadWriteCreate);
  EXPECT_TRUE((*first)->lock_exclusive());
  EXPECT_TRUE((*first)->lock_exclusive());  // again: still ours
  // Even in the same process, where a lock of the older kind would let the second in.
  EXPECT_EQ((*second)->lock_exclusive().error().code, Code::kConflict);
  first->reset();
  EXPECT_TRUE((*second)->lock_exclusive());
}

TEST_F(FileTest, ALockHoldsAgainstOtherProcesses) {
  auto file = fs_.open(path("LOCK"), OpenMode::kReadWriteCreate);
  ASSERT_TRUE((*file)->lock_exclusive());
  const pid_t pid = ::fork();
  if (pid == 0) {
    auto other = fs_.open(path("LOCK"), OpenMode::kReadWrite);
    const auto locked = (*other)->lock_exclusive();
    ::_exit(!locked && locked.error().code == Code::kConflict ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(FileTest, DirectoriesAreMadeListedAndRemoved) {
  EXPECT_TRUE(fs_.make_directories(path("x/y/z"), 0700));
  EXPECT_TRUE(fs_.make_directories(path("x/y/z"), 0700));  // there already
  EXPECT_TRUE(fs_.make_directories(path("x/y/w/"), 0700));
  EXPECT_EQ(permissions_of("x/y"), 0700u);
  EXPECT_THAT(*fs_.list(path("x/y")), ElementsAre("w", "z"));
  EXPECT_TRUE(fs_.info(path("x/y"))->is_directory);
  EXPECT_TRUE(fs_.sync_directory(path("x")));
  ASSERT_TRUE(fs_.open(path("file"), OpenMode::kCreateNew));
  EXPECT_FALSE(fs_.make_directories(path("file/below")));
  EXPECT_FALSE(fs_.make_directories(path("file")));
  EXPECT_FALSE(fs_.remove(path("x")));  // not empty
  EXPECT_TRUE(fs_.remove(path("x/y/z")));
  EXPECT_TRUE(fs_.remove(path("file")));
  EXPECT_EQ(fs_.remove(path("file")).error().code, Code::kNotFound);
  EXPECT_EQ(fs_.list(path("none")).error().code, Code::kNotFound);
}

TEST_F(FileTest, RenameReplacesAndPermissionsChange) {
  ASSERT_TRUE(replace_file(fs_, path("a"), as_bytes("A")));
  ASSERT_TRUE(replace_file(fs_, path("b"), as_bytes("B")));
  EXPECT_TRUE(fs_.rename(path("a"), path("b")));
  EXPECT_EQ(content_of("b"), "A");
  EXPECT_TRUE(fs_.set_permissions(path("b"), 0400));
  EXPECT_EQ(permissions_of("b"), 0400u);
}

TEST_F(FileTest, SpaceAndType) {
  EXPECT_GT(*fs_.bytes_available(directory_), 0u);
  EXPECT_EQ(*fs_.type_name("/proc"), "proc");
  EXPECT_EQ(*fs_.type_name("/sys"), "sysfs");
  EXPECT_NE(*fs_.type_name(directory_), "");
  EXPECT_FALSE(fs_.type_name(path("none")));
}

TEST_F(FileTest, ReadFileObeysItsLimit) {
  ASSERT_TRUE(replace_file(fs_, path("a"), Bytes(100'000, 'x')));
  EXPECT_EQ(read_file(fs_, path("a"), 100'000)->size(), 100'000u);
  EXPECT_EQ(read_file(fs_, path("a"), 99'999).error().code, Code::kTooLarge);
  EXPECT_EQ(read_file(fs_, path("a"), 0).error().code, Code::kTooLarge);
  // Files of /proc say that they are empty.
  EXPECT_GT(read_file(fs_, "/proc/self/status", 1 << 20)->size(), 100u);
}

TEST_F(FileTest, ReplaceFileIsAllOrNothing) {
  ASSERT_TRUE(replace_file(fs_, path("a"), as_bytes("old"), 0600));
  EXPECT_EQ(permissions_of("a"), 0600u);
  for (const FaultPoint point :
       {FaultPoint::kOpen, FaultPoint::kWrite, FaultPoint::kSync, FaultPoint::kRename}) {
    FaultFileSystem faulty(fs_);
    faulty.arm(point, {.error_number = ENOSPC});
    const auto replaced = replace_file(faulty, path("a"), as_bytes("new"), 0600);
    ASSERT_FALSE(replaced) << static_cast<int>(point);
    EXPECT_THAT(replaced.error().message, HasSubstr("No space left"));
    EXPECT_EQ(content_of("a"), "old");
    EXPECT_THAT(*fs_.list(directory_), ElementsAre("a"));
  }
  ASSERT_TRUE(replace_file(fs_, path("a"), as_bytes("new"), 0600));
  EXPECT_EQ(content_of("a"), "new");
  EXPECT_THAT(*fs_.list(directory_), ElementsAre("a"));
}

// What is written is often a key. The temporary file cannot be removed here, so that the test can
// look into it.
TEST_F(FileTest, ReplaceFileOverwritesWhatFailed) {
  ASSERT_TRUE(replace_file(fs_, path("a"), as_bytes("old"), 0600));
  for (const FaultPoint point : {FaultPoint::kWrite, FaultPoint::kSync, FaultPoint::kRename}) {
    SCOPED_TRACE(static_cast<int>(point));
    FaultFileSystem faulty(fs_);
    faulty.arm(point, {.error_number = EIO, .short_bytes = 4});
    faulty.arm(FaultPoint::kRemove, {.call = 2, .error_number = EIO});
    EXPECT_FALSE(replace_file(faulty, path("a"), as_bytes("private key"), 0600));
    const std::string left = content_of("a.tmp");
    EXPECT_EQ(left, std::string(point == FaultPoint::kWrite ? 4 : 11, '\0'));
    EXPECT_EQ(content_of("a"), "old");
    ASSERT_TRUE(fs_.remove(path("a.tmp")));
  }
}

TEST_F(FileTest, ReplaceFileGoesOnAfterAShortWriteAndSyncsBoth) {
  FaultFileSystem faulty(fs_);
  faulty.arm(FaultPoint::kWrite, {.short_bytes = 2});
  ASSERT_TRUE(replace_file(faulty, path("a"), as_bytes("hello")));
  EXPECT_EQ(content_of("a"), "hello");
  EXPECT_EQ(faulty.calls(FaultPoint::kWrite), 2u);
  EXPECT_EQ(faulty.calls(FaultPoint::kSync), 1u);
  EXPECT_EQ(faulty.calls(FaultPoint::kSyncDirectory), 1u);
  faulty.arm(FaultPoint::kWrite, {.for_ever = true, .short_bytes = 0});
  EXPECT_FALSE(replace_file(faulty, path("a"), as_bytes("x")));  // and it ends
}

// What a crash left there: readable by all, and longer than what comes.
TEST_F(FileTest, ReplaceFileTakesNothingFromAnOldTemporaryFile) {
  ASSERT_TRUE(replace_file(fs_, path("a.tmp"), Bytes(1000, 'x'), 0666));
  ASSERT_TRUE(fs_.set_permissions(path("a.tmp"), 0666));
  ASSERT_TRUE(replace_file(fs_, path("a"), as_bytes("key"), 0600));
  EXPECT_EQ(content_of("a"), "key");
  EXPECT_EQ(permissions_of("a"), 0600u);
}

TEST_F(FileTest, FdClosesOnceAndMoves) {
  int number = -1;
  {
    Fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    number = fd.get();
    Fd moved = std::move(fd);
    EXPECT_FALSE(fd.valid());  // NOLINT: that is what is tested
    Fd other(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int closed = other.get();
    other = std::move(moved);
    EXPECT_EQ(other.get(), number);
    EXPECT_EQ(::fcntl(closed, F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace aioss::os
