#include "cli/record_view.h"

#include <gtest/gtest.h>

namespace aioss::cli {
namespace {

namespace key = ledger::key;
using codec::Value;

ledger::Record request() {
  ledger::Record record;
  record.index = 17;
  record.type = ledger::RecordType::kInferRequest;
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

TEST(RecordView, JsonHasNamesAndNumbersWhereThereIsNoName) {
  const codec::OrderedJson json = record_json(request());
  EXPECT_EQ(json["index"], 17);
  EXPECT_EQ(json["type"], "INFER_REQUEST");
  EXPECT_EQ(json["leaf"].get<std::string>().substr(0, 4), "abab");
  EXPECT_EQ(json["body"]["request_id"], "req_1");
  EXPECT_EQ(json["body"]["actor"]["kind"], 1);
  EXPECT_EQ(json["body"]["sampler"]["temperature"], 0.5);
  EXPECT_EQ(json["body"]["99"], "from a newer version");
}

TEST(RecordView, LineTellsRecordsApart) {
  EXPECT_EQ(record_line(request(), false),
            "      17  2026-03-02 12:30:05Z  INFER_REQUEST   request_id=req_1  endpoint=cli\n");
}

TEST(RecordView, TextShowsEverythingAndNoEscapes) {
  const std::string text = record_text(request(), false);
  for (const char* part : {"INFER_REQUEST", "temperature", "from a newer version", "abababab"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(RecordView, UnknownTypesAreShownByNumber) {
  ledger::Record record;
  record.type = static_cast<ledger::RecordType>(0x8001);
  EXPECT_EQ(record_type_name(record.type), "type 32769");
  EXPECT_EQ(record_json(record)["type"], "type 32769");
}

}  // namespace
}  // namespace aioss::cli
