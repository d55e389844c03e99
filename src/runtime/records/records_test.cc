// The plaintexts of commitments: docs/formats/commitments.md must stay true for what is in ledgers
// already.
#include "runtime/records/records.h"

#include <gtest/gtest.h>

#include "codec/hex.h"

namespace aioss::runtime::records {
namespace {

namespace key = ledger::key;
using Chat = std::vector<ipc::ChatMessage>;

TEST(RecordsTest, CanonicalPromptIsAsDocumented) {
  EXPECT_EQ(codec::to_hex(canonical_prompt(Chat{{"user", "Hi", ""}})),
            "a200010181a200447573657201424869");
  EXPECT_EQ(codec::to_hex(canonical_prompt(std::string("Hi"))), "a2000001424869");
  EXPECT_EQ(codec::to_hex(canonical_prompt(std::vector<ipc::Token>{1, 500})),
            "a2000201"
            "82"
            "01"
            "1901f4");
  EXPECT_EQ(codec::to_hex(canonical_stops({"a", "\n"})), "824161410a");
}

// Two different prompts must never have one encoding.
TEST(RecordsTest, CanonicalPromptsDiffer) {
  const std::vector<ipc::Prompt> prompts = {
      std::string("Hi"),
      std::string(""),
      Chat{},
      Chat{{"user", "Hi", ""}},
      Chat{{"user", "Hi", "bob"}},
      Chat{{"userHi", "", ""}},
      Chat{{"user", "H", ""}, {"user", "i", ""}},
      Chat{{"system", "Hi", ""}},
      std::vector<ipc::Token>{},
      std::vector<ipc::Token>{72, 105},
  };
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(canonical_prompt(prompts[i]), canonical_prompt(prompts[j])) << i << " and " << j;
    }
  }
}

TEST(RecordsTest, ConfigurationIsSortedAndEscaped) {
  GatewayOptions options;
  options.models_dir = "a\nb\\c";
  options.configuration = {{"zone", "1"}, {"host", "::1"}};
  const Configuration configuration = canonical_configuration(options);
  EXPECT_NE(configuration.text.find("models_dir=a\\nb\\\\c\n"), std::string::npos);
  EXPECT_TRUE(std::is_sorted(configuration.keys.begin(), configuration.keys.end()));
  EXPECT_EQ(configuration.keys.back(), "zone");
  EXPECT_EQ(static_cast<std::size_t>(
                std::count(configuration.text.begin(), configuration.text.end(), '\n')),
            configuration.keys.size());
  GatewayOptions other = options;
  other.threads = 3;
  EXPECT_NE(canonical_configuration(other).text, configuration.text);
}

// Nobody is named: who it was is said by the subject's id, which dies with its key.
TEST(RecordsTest, ActorSaysWhoAndFromWhereWithoutAName) {
  Principal principal{"ward-3", "alice", Role::kOperator, "key:7", "127.0.0.1:5"};
  EXPECT_EQ(actor(principal).find(key::actor::kName), nullptr);
  principal.subject = "s_1";
  const codec::Map map = actor(principal);
  EXPECT_EQ(*map.get_uint(key::actor::kKind, "kind"),
            static_cast<std::uint64_t>(ledger::ActorKind::kOperator));
  EXPECT_EQ(*map.get_text(key::actor::kSource, "source"), "key:7@127.0.0.1:5");
  EXPECT_EQ(*map.get_text(key::actor::kTenant, "tenant"), "ward-3");
  EXPECT_EQ(*map.get_text(key::actor::kName, "name"), "s_1");
  EXPECT_EQ(map.find(key::actor::kSubject), nullptr);
  principal.source = "unix:uid=1000";
  principal.address = "";
  EXPECT_EQ(*actor(principal).get_text(key::actor::kSource, "source"), "unix");
  Principal local;
  local.subject = "s_2";
  EXPECT_EQ(*actor(local).get_text(key::actor::kName, "name"), "local");
  EXPECT_EQ(*actor(local).get_text(key::actor::kSubject, "subject"), "s_2");
  Principal same_name{"ward-3", "local", Role::kUser, "key:8", ""};
  EXPECT_EQ(actor(same_name).find(key::actor::kName), nullptr) << "somebody who is called local";
}

TEST(RecordsTest, AbortNamesTheCause) {
  GenerateCall call;
  const codec::Map early =
      infer_abort({call, "req_1", std::nullopt, {Code::kShuttingDown, "x"}, std::nullopt});
  EXPECT_EQ(*early.get_text(key::infer_abort::kCause, "cause"), ledger::abort_cause::kShutdown);
  EXPECT_EQ(early.find(key::kRefIndex), nullptr);
  EXPECT_NE(early.find(key::kActor), nullptr);
  const codec::Map late = infer_abort({call, "req_1", 7, {Code::kWorkerDied, "x"}, 3});
  EXPECT_EQ(*late.get_text(key::infer_abort::kCause, "cause"), ledger::abort_cause::kWorkerDied);
  EXPECT_EQ(*late.get_uint(key::kRefIndex, "ref"), 7U);
  EXPECT_EQ(*late.get_uint(key::infer_abort::kTokensSoFar, "tokens"), 3U);
  EXPECT_EQ(late.find(key::kActor), nullptr);
}

TEST(RecordsTest, RequestLeavesOutWhatIsAbsent) {
  GenerateCall call;
  call.request.prompt = std::string("Hi");
  const auto build = [&] {
    return infer_request({call, "req_1", ipc::Profile::kFast, 5, 4, Digest{}, 2, std::nullopt});
  };
  codec::Map map = build();
  EXPECT_EQ(map.find(key::infer_request::kMaxTokens), nullptr);
  EXPECT_EQ(map.find(key::infer_request::kStopCommitment), nullptr);
  EXPECT_EQ((*map.get_map(key::infer_request::kSampler, "s"))->find(key::sampler::kLogitBias),
            nullptr);
  call.request.tokens_max = 9;
  call.request.sampling.logit_bias = {{7, -100.0F}};
  map = build();
  EXPECT_EQ(*map.get_uint(key::infer_request::kMaxTokens, "max"), 9U);
  const codec::Map* sampler = *map.get_map(key::infer_request::kSampler, "s");
  EXPECT_EQ((*sampler->get_array(key::sampler::kLogitBias, "bias"))->size(), 2U);
}

}  // namespace
}  // namespace aioss::runtime::records
