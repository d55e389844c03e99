// /admin/anchor over a real socket and a real ledger.
#include "server/anchor_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "codec/json.h"
#include "crypto/random.h"
#include "ledger/reading/verify.h"
#include "ledger/witness/witness.h"
#include "server/key_file.h"
#include "server/test_support.h"

namespace aioss::server {
namespace {

using test::Reply;
using test::RunningServer;
using testing::AllOf;
using testing::HasSubstr;

const std::string kPath = "/admin/anchor";

class AnchorRoutes : public testing::Test {
 protected:
  AnchorRoutes() {
    std::filesystem::remove_all(folder);
    ledger::InitOptions making;
    making.directory = folder + "/ledger";
    making.origin = "example.test/a";
    making.trial = true;
    const auto identity = ledger::init(fs, clock, random, making);
    EXPECT_TRUE(identity.has_value());
    ledger::OpenOptions opening;
    opening.directory = making.directory;
    opening.reserve_bytes = 0;
    own = std::move(*ledger::Ledger::open(fs, clock, random, opening));
    anchors = std::make_unique<ledger::Anchors>(fs, *own, making.directory);
    key = *ledger::Witness::init(fs, random, folder + "/witness", "witness.example/w1");
    witness = std::move(*ledger::Witness::open(fs, clock, folder + "/witness"));
    EXPECT_TRUE(witness->trust(*ledger::parse_verifier_key(identity->verifier_key)).has_value());
  }
  ~AnchorRoutes() override { std::filesystem::remove_all(folder); }

  ApiOptions options() const {
    ApiOptions out;
    out.anchors = anchors.get();
    return out;
  }
  static std::string body(const std::string& note, const std::string& witness_key) {
    codec::OrderedJson json;
    json["note"] = note;
    json["witness_key"] = witness_key;
    return codec::dump_json(json);
  }

  const std::string folder = testing::TempDir() + "aioss-anchor-" + std::to_string(::getpid());
  os::RealFileSystem fs;
  test::StillClock clock;
  crypto::SystemRandom random;
  std::unique_ptr<ledger::Ledger> own;
  std::unique_ptr<ledger::Anchors> anchors;
  ledger::WitnessKey key;
  std::unique_ptr<ledger::Witness> witness;
};

TEST_F(AnchorRoutes, ARunningLedgerIsWitnessed) {
  RunningServer server(options());
  for (int round = 0; round < 2; ++round) {
    const Reply request = server.get(kPath + "?witness=witness.example%2Fw1");
    ASSERT_EQ(request.status, 200) << request.body;
    EXPECT_THAT(request.header("Content-Type"), HasSubstr("text/plain"));
    const auto cosigned = witness->sign(request.body);
    ASSERT_TRUE(cosigned.has_value()) << cosigned.error().message;
    const std::string sent = body(cosigned->note, ledger::format_witness_key(key));
    const Reply taken = server.post(kPath, sent);
    ASSERT_EQ(taken.status, 200) << taken.body;
    const auto json = codec::parse_json(taken.body);
    EXPECT_EQ((*json)["size"], cosigned->checkpoint.size);
    EXPECT_EQ((*json)["witness"], "witness.example/w1");
    EXPECT_TRUE(json->contains("record"));
    EXPECT_FALSE(codec::parse_json(server.post(kPath, sent).body)->contains("record"));
  }
  EXPECT_TRUE(ledger::signed_by(*ledger::parse_note(server.get(kPath).body),
                                *ledger::parse_verifier_key(own->identity().verifier_key)));
  std::uint64_t found = 0;
  ASSERT_TRUE(ledger::read_records(fs, folder + "/ledger", 0, [&](const ledger::Record& record) {
                if (record.type != ledger::RecordType::kAnchor) return true;
                ++found;
                const auto actor = record.body.get_map(ledger::key::kActor, "actor");
                EXPECT_TRUE(actor.has_value());
                return true;
              }).has_value());
  EXPECT_EQ(found, 5U);
}

TEST_F(AnchorRoutes, AnswersAreAsClearAsOnTheCommandLine) {
  RunningServer server(options());
  EXPECT_EQ(server.get(kPath + "?old=3").status, 400);
  EXPECT_EQ(server.get(kPath + "?witness=w&old=-1").status, 400);
  EXPECT_EQ(server.get(kPath + "?witness=a%20b").status, 400);
  EXPECT_EQ(server.get(kPath + "?wetness=w").status, 400);
  EXPECT_EQ(server.get(kPath + "?witness=w&old=99999").status, 409);
  const std::string note = server.get(kPath).body;
  EXPECT_THAT(server.post(kPath, body(note, ledger::format_witness_key(key))).body,
              AllOf(HasSubstr("permission_error"), HasSubstr("not cosigned by")));
  EXPECT_EQ(server.post(kPath, body(note, "x")).status, 400);
  EXPECT_THAT(server.post(kPath, R"({"note":"x","witness_kay":"y"})").body,
              HasSubstr("did you mean"));
  EXPECT_EQ(server.post(kPath, body("x", ledger::format_witness_key(key))).status, 400);
  EXPECT_EQ(server.post(kPath, "[]").status, 400);
  EXPECT_EQ(server.post(kPath, "{").status, 400);
  EXPECT_EQ(server.post(kPath, R"({"note":1,"witness_key":"y"})").status, 400);
  test::Client client(server.port());
  client.get(kPath, "", "DELETE");
  EXPECT_EQ(client.read_reply().header("Allow"), "GET, HEAD, POST");
}

TEST_F(AnchorRoutes, WhatThisOwnersWitnessSignedIsRecorded) {
  RunningServer server(options());
  const Reply request = server.get(kPath + "?witness=witness.example/w1");
  const auto cosigned = witness->sign(request.body);
  ASSERT_TRUE(cosigned.has_value());
  codec::Json sent = *codec::parse_json(body(cosigned->note, ledger::format_witness_key(key)));
  sent["witnessed"] = true;
  // It is this ledger's own, which cannot be its own witness.
  EXPECT_THAT(server.post(kPath, codec::dump_json(sent)).body, HasSubstr("its own witness"));
  sent["witnessed"] = "yes";
  EXPECT_EQ(server.post(kPath, codec::dump_json(sent)).status, 400);
}

TEST_F(AnchorRoutes, OnlyOperatorsMay) {
  const std::string path = folder + "/keys";
  std::string text;
  std::vector<std::string> keys;
  for (const runtime::Role role :
       {runtime::Role::kUser, runtime::Role::kAuditor, runtime::Role::kOperator}) {
    const auto made = make_key(random, "k" + std::to_string(keys.size()), "t", "u", role);
    keys.push_back("Authorization: Bearer " + made->key + "\r\n");
    text += made->line + "\n";
  }
  ASSERT_TRUE(os::replace_file(fs, path, as_bytes(text)).has_value());
  ApiOptions with_keys = options();
  with_keys.key_file = path;
  RunningServer server(with_keys);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const bool may = i + 1 == keys.size();
    EXPECT_EQ(server.get(kPath, keys[i]).status, may ? 200 : 403) << i;
    EXPECT_EQ(server.post(kPath, "{}", keys[i]).status, may ? 400 : 403) << i;
  }
}

TEST_F(AnchorRoutes, AServerWithoutALedgerSaysSo) {
  RunningServer server;
  EXPECT_EQ(server.get(kPath).status, 400);
  EXPECT_THAT(server.get(kPath).body, HasSubstr("gives out no checkpoints"));
}

}  // namespace
}  // namespace aioss::server
