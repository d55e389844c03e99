#include "worker/text_stream.h"

#include <gtest/gtest.h>

#include <random>

#include "codec/utf8.h"

namespace aioss::worker {
namespace {

struct Shown {
  std::vector<std::string> parts;
  std::string all;
  bool stopped = false;
};

Shown run(const std::vector<std::string>& pieces, std::vector<std::string> stops = {}) {
  TextStream stream(std::move(stops));
  Shown shown;
  for (const std::string& piece : pieces) {
    std::string out;
    shown.stopped = stream.push(piece, out);
    shown.parts.push_back(out);
    shown.all += out;
    if (shown.stopped) return shown;
  }
  std::string out;
  stream.finish(out);
  shown.parts.push_back(out);
  shown.all += out;
  return shown;
}

using Parts = std::vector<std::string>;

TEST(TextStream, PlainTextComesAtOnce) {
  EXPECT_EQ(run({"Hel", "lo", "", " world"}).parts, (Parts{"Hel", "lo", "", " world", ""}));
}

TEST(TextStream, CharactersAreNeverSplit) {
  EXPECT_EQ(run({"\xF0\x9F", "\x99", "\x82!"}).parts, (Parts{"", "", "\xF0\x9F\x99\x82!", ""}));
}

TEST(TextStream, InvalidBytesBecomeReplacementCharacters) {
  EXPECT_EQ(run({"a\xFFz"}).parts, (Parts{"a\xEF\xBF\xBDz", ""})) << "certain at once";
  EXPECT_EQ(run({"a\xC3", "z"}).parts, (Parts{"a", "\xEF\xBF\xBDz", ""})) << "certain with the z";
  EXPECT_EQ(run({"a\xE2\x82"}).parts, (Parts{"a", "\xEF\xBF\xBD"})) << "certain at the end";
}

TEST(TextStream, StopsInsideOneToken) {
  const Shown shown = run({"one two STOP three"}, {"STOP"});
  EXPECT_TRUE(shown.stopped);
  EXPECT_EQ(shown.all, "one two ");
}

TEST(TextStream, StopsSplitOverTokens) {
  const Shown shown = run({"one ", "ST", "O", "P!", "never"}, {"STOP"});
  EXPECT_TRUE(shown.stopped);
  EXPECT_EQ(shown.parts, (Parts{"one ", "", "", ""}));
}

TEST(TextStream, WhatTurnsOutNotToBeAStopIsLetGo) {
  EXPECT_EQ(run({"S", "T", "X", "S"}, {"STOP"}).parts, (Parts{"", "", "STX", "", "S"}));
}

TEST(TextStream, OnlyThePartThatCanStillMatchIsWithheld) {
  EXPECT_EQ(run({"aab", "c"}, {"abc"}).parts, (Parts{"a", ""}));
  EXPECT_EQ(run({"aaa", "a", "b"}, {"aab"}).parts, (Parts{"a", "a", ""}));
}

TEST(TextStream, TheEarliestOfSeveralStopsWins) {
  EXPECT_EQ(run({"abcdef"}, {"ef", "cd", "de"}).all, "ab");
  EXPECT_EQ(run({"x", "ab", "c"}, {"abc", "b"}).all, "xa");
}

TEST(TextStream, AStopOfSeveralCharactersSplitInsideOne) {
  const Shown shown = run({"ok \xE2\x82", "\xAC\xC3", "\xA4 more"}, {"€ä"});
  EXPECT_TRUE(shown.stopped);
  EXPECT_EQ(shown.all, "ok ");
}

TEST(TextStream, TheEndLetsAPartialStopGo) {
  EXPECT_EQ(run({"wait ST"}, {"STOP"}).parts, (Parts{"wait ", "ST"}));
}

// However the bytes are cut into tokens, the text is the same, and each part is valid UTF-8.
TEST(TextStream, TheCutIntoTokensDoesNotMatter) {
  const std::string text =
      "Grüße, 世界 🙂! A STO and a ST and aab aaab \xFF\xC3 broken \xE2\x82 and the END. After it.";
  const std::vector<std::string> stops = {"STOP", "END.", "aaaab", "\n\n"};
  const Shown whole = run({text}, stops);
  EXPECT_TRUE(whole.stopped);
  EXPECT_EQ(whole.all, codec::utf8_repaired(text.substr(0, text.find("END."))));
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random() % 6, text.size() - at);
      pieces.push_back(text.substr(at, size));
      at += size;
    }
    const Shown shown = run(pieces, stops);
    ASSERT_TRUE(shown.stopped) << i;
    ASSERT_EQ(shown.all, whole.all) << i;
    for (const std::string& part : shown.parts) ASSERT_TRUE(codec::is_utf8(part)) << i;
  }
}

}  // namespace
}  // namespace aioss::worker
