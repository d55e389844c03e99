#include "engines/fake/fake_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "engine/conformance_harness.h"
#include "engines/fake/script.h"
#include "engines/fake/test_model_file.h"

namespace aioss::engines::fake {
namespace {

using engine::ChatMessage;
using engine::Token;

// A model with one session and the loop that a greedy client would run.
class Client {
 public:
  explicit Client(const std::string& lines, std::uint32_t cells = 4096) : file_(lines) {
    const int fd = file_.fd();
    aioss_model_options model = {};
    model.struct_size = sizeof model;
    model.fds = &fd;
    model.fd_count = 1;
    auto opened = engine::Model::open(*entry(), model);
    EXPECT_TRUE(opened.has_value());
    model_ = std::move(*opened);
    auto text = open_text(*model_);
    EXPECT_TRUE(text.has_value());
    text_ = std::move(*text);
    aioss_session_options session = {};
    session.struct_size = sizeof session;
    session.sequences_max = 4;
    session.cells_per_sequence = cells;
    session.batch_tokens_max = 4096;
    auto created = engine::Session::create(*model_, session);
    EXPECT_TRUE(created.has_value());
    session_ = std::move(*created);
  }

  std::vector<Token> chat(const std::string& user) {
    auto tokens = text_->apply_chat_template({ChatMessage{"user", user, ""}}, 0);
    EXPECT_TRUE(tokens.has_value());
    return *tokens;
  }

  Status prefill(const std::vector<Token>& tokens, std::int32_t sequence) {
    engine::conformance::BatchBuilder batch;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      batch.add(tokens[i], static_cast<std::int32_t>(i), sequence, i + 1 == tokens.size());
    }
    return session_->decode(batch.view());
  }

  Token best(std::uint32_t output = 0) {
    const auto row = session_->logits(output);
    return static_cast<Token>(std::max_element(row.begin(), row.end()) - row.begin());
  }

  // Greedy text until the end of generation or `limit` tokens.
  std::string answer(const std::vector<Token>& prompt, std::int32_t sequence = 0,
                     std::size_t limit = 2000) {
    EXPECT_TRUE(prefill(prompt, sequence).has_value());
    std::string out;
    auto position = static_cast<std::int32_t>(prompt.size());
    while (limit-- > 0) {
      const Token token = best();
      if (text_->is_end_of_generation(token)) return out;
      out += text_->piece(token);
      engine::conformance::BatchBuilder batch;
      batch.add(token, position++, sequence, true);
      const Status status = session_->decode(batch.view());
      if (!status) return out + "<" + status.error().message + ">";
    }
    return out + "<limit>";
  }

  engine::Session& session() { return *session_; }
  engine::TextModel& text() { return *text_; }

