// Every type of the format has a name, and every key that it may have.
#include "ledger/format/record.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

#include "ledger/format/key_names.h"

namespace aioss::ledger {
namespace {

TEST(RecordTypes, AreNamedOnceInOrderAndNoOthers) {
  std::set<std::string_view> names;
  std::uint16_t last = 0;
  for (const auto& [type, text] : record_types()) {
    EXPECT_GT(static_cast<std::uint16_t>(type), last) << text;
    last = static_cast<std::uint16_t>(type);
    EXPECT_LT(last, kFirstPrivateType);
    EXPECT_EQ(name(type), text);
    EXPECT_TRUE(names.insert(text).second) << text;
  }
  std::size_t known = 0;
  for (unsigned number = 0; number < 0x10000; ++number) {
    known += name(static_cast<RecordType>(number)).has_value() ? 1 : 0;
  }
  EXPECT_EQ(known, record_types().size());
}

// The last own key of each type, as docs/formats/ledger.md has them.
TEST(KeyNames, CoverEveryKeyOfEveryType) {
  const std::vector<std::pair<RecordType, std::uint64_t>> last{
      {RecordType::kGenesis, 19},       {RecordType::kSegmentOpen, 16},
      {RecordType::kSegmentSeal, 21},   {RecordType::kKeyRotate, 22},
      {RecordType::kRecovery, 22},      {RecordType::kAnchor, 22},
      {RecordType::kClock, 18},         {RecordType::kEngineStart, 26},
      {RecordType::kEngineStop, 16},    {RecordType::kModelLoad, 32},
      {RecordType::kModelUnload, 16},   {RecordType::kConfigChange, 20},
      {RecordType::kUpdate, 19},        {RecordType::kInferRequest, 32},
      {RecordType::kInferResult, 17},   {RecordType::kInferAbort, 17},
      {RecordType::kDecision, 23},      {RecordType::kHumanReview, 18},
      {RecordType::kAuth, 19},          {RecordType::kAdminAction, 19},
      {RecordType::kAccess, 18},        {RecordType::kRedact, 20},
      {RecordType::kRetentionDrop, 19}, {RecordType::kLegalHold, 18}};
  for (const auto& [type, after] : last) {
    std::set<std::string_view> names;
    for (std::uint64_t key = key::kOwnFirst; key <= after; ++key) {
      const KeyName* found = key_name(type, key);
      ASSERT_NE(found, nullptr) << *name(type) << " " << key;
      EXPECT_EQ(found->key, key);
      EXPECT_TRUE(names.insert(found->name).second) << *name(type) << " " << found->name;
    }
    EXPECT_EQ(key_name(type, after + 1), nullptr) << *name(type);
  }
  for (std::uint64_t key = 0; key <= key::kRefIndex; ++key) {
    EXPECT_NE(key_name(RecordType::kAuth, key), nullptr) << key;
  }
  EXPECT_EQ(inner_key_name(As::kActor, key::actor::kTenant)->name, "tenant");
  EXPECT_EQ(inner_key_name(As::kAdapters, key::adapter::kLoadRef)->name, "load");
  EXPECT_EQ(inner_key_name(As::kPlain, 0), nullptr);
}

}  // namespace
}  // namespace aioss::ledger
