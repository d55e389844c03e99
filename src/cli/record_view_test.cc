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

}  // namespace
}  // namespace aioss::cli