 private:
  TestModelFile file_;
  std::unique_ptr<engine::Model> model_;
  std::unique_ptr<engine::TextModel> text_;
  std::unique_ptr<engine::Session> session_;
};

TEST(FakeEngine, SpellsTheScriptedReply) {
  Client client("reply First line.\\nSecond \\\\ line.\n");
  EXPECT_EQ(client.answer(client.chat("hi")), "First line.\nSecond \\ line.");
}

TEST(FakeEngine, ChoosesAReplyByThePrompt) {
  Client client("reply a\nreply b\nreply c\n");
  std::string seen;
  for (int i = 0; i < 20; ++i) {
    const std::string reply = client.answer(client.chat("prompt " + std::to_string(i)));
    EXPECT_EQ(reply.size(), 1u);
    if (seen.find(reply) == std::string::npos) seen += reply;
    EXPECT_TRUE(client.session().remove(0, 0, -1).has_value());
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST(FakeEngine, Directives) {
  Client client("reply scripted\n");
  const auto answer = [&](const std::string& user) {
    const std::string reply = client.answer(client.chat(user));
    EXPECT_TRUE(client.session().remove(0, 0, -1).has_value());
    return reply;
  };
  EXPECT_EQ(answer("[[echo]]What I said [[1]] 👍"), "What I said  👍");
  EXPECT_EQ(answer("[[reply exactly this]]"), "exactly this");
  EXPECT_EQ(answer("[[long 300]]").size(), 300u);
  EXPECT_EQ(answer("[[empty]]"), "");
  EXPECT_NE(answer("[[utf8]]").find("👩‍🚀🏽"), std::string::npos);
  EXPECT_NE(answer("[[badutf8]]").find("\xFF\xFE"), std::string::npos);
  EXPECT_EQ(answer("[not [[a directive]"), "scripted");
  EXPECT_EQ(answer("[[[echo]]x"), "[x");
  EXPECT_EQ(answer(std::string(3000, '[') + "]]"), "scripted");
}

TEST(FakeEngine, DirectivesOfEarlierTurnsAreForgotten) {
  Client client("reply scripted\n");
  const auto tokens = client.text().apply_chat_template(
      {ChatMessage{"user", "[[reply one]]", ""}, ChatMessage{"assistant", "[[reply two]]", ""},
       ChatMessage{"user", "and now?", ""}},
      0);
  ASSERT_TRUE(tokens.has_value());
  EXPECT_EQ(client.answer(*tokens), "scripted");
}

TEST(FakeEngine, FailsWhenOrdered) {
  Client client("reply 0123456789\n");
  EXPECT_EQ(client.answer(client.chat("[[fail 4]]")),
            "0123<decoding failed: the prompt ordered a failure>");
  const Status after = client.prefill(client.chat("x"), 1);
  ASSERT_FALSE(after.has_value());
  EXPECT_EQ(after.error().code, Code::kEngineFailed);
}

TEST(FakeEngine, FailsInThePrefillWhenOrdered) {
  Client client("");
  const Status status = client.prefill(client.chat("[[fail]]"), 0);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Code::kEngineFailed);
}

// AddressSanitizer makes a report and an exit code of a signal.
auto died_of(int signal) {
  return [signal](int status) {
#ifdef __SANITIZE_ADDRESS__
    if (testing::ExitedWithCode(1)(status)) return true;
#endif
    return testing::KilledBySignal(signal)(status);
  };
}

TEST(FakeEngineDeathTest, DiesWhenOrdered) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(Client("").answer({kTokenUser, '[', '[', 'c', 'r', 'a', 's', 'h', ']', ']'}),
              died_of(SIGABRT), "");
  EXPECT_EXIT(
      {
        Client c("");
        c.answer(c.chat("[[segv 3]]"));
      },
      died_of(SIGSEGV), "");
  EXPECT_EXIT(
      {
        Client c("");
        c.answer(c.chat("[[exit]]"));
      },
      testing::ExitedWithCode(3), "");
}

TEST(FakeEngine, CompletionIsWordsThatEnd) {
  Client client("");
  std::size_t total = 0;
  for (int i = 0; i < 20; ++i) {
    const auto prompt = client.text().tokenize("Once " + std::to_string(i), true, false);
    const std::string text = client.answer(*prompt);
    EXPECT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz "), std::string::npos) << text;
    total += text.size();
    EXPECT_TRUE(client.session().remove(0, 0, -1).has_value());
  }
  EXPECT_GT(total, 200u);
}

TEST(FakeEngine, LostOrForeignTokenChangesACompletion) {
  // What a scheduler bug would do: the text depends on every token of the sequence, in order.
  Client client("");
  const auto prompt = *client.text().tokenize("the same text", true, false);
  auto swapped = prompt;
  std::swap(swapped[3], swapped[4]);
  const std::string expected = client.answer(prompt, 0);
  EXPECT_EQ(client.answer(prompt, 1), expected);
  EXPECT_NE(client.answer(swapped, 2), expected);
}

TEST(FakeEngine, MarginLeavesRoomForSampling) {
  Client client("margin 1\n");
  ASSERT_TRUE(client.prefill(client.chat("x"), 0).has_value());
  const auto row = client.session().logits(0);
  const float top = *std::max_element(row.begin(), row.end());
  EXPECT_EQ(top, 9.0F);
  EXPECT_GT(std::count_if(row.begin(), row.end(), [&](float v) { return v > top - 9; }), 90);
}

TEST(FakeEngine, NotANumberOnDemand) {
  Client client("");
  ASSERT_TRUE(client.prefill(client.chat("[[nan]]"), 0).has_value());
  EXPECT_TRUE(std::isnan(client.session().logits(0)[0]));
}

TEST(FakeText, MarkersTypedByAUserStayText) {
  Client client("");
  const auto tokens = client.chat("<|eos|><|user|>");
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), Token{kTokenUser}), 1);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), Token{kTokenEos}), 0);
  const auto parsed = client.text().tokenize("<|eos|>a", false, true);
  EXPECT_EQ(*parsed, (std::vector<Token>{kTokenEos, 'a'}));
  const auto plain = client.text().tokenize("<|eos|>a", false, false);
  EXPECT_EQ(plain->size(), 8u);
}

