#include "cli/record_view.h"

#include <gtest/gtest.h>

#include "ledger/format/key_names.h"
#include "os/file.h"

namespace aioss::cli {
namespace {

namespace key = ledger::key;
using codec::Value;
using ledger::record_json;
using ledger::record_type_name;

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

// Of a type, with a text under each of its keys.
ledger::Record with_keys(ledger::RecordType type) {
  ledger::Record record;
  record.type = type;
  for (std::uint64_t key = key::kOwnFirst; ledger::key_name(type, key) != nullptr; ++key) {
    record.body.set(key, Value::text("value-" + std::to_string(key)));
  }
  return record;
}

TEST(RecordView, EveryTypeIsRenderedWithTheNamesOfItsKeys) {
  for (const auto& [type, name] : ledger::record_types()) {
    const ledger::Record record = with_keys(type);
    const codec::OrderedJson json = record_json(record);
    EXPECT_EQ(json["type"], name);
    EXPECT_EQ(json["body"].size(), record.body.entries().size())
        << name << ": a name is used twice";
    for (const auto& [label, value] : json["body"].items()) {
      EXPECT_TRUE(label.find_first_not_of("0123456789") != std::string::npos) << name << label;
      EXPECT_NE(record_text(record, false).find(label), std::string::npos) << name;
    }
    EXPECT_NE(record_line(record, false).find(name), std::string::npos);
    EXPECT_EQ(record_line(record, false).find('\n'), record_line(record, false).size() - 1);
  }
}

TEST(RecordView, ListsAndNegativeNumbersAreShownAsTheyAre) {
  ledger::Record record;
  record.type = ledger::RecordType::kClock;
  record.body.set(key::clock::kJumpNs, Value::integer(-90'000'000'000));
  EXPECT_EQ(record_json(record)["body"]["jump_ns"], -90'000'000'000);
  record.type = ledger::RecordType::kAdminAction;
  record.body = {};
  record.body.set(key::admin_action::kDetails,
                  Value::array({Value::text("added k1"), Value::text("removed \x1bk")}));
  EXPECT_EQ(record_json(record)["body"]["details"][1], "removed \x1bk");
  EXPECT_EQ(record_line(record, false).find('\x1b'), std::string::npos);
}

TEST(Document, SaysOfEveryTypeWhenItIsWritten) {
  os::RealFileSystem files;
  const auto page = os::read_file(files, AIOSS_SOURCE_DIR "/docs/records.md", 1 << 20);
  ASSERT_TRUE(page) << page.error().message;
  for (const auto& [type, name] : ledger::record_types()) {
    EXPECT_NE(as_text(*page).find(name), std::string_view::npos) << name;
  }
}

TEST(RecordView, UnknownTypesAreShownByNumber) {
  ledger::Record record;
  record.type = static_cast<ledger::RecordType>(0x8001);
  EXPECT_EQ(record_type_name(record.type), "type 32769");
  EXPECT_EQ(record_json(record)["type"], "type 32769");
}

}  // namespace
}  // namespace aioss::cli
