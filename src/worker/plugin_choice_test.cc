// A worker process with a plugin in place of its own engines: confined as in the product.
#include "worker/plugin_choice.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/landlock.h"
#include "worker/gguf_builder.h"
#include "worker/worker_fixture.h"

namespace aioss::worker {
namespace {

using testing::HasSubstr;

// Three tokens: those of gguf::small_model().
class ThreeTokens final : public engine::TextModel {
 public:
  engine::TextFacts facts() const override {
    engine::TextFacts facts;
    facts.vocabulary_size = 3;
    return facts;
  }
  Result<std::vector<engine::Token>> tokenize(std::string_view text, bool, bool) const override {
    std::vector<engine::Token> tokens;
    for (const char c : text) tokens.push_back(c == 'a' ? 0 : 1);
    return tokens;
  }
  std::string piece(engine::Token token) const override { return token == 0 ? "a" : "b"; }
  std::string display(engine::Token token) const override { return piece(token); }
  bool is_end_of_generation(engine::Token token) const override { return token == 2; }
  Result<std::vector<engine::Token>> apply_chat_template(
      const std::vector<engine::ChatMessage>& messages, std::int64_t,
      const engine::TextCheck&) const override {
    return tokenize(messages.back().content, false, false);
  }
};

class PluginWorker : public testing::Test {
 protected:
  void start(const std::string& plugin, std::chrono::seconds start_max = std::chrono::seconds(20)) {
    plugin_ = os::Fd(::open((AIOSS_TEST_PLUGINS "/" + plugin + ".so").c_str(), O_RDONLY));
    ASSERT_TRUE(plugin_.valid()) << plugin;
    worker_ = std::make_unique<RunningWorker>(
        gguf::small_model().bytes, false,
        GivenPlugin{plugin_.get(), start_max, [](const std::vector<int>&) {
                      return Result<std::unique_ptr<engine::TextModel>>(
                          std::make_unique<ThreeTokens>());
                    }});
    (void)worker_->expect<ipc::Hello>();
  }
  void configure(const std::string& engine) {
    ipc::Configure configure;
    configure.engine = engine;
    configure.cells_per_stream = 64;
    worker_->send(configure);
  }
  // What it says instead of Ready; then it has ended by itself.
  Error failure(const std::string& plugin, const std::string& name = "minimal",
                std::chrono::seconds start_max = std::chrono::seconds(20)) {
    start(plugin, start_max);
    configure(name);
    const auto failed = worker_->expect<ipc::LoadFailed>();
    EXPECT_THAT(worker_->end(), testing::AnyOf("exit 77", "exit 78"));
    return failed.error;
  }

  os::Fd plugin_;
  std::unique_ptr<RunningWorker> worker_;
};

TEST_F(PluginWorker, ComputesWithThePluginAndSaysSo) {
  start("minimal");
  configure("minimal");
  const auto ready = worker_->expect<ipc::Ready>();
  EXPECT_EQ(ready.engine.name, "minimal");
  EXPECT_EQ(ready.vocabulary_size, 3U);
  ipc::Submit submit = request(1);
  submit.prompt = std::vector<ipc::ChatMessage>{{"user", "abbab", ""}};
  submit.tokens_max = 4;
  worker_->send(submit);
  (void)worker_->expect<ipc::Accepted>();
  std::string text;
  for (auto event = worker_->next(); event; event = worker_->next()) {
    if (std::holds_alternative<ipc::Finished>(*event)) break;
    if (const auto* delta = std::get_if<ipc::Delta>(&*event)) text += delta->text;
  }
  EXPECT_EQ(text, "babb") << "what followed 'ab' before, and so on";
  worker_->send(ipc::Shutdown{});
  EXPECT_EQ(worker_->end(), "exit 0");
}

TEST_F(PluginWorker, HasNoOtherEngineThen) {
  EXPECT_THAT(failure("minimal", "fake").message, HasSubstr("calls itself 'minimal'"));
}

TEST_F(PluginWorker, CrashesWhileItIsOpenedInAClearSentence) {
  const Error error = failure("crashes");
  EXPECT_EQ(error.code, Code::kEngineFailed);
  EXPECT_EQ(error.message, "engine 'minimal' crashed (Segmentation fault) while it was opened");
}

TEST_F(PluginWorker, HangsNoLongerThanItMay) {
  EXPECT_EQ(failure("hangs", "minimal", std::chrono::seconds(1)).message,
            "engine 'minimal' did not come back within 1 s while it was opened");
}

TEST_F(PluginWorker, ThatEndsItselfEndsTheConversation) {
  start("ends");
  configure("minimal");
  EXPECT_FALSE(worker_->next());
  EXPECT_EQ(worker_->end(), "exit 0");
}

TEST_F(PluginWorker, MayStartNoThreadBeforeItIsConfined) {
  EXPECT_THAT(failure("threads").message, HasSubstr("before any thread is started"));
}

// Its constructors run before stage two, and could undo that: stage one is enough.
TEST_F(PluginWorker, ReadsNobodysFilesWhileItIsOpened) {
  if (os::landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  start("reads");
  configure("minimal");
  (void)worker_->expect<ipc::Ready>();
  worker_->send(ipc::Shutdown{});
  EXPECT_EQ(worker_->end(), "exit 0");
}

TEST_F(PluginWorker, MustComputeTheFilesTokens) {
  EXPECT_THAT(failure("vocabulary").message,
              HasSubstr("computes logits of 7 tokens, and the model's file has 3"));
}

TEST_F(PluginWorker, OfANewerAbiIsRefused) {
  EXPECT_THAT(failure("newer").message, HasSubstr("update aioss"));
}

}  // namespace
}  // namespace aioss::worker