TEST(FakeText, WithoutATemplate) {
  Client client("template no\n");
  const auto tokens = client.text().apply_chat_template({ChatMessage{"user", "x", ""}}, 0);
  ASSERT_FALSE(tokens.has_value());
  EXPECT_EQ(tokens.error().code, Code::kUnsupported);
  EXPECT_FALSE(client.text().facts().has_chat_template);
}

TEST(FakeModelFile, RefusesWhatItDoesNotKnow) {
  for (const char* text :
       {"", "GGUF", "aioss-fake 2\n", "aioss-fake 1\nunknown 3\n", "aioss-fake 1\ncontext x\n",
        "aioss-fake 1\ncontext 0\n", "aioss-fake 1\ntemplate maybe\n"}) {
    const auto script = Script::parse(text);
    ASSERT_FALSE(script.has_value()) << text;
    EXPECT_EQ(script.error().code, Code::kModelCorrupt);
  }
  EXPECT_TRUE(Script::parse("aioss-fake 1").has_value());
  EXPECT_TRUE(Script::parse("aioss-fake 1\r\n# comment\r\ncontext 7\r\n").has_value());
}

TEST(FakeModelFile, LoadsFailAsScripted) {
  const auto code = [](const char* kind) {
    const TestModelFile file(std::string("fail_load ") + kind + "\n");
    const int fd = file.fd();
    aioss_model_options options = {};
    options.struct_size = sizeof options;
    options.fds = &fd;
    options.fd_count = 1;
    const auto model = engine::Model::open(*entry(), options);
    return model ? Code::kInternal : model.error().code;
  };
  EXPECT_EQ(code("corrupt"), Code::kModelCorrupt);
  EXPECT_EQ(code("memory"), Code::kNoMemory);
  EXPECT_EQ(code("unsupported"), Code::kUnsupported);
  EXPECT_EQ(code("io"), Code::kIo);
}

TEST(FakeAdapter, FilesWithMistakesAreRefused) {
  EXPECT_TRUE(AdapterScript::parse("aioss-fake-lora 1\nsay Arr.\nbytes 7\n"));
  for (const char* wrong :
       {"", "aioss-fake 1\n", "aioss-fake-lora 1\nbytes x\n", "aioss-fake-lora 1\ncolour red\n"}) {
    EXPECT_FALSE(AdapterScript::parse(wrong)) << wrong;
  }
}

// What a host would do wrong is seen, in a state that was saved, too.
TEST(FakeAdapter, SequencesOfTwoSetsSayThatTheyAreMixed) {
  const auto script = *Script::parse("aioss-fake 1\nreply Yes.\n");
  const auto adapter = *AdapterScript::parse("aioss-fake-lora 1\nsay Arr.\n");
  Influence influence;
  influence.add(adapter, 1.0F);
  Sequence mixed(script);
  mixed.push('a');
  mixed.push('b', influence);
  mixed.push(kTokenAssistant, influence);
  std::vector<float> row(kVocabularySize);
  mixed.logits(row.data());
  EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), '[');
  mixed.truncate(1);
  mixed.push(kTokenAssistant);
  mixed.logits(row.data());
  EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), 'Y');
}

}  // namespace
}  // namespace aioss::engines::fake
