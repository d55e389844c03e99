// When drafts are made: on where they pay, off where they do not, and what is lost is bounded.
#include "worker/speculation.h"

#include <gtest/gtest.h>

#include <random>

namespace aioss::worker {
namespace {

constexpr std::int64_t kDecodeNs = 1000;

// An engine of which a call takes kDecodeNs, and for each further token so many hundredths of it.
struct Machine {
  explicit Machine(int token_percent) : percent(token_percent) {}
  std::int64_t call_ns(std::size_t tokens) const {
    return kDecodeNs + kDecodeNs * percent * static_cast<std::int64_t>(tokens - 1) / 100;
  }
  int percent;
};

struct Outcome {
  std::int64_t ns = 0;
  std::size_t drafted = 0;
  double ratio = 0;  // how many times as fast as without drafts
};

// A model that says `text` behind `prompt`, whatever is drafted.
Outcome say(const std::vector<Token>& prompt, const std::vector<Token>& text,
            const Machine& machine) {
  Outcome outcome;
  VerifyCosts costs;
  Speculation speculation;
  std::vector<Token> tokens = prompt;
  std::size_t said = 0;
  while (said < text.size()) {
    const auto room = static_cast<std::uint32_t>(text.size() - said - 1);
    const auto proposed = speculation.propose(tokens, room, costs);
    const std::vector<Token> draft(proposed.begin(), proposed.end());
    const std::int64_t ns = machine.call_ns(draft.size() + 1);
    outcome.ns += ns;
    if (draft.empty()) {
      costs.decoded(ns);
      tokens.push_back(text[said++]);
      speculation.decoded(tokens.back(), costs);
      continue;
    }
    costs.verified(static_cast<std::uint32_t>(draft.size() + 1), ns);
    std::uint32_t accepted = 0;
    while (accepted < draft.size() && draft[accepted] == text[said]) {
      tokens.push_back(text[said++]);
      ++accepted;
    }
    tokens.push_back(text[said++]);
    speculation.verified(accepted, accepted < draft.size(), ns, costs);
    outcome.drafted += draft.size();
  }
  outcome.ratio = static_cast<double>(kDecodeNs) * static_cast<double>(text.size()) /
                  static_cast<double>(outcome.ns);
  return outcome;
}

std::vector<Token> random_text(std::uint32_t seed, std::size_t size, std::uint32_t words) {
  std::mt19937 random(seed);
  std::vector<Token> text(size);
  for (Token& token : text) token = static_cast<Token>(random() % words);
  return text;
}

TEST(Speculation, ACopyIsMadeFasterWhereTokensInCompanyAreCheap) {
  const std::vector<Token> text = random_text(1, 200, 10'000);
  EXPECT_GT(say(text, text, Machine(5)).ratio, 5.0);
  EXPECT_GT(say(text, text, Machine(30)).ratio, 2.0);
  EXPECT_GT(say(text, text, Machine(40)).ratio, 1.7);
}

TEST(Speculation, WhereTokensInCompanyCostAsMuchItStaysOffOrLosesLittle) {
  const std::vector<Token> text = random_text(1, 400, 10'000);
  const Outcome outcome = say(text, text, Machine(110));
  EXPECT_GT(outcome.ratio, 0.98);
  EXPECT_LT(outcome.drafted, 40U);
}

TEST(Speculation, TextThatDoesNotRepeatIsNotDrafted) {
  const Outcome outcome =
      say(random_text(1, 300, 50'000), random_text(2, 300, 50'000), Machine(30));
  EXPECT_EQ(outcome.drafted, 0U);
  EXPECT_EQ(outcome.ratio, 1.0);
}

// Few words at random: something stands before nearly always, and says nothing.
TEST(Speculation, NoiseLosesLessThanTwoHundredths) {
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    for (const std::uint32_t words : {2U, 3U, 5U, 20U}) {
      for (const int percent : {5, 30, 60, 100}) {
        const Outcome outcome = say(random_text(seed, 100, words),
                                    random_text(seed + 1000, 200, words), Machine(percent));
        EXPECT_GE(outcome.ratio, 0.98) << seed << ' ' << words << ' ' << percent;
      }
    }
  }
}

// The worst text there is: it follows a phrase of the prompt as long as it takes to be trusted, and
// leaves it then.
TEST(Speculation, ATextThatBreaksOffEachTimeLosesABoundedShare) {
  for (const std::size_t follows : {2U, 3U, 4U, 6U, 9U, 16U}) {
    for (const int percent : {5, 30, 60, 100}) {
      std::vector<Token> prompt;
      std::vector<Token> text;
      Token fresh = 100'000;
      for (int phrase = 0; phrase < 40; ++phrase) {
        for (Token i = 0; i < 30; ++i) prompt.push_back(phrase * 100 + i);
        for (std::size_t i = 0; i < 2 + follows; ++i) {
          text.push_back(phrase * 100 + static_cast<Token>(i));
        }
        text.push_back(fresh++);
      }
      const Outcome outcome = say(prompt, text, Machine(percent));
      EXPECT_GE(outcome.ratio, 0.98) << follows << ' ' << percent;
    }
  }
}

// Of a form each line of which begins alike, the newest place is the line before.
TEST(Speculation, ACopyIsFollowedWhereMuchIsTheSame) {
  std::vector<Token> form;
  for (Token line = 0; line < 30; ++line) {
    for (Token i = 0; i < 6; ++i) form.push_back(i);
    for (Token i = 0; i < 3; ++i) form.push_back(1000 + line * 10 + i);
  }
  EXPECT_GT(say(form, form, Machine(30)).ratio, 2.2);
}

TEST(Speculation, DraftsGetLongerAsTheyComeTrue) {
  VerifyCosts costs;
  costs.decoded(kDecodeNs);
  Speculation speculation;
  const std::vector<Token> text = random_text(1, 100, 10'000);
  std::vector<Token> tokens = text;
  tokens.push_back(text[0]);
  tokens.push_back(text[1]);
  const Machine machine(20);
  std::vector<std::size_t> lengths;
  for (std::size_t said = 2; said < 80;) {
    const std::size_t count = speculation.propose(tokens, 15, costs).size();
    for (std::size_t i = 0; i <= count; ++i) tokens.push_back(text[said++]);
    if (count == 0) {
      speculation.decoded(tokens.back(), costs);
    } else {
      speculation.verified(static_cast<std::uint32_t>(count), false, machine.call_ns(count + 1),
                           costs);
    }
    lengths.push_back(count);
  }
  EXPECT_EQ(lengths.front(), 0U) << "first it is seen whether what is foreseen comes true";
  EXPECT_TRUE(std::is_sorted(lengths.begin(), lengths.end()));
  EXPECT_EQ(lengths.back(), 15U);
  EXPECT_EQ(speculation.propose(tokens, 6, costs).size(), 3U) << "no room for more";
  EXPECT_EQ(speculation.propose(tokens, 2, costs).size(), 0U);
}

// One call that was interrupted must not end it for ever.
TEST(Speculation, ASingleOutlierIsForgotten) {
  VerifyCosts costs;
  costs.decoded(kDecodeNs);
  costs.verified(4, 50 * kDecodeNs);
  EXPECT_GT(costs.verify_ns(4), 40.0 * kDecodeNs);
  EXPECT_GT(costs.verify_ns(8), costs.verify_ns(4)) << "the nearest is the best guess";
  for (int i = 0; i < 1000; ++i) costs.decoded(kDecodeNs);
  EXPECT_LT(costs.verify_ns(4), 3.0 * kDecodeNs);
}

}  // namespace
}  // namespace aioss::worker
