#include "ledger/format/render.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace aioss::ledger {
namespace {

using codec::Value;

Record request() {
  Record record;
  record.index = 17;
  record.type = RecordType::kInferRequest;
  record.leaf.fill(0xAB);
  codec::Map actor;
  actor.set(key::actor::kKind, Value::uint(1)).set(key::actor::kName, Value::text("al\x1bice"));
  codec::Map sampler;
  sampler.set(key::sampler::kTemperature, Value::float_bits(0.5F));
  record.body.set(key::kWallNs, Value::uint(1'772'454'605'000'000'000))
      .set(key::kActor, Value::map(actor))
      .set(key::kRequestId, Value::text("req_1"))
      .set(key::infer_request::kEndpoint, Value::text("cli"))
      .set(key::infer_request::kSampler, Value::map(sampler))
      .set(99, Value::text("from a newer version"));
  return record;
}

TEST(Render, JsonHasNamesAndNumbersWhereThereIsNoName) {
  const codec::OrderedJson json = record_json(request());
  EXPECT_EQ(json["index"], 17);
  EXPECT_EQ(json["type"], "INFER_REQUEST");
  EXPECT_EQ(json["leaf"].get<std::string>().substr(0, 4), "abab");
  EXPECT_EQ(json["body"]["request_id"], "req_1");
  EXPECT_EQ(json["body"]["actor"]["kind"], 1);
  EXPECT_EQ(json["body"]["sampler"]["temperature"], 0.5);
  EXPECT_EQ(json["body"]["99"], "from a newer version");
}

TEST(Render, AdaptersHaveNames) {
  Record record = request();
  codec::Map adapter;
  adapter.set(key::adapter::kScale, Value::float_bits(0.5F))
      .set(key::adapter::kName, Value::text("pirate"));
  codec::Array list;
  list.push_back(Value::map(std::move(adapter)));
  record.body.set(key::infer_request::kAdapters, Value::array(std::move(list)));
  const codec::OrderedJson shown = record_json(record)["body"]["adapters"][0];
  EXPECT_EQ(shown["scale"], 0.5);
  EXPECT_EQ(shown["adapter"], "pirate");
}

TEST(Render, UnknownTypesAreShownByNumber) {
  Record record;
  record.type = static_cast<RecordType>(0x8001);
  EXPECT_EQ(record_type_name(record.type), "type 32769");
  EXPECT_EQ(record_json(record)["type"], "type 32769");
}

TEST(Render, CsvQuotesWhatNeedsItAndDisarmsFormulas) {
  Record record = request();
  record.body = codec::Map();
  codec::Map actor;
  actor.set(key::actor::kName, Value::text("=1+1"))
      .set(key::actor::kTenant, Value::text("a,\"b\""));
  record.body.set(key::kWallNs, Value::uint(1'772'454'605'000'000'001))
      .set(key::kActor, Value::map(actor))
      .set(key::kRefIndex, Value::uint(9));
  const std::string leaf(64, 'a');
  std::string line = record_csv_line(record);
  EXPECT_EQ(line.substr(0, line.find(",abab")),
            "17,2026-03-02T12:30:05.000000001Z,INFER_REQUEST,\"a,\"\"b\"\"\",\"'=1+1\",,,9");
  EXPECT_TRUE(line.ends_with(",{}\r\n")) << line;
  const auto columns = [](const std::string& text) {
    return std::count(text.begin(), text.end(), ',');
  };
  record.body = codec::Map();
  EXPECT_EQ(columns(record_csv_line(record)), columns(csv_head()));
}

TEST(Render, TimesAreExactOverTheWholeCalendar) {
  const auto time_of = [](std::uint64_t wall_ns) {
    Record record;
    record.body.set(key::kWallNs, Value::uint(wall_ns));
    const std::string line = record_csv_line(record);
    return line.substr(2, line.find(',', 2) - 2);
  };
  EXPECT_EQ(time_of(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(time_of(951'782'399'999'999'999), "2000-02-28T23:59:59.999999999Z");
  EXPECT_EQ(time_of(951'782'400'000'000'000), "2000-02-29T00:00:00.000000000Z");
  EXPECT_EQ(time_of(4'107'542'400'000'000'000), "2100-03-01T00:00:00.000000000Z");
  EXPECT_EQ(time_of(9'223'372'036'854'775'807), "2262-04-11T23:47:16.854775807Z");
}

// What a bundle's tables look like is part of its format: whoever changes this line raises
// kRenderingVersion.
TEST(Render, LinesOfThisVersion) {
  EXPECT_EQ(kRenderingVersion, 1U);
  Record record;
  record.index = 3;
  record.type = RecordType::kInferAbort;
  record.body.set(key::kWallNs, Value::uint(1)).set(key::kRefIndex, Value::uint(2));
  record.body.set(key::infer_abort::kCause, Value::text("crash"));
  const std::string zeros(64, '0');
  EXPECT_EQ(record_json_line(record),
            R"({"index":3,"type":"INFER_ABORT","flags":0,"leaf":")" + zeros + R"(","chain":")" +
                zeros + R"(","body":{"wall_ns":1,"ref":2,"cause":"crash"}})" + "\n");
  EXPECT_EQ(record_csv_line(record), "3,1970-01-01T00:00:00.000000001Z,INFER_ABORT,,,,,2," + zeros +
                                         R"(,"{""cause"":""crash""}")" + "\r\n");
}

}  // namespace
}  // namespace aioss::ledger
