#include "ledger/lookup.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <vector>

#include "ledger/test_support.h"

namespace aioss::ledger {
namespace {

codec::Map with_id(std::string_view id, std::optional<std::uint64_t> request = std::nullopt) {
  codec::Map body;
  body.set(key::kRequestId, codec::Value::text(id));
  if (request) body.set(key::kRefIndex, codec::Value::uint(*request));
  return body;
}

// Small segments, so that requests and their ends are in several.
class LookupTest : public testing::Test {
 protected:
  static constexpr int kRequests = 40;

  void SetUp() override {
    InitOptions making;
    making.directory = test::kDirectory;
    ASSERT_TRUE(init(fs, clock, random, making).has_value());
    auto opened = Ledger::open(fs, clock, random, test::open_options(1'500));
    ASSERT_TRUE(opened.has_value());
    ledger = std::move(*opened);
    for (int i = 0; i < kRequests; ++i) {
      requests.push_back(write(RecordType::kInferRequest, with_id("req_" + std::to_string(i))));
    }
    for (int i = 0; i < kRequests; i += 2) {
      const auto at = static_cast<std::size_t>(i);
      ends[i] = write(RecordType::kInferResult, with_id("req_" + std::to_string(i), requests[at]));
    }
    ASSERT_GT(test::segment_paths(fs).size(), 4U);
  }
  std::uint64_t write(RecordType type, codec::Map body) {
    const auto committed = ledger->append_and_wait(type, std::move(body));
    EXPECT_TRUE(committed.has_value());
    return committed ? committed->index : 0;
  }

  test::MemoryFileSystem fs;
  test::FixedClock clock;
  test::CountingRandom random;
  std::unique_ptr<Ledger> ledger;
  std::vector<std::uint64_t> requests;
  std::map<int, std::uint64_t> ends;
};

TEST_F(LookupTest, FindsEveryRequestByItsIdWithItsEndIfItHasOne) {
  for (int i = 0; i < kRequests; ++i) {
    const auto found = find_inference(fs, test::kDirectory, "req_" + std::to_string(i));
    ASSERT_TRUE(found.has_value()) << i;
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(found->index, ends.contains(i) ? ends[i] : requests[at]);
    EXPECT_EQ(found->type, ends.contains(i) ? RecordType::kInferResult : RecordType::kInferRequest);
  }
  const auto none = find_inference(fs, test::kDirectory, "req_99");
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, Code::kNotFound);
}

TEST_F(LookupTest, FindsRecordsOfInferencesByTheirIndexAndNoOthers) {
  std::uint64_t found_records = 0;
  const std::uint64_t size = ledger->health().size;
  for (std::uint64_t index = 0; index < size + 2; ++index) {
    const auto found = find_inference(fs, test::kDirectory, index);
    if (!found) {
      EXPECT_EQ(found.error().code, Code::kNotFound);
      continue;
    }
    EXPECT_EQ(found->index, index);
    ++found_records;
  }
  EXPECT_EQ(found_records, requests.size() + ends.size());
}

TEST_F(LookupTest, AWriteUnderWayEndsTheSearchQuietly) {
  std::size_t segments = 0;
  std::uint64_t last = 0;
  do {  // the write may have sealed its segment
    segments = test::segment_paths(fs).size();
    last = write(RecordType::kInferRequest, with_id("req_late"));
  } while (test::segment_paths(fs).size() != segments);
  Bytes& live = fs.content(test::segment_paths(fs).back());
  ASSERT_TRUE(find_inference(fs, test::kDirectory, last).has_value());
  live.resize(live.size() - 9);
  EXPECT_EQ(find_inference(fs, test::kDirectory, last).error().code, Code::kNotFound);
  EXPECT_TRUE(find_inference(fs, test::kDirectory, "req_1").has_value());
  live.resize(5);  // not even a header
  EXPECT_TRUE(find_inference(fs, test::kDirectory, "req_1").has_value());
}

}  // namespace
}  // namespace aioss::ledger
