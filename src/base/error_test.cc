#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

namespace aioss {
namespace {

// Walks the enum: a code that was added without its row, or with a row in the wrong place, fails
// here.
TEST(Error, EveryCodeHasItsOwnNameAndSensibleMapping) {
  std::set<std::string_view> names;
  for (int i = 0; i < kCodeCount; ++i) {
    const auto code = static_cast<Code>(i);
    const CodeInfo& about = info(code);
    ASSERT_FALSE(about.name.empty()) << "code " << i << " has no row";
    EXPECT_TRUE(names.insert(about.name).second) << about.name << " is used twice";
    EXPECT_EQ(code_from_name(about.name), code);
    for (const char c : about.name) EXPECT_TRUE((c >= 'a' && c <= 'z') || c == '_') << about.name;
    EXPECT_GE(about.http_status, 400);
    EXPECT_LE(about.http_status, 599);
    EXPECT_TRUE(about.wire_type.ends_with("_error")) << about.name;
    EXPECT_NE(about.exit_code, ExitCode::kOk) << about.name;
  }
  EXPECT_EQ(code_from_name("no_such_code"), std::nullopt);
}

// The rows that clients and scripts depend on most, so that a shifted table cannot pass.
TEST(Error, KnownRows) {
  EXPECT_EQ(info(Code::kNotFound).http_status, 404);
  EXPECT_EQ(info(Code::kNotFound).exit_code, ExitCode::kNotFound);
  EXPECT_EQ(info(Code::kBusy).http_status, 429);
  EXPECT_EQ(info(Code::kTooLarge).http_status, 413);
  EXPECT_EQ(info(Code::kHeaderTooLarge).http_status, 431);
  EXPECT_EQ(info(Code::kContextExceeded).name, "context_length_exceeded");
  EXPECT_EQ(info(Code::kLedgerUnavailable).http_status, 503);
  EXPECT_EQ(info(Code::kUsage).exit_code, ExitCode::kUsage);
  EXPECT_EQ(info(Code::kInternal).name, "internal");
}

TEST(Error, ContextComesBeforeTheMessageAndKeepsTheRest) {
  Error error{Code::kIo, "disk full", "path"};
  const Error outer = std::move(error).with_context("writing the ledger");
  EXPECT_EQ(outer.message, "writing the ledger: disk full");
  EXPECT_EQ(outer.code, Code::kIo);
  EXPECT_EQ(outer.field, "path");
}

TEST(Error, FromErrno) {
  const Error missing = error_from_errno(ENOENT, "cannot open x");
  EXPECT_EQ(missing.code, Code::kNotFound);
  EXPECT_EQ(missing.message, "cannot open x: No such file or directory");
  EXPECT_EQ(error_from_errno(EADDRINUSE, "x").code, Code::kConflict);
  EXPECT_EQ(error_from_errno(ENOMEM, "x").code, Code::kNoMemory);
  EXPECT_EQ(error_from_errno(EIO, "x").code, Code::kIo);
}

}  // namespace
}  // namespace aioss
