// What is said of an update, and what state it leaves the files in, whatever the server does. The
// server is made up here.
#include "cli/update_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <optional>

#include "cli/engine_update_fixture.h"
#include "codec/hex.h"

namespace aioss::cli {
namespace {

using testing::HasSubstr;

// A model that is computed with engine 'one', after so many switches.
std::string model_page(int switches, const std::string& step, const std::string& outcome) {
  return R"({"data":[{"id":"smol","aioss":{"engine":"one","engine_switch":{"orders":)" +
         std::to_string(switches) + R"(,"step":")" + step + R"(","outcome":")" + outcome +
         R"(","reason":"the canary says so"}}}]})";
}
std::string no_switch(const std::string& state) {
  return R"({"data":[{"id":"smol","aioss":{"engine":"one","state":")" + state + R"("}}]})";
}
const std::string kNoSwitch = no_switch("cold");

class UpdateOrders : public EngineUpdateFixture {
 protected:
  UpdateOrders() {
    server_.page = [this](const std::string& path) { return page(path); };
    server_.order = [this](const std::string& path) -> Result<std::string> {
      EXPECT_EQ(path, "/admin/models/rescan");
      ++rescans_;
      if (refuses_order_) return *refuses_order_;
      if (reads_directory_) listed_ = installed_hash();
      return std::string("{}");
    };
    server_.pause = [this] {
      ++pauses_;
      return has_enough_;
    };
    EXPECT_TRUE(install_all(files_, directory_, {update("1")}));
  }

  Result<std::string> page(const std::string& path) {
    if (refuses_pages_) return *refuses_pages_;
    if (path == "/admin/engines") {
      return R"({"data":[{"name":"one","sha256":")" + listed_ + R"("}]})";
    }
    EXPECT_EQ(path, "/v1/models");
    if (models_.size() > 1) models_.pop_front();
    if (models_.front().empty()) return Error{Code::kIo, "the server gave no answer"};
    return models_.front();
  }
  using EngineUpdateFixture::update;
  using EngineUpdateFixture::version;
  EngineUpdate update(const std::string& bytes) { return update("one", bytes); }
  std::string version() { return version("one"); }
  std::string installed_hash() {
    const auto found = installed_manifest(files_, directory_, "one");
    return found ? codec::to_hex(found->sha256) : "";
  }
  // What is said of updating to "2"; "error: " before a failure.
  std::string said() {
    const auto done = order_updates(files_, directory_, {update("2")}, server_);
    return done ? *done : "error: " + done.error().message;
  }
  // The first is what is shown before anything is touched.
  void show_models(std::initializer_list<std::string> pages) {
    models_ = {"never shown"};
    models_.insert(models_.end(), pages);
  }

  UpdateServer server_;
  std::deque<std::string> models_{kNoSwitch};
  std::string listed_;
  bool reads_directory_ = true, has_enough_ = false;
  std::optional<Error> refuses_pages_, refuses_order_;
  int rescans_ = 0, pauses_ = 0;
};

TEST_F(UpdateOrders, WithoutAServerTheNextOneHasIt) {
  refuses_pages_ = refuses_order_ = Error{Code::kNotFound, "no server answers"};
  EXPECT_THAT(said(), HasSubstr("updated one 2; no server runs there"));
  EXPECT_EQ(version(), "2");
}

TEST_F(UpdateOrders, AreWatchedUntilTheModelsHaveTakenThem) {
  show_models({model_page(3, "over", "done"), model_page(4, "loading", ""),
               model_page(4, "moving", ""), model_page(4, "watched", "done")});
  EXPECT_EQ(said(), "updated one 2; the server has taken it, for smol\n");
  EXPECT_EQ(pauses_, 2);
  EXPECT_EQ(version(), "2");
}

// It has begun with the file from before.
TEST_F(UpdateOrders, AreWatchedInAModelThatIsBeingLoaded) {
  show_models({kNoSwitch, no_switch("loading"), no_switch("ready"), model_page(1, "loading", ""),
               model_page(1, "over", "failed")});
  EXPECT_EQ(said(), "error: the update is taken back: model 'smol': the canary says so");
  EXPECT_EQ(version(), "1");
}

TEST_F(UpdateOrders, AreWatchedInAModelThatIsLoadedMeanwhile) {
  show_models({no_switch("loading"), no_switch("ready"), model_page(1, "trying", ""),
               model_page(1, "over", "failed")});
  EXPECT_EQ(said(), "error: the update is taken back: model 'smol': the canary says so");
}

TEST_F(UpdateOrders, ThatNoLoadedModelIsComputedWithAreNotSaidToHaveBeenTried) {
  EXPECT_THAT(said(), HasSubstr("; the server has it, and nothing was tried"));
  models_ = {model_page(5, "waiting", "")};
  const auto done = order_updates(files_, directory_, {update("3")}, server_);
  ASSERT_TRUE(done);
  EXPECT_THAT(*done, HasSubstr("nothing was tried"));
}

TEST_F(UpdateOrders, ThatAModelDoesNotTakeAreTakenBack) {
  show_models({kNoSwitch, model_page(1, "trying", ""), model_page(1, "over", "failed")});
  EXPECT_EQ(said(), "error: the update is taken back: model 'smol': the canary says so");
  EXPECT_EQ(version(), "1");
  EXPECT_EQ(rescans_, 2) << "the server was not told";
}

TEST_F(UpdateOrders, TouchNothingIfTheServerDoesNotAnswerAsItShould) {
  for (const Code code : {Code::kForbidden, Code::kLedgerUnavailable, Code::kTimeout}) {
    refuses_pages_ = Error{code, "the server refuses"};
    EXPECT_EQ(said(), "error: nothing is changed: the server refuses");
    EXPECT_EQ(version(), "1");
    const auto back = order_rollback(files_, directory_, "one", server_);
    ASSERT_FALSE(back);
    EXPECT_THAT(back.error().message, HasSubstr("nothing is changed"));
  }
  EXPECT_EQ(rescans_, 0);
}

TEST_F(UpdateOrders, ThatAreTakenBackLeaveWhatCouldBeGoneBackTo) {
  ASSERT_THAT(said(), HasSubstr("updated"));
  show_models({kNoSwitch, model_page(1, "over", "failed")});
  ASSERT_FALSE(order_updates(files_, directory_, {update("3")}, server_));
  EXPECT_EQ(version(), "2");
  models_ = {kNoSwitch};
  const auto back = order_rollback(files_, directory_, "one", server_);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(version(), "1");
}

TEST_F(UpdateOrders, SayThatTheServerCouldNotBeToldThatTheyAreTakenBack) {
  show_models({kNoSwitch, model_page(1, "trying", ""), model_page(1, "over", "failed")});
  server_.pause = [this] {
    refuses_order_ = Error{Code::kIo, "the line is cut"};
    return false;
  };
  EXPECT_THAT(said(), HasSubstr("and the server could not be told so (the line is cut)"));
  EXPECT_EQ(version(), "1");
}

// As by a key that is revoked meanwhile: it may have taken them.
TEST_F(UpdateOrders, StayIfTheServerAnswersNobodyAfterItTookTheOrder) {
  show_models({kNoSwitch, model_page(1, "trying", "")});
  server_.pause = [this] {
    refuses_pages_ = Error{Code::kForbidden, "the server refuses: the key is revoked"};
    return false;
  };
  EXPECT_THAT(said(), HasSubstr("the key is revoked; the files are installed"));
  EXPECT_EQ(version(), "2");
  EXPECT_EQ(rescans_, 1);
}

TEST_F(UpdateOrders, ThatAreInstalledAreToldToAServerThatHasNotGotThem) {
  refuses_order_ = Error{Code::kTimeout, "the server does not answer in time"};
  ASSERT_THAT(said(), HasSubstr("the files are installed"));
  refuses_order_.reset();
  show_models({kNoSwitch, model_page(1, "trying", ""), model_page(1, "watched", "done")});
  EXPECT_EQ(said(),
            "all of these engines are installed already; the server has taken it, for "
            "smol\n");
  EXPECT_EQ(rescans_, 2);
  EXPECT_EQ(said(), "all of these engines are installed already, and the server has them\n");
  EXPECT_EQ(rescans_, 2) << "it was told what it has";
  refuses_pages_ = Error{Code::kForbidden, "the server refuses"};
  EXPECT_EQ(said(), "error: nothing is changed: the server refuses");
  refuses_pages_ = Error{Code::kNotFound, "no server answers"};
  EXPECT_THAT(said(), HasSubstr("installed already; no server runs there"));
}

TEST_F(UpdateOrders, ThatAreStillTriedAreWatchedAgain) {
  has_enough_ = true;
  show_models({kNoSwitch, model_page(1, "loading", "")});
  ASSERT_THAT(said(), HasSubstr("no longer waiting"));
  has_enough_ = false;
  show_models({model_page(1, "trying", ""), model_page(1, "over", "failed")});
  const std::string failed = said();
  EXPECT_THAT(failed,
              HasSubstr("error: model 'smol': the canary says so; the files are installed"));
  EXPECT_THAT(failed, HasSubstr("'aioss update rollback one' would take them back"));
  EXPECT_EQ(rescans_, 1);
}

// Who may look at its engines may not order.
TEST_F(UpdateOrders, AreTakenBackIfTheOrderIsForbidden) {
  refuses_order_ = Error{Code::kForbidden, "the server refuses: for operators"};
  EXPECT_EQ(said(), "error: the update is taken back: the server refuses: for operators");
  EXPECT_EQ(version(), "1");
}

TEST_F(UpdateOrders, StayAndSaySoIfNobodyKnowsWhatTheServerHasDone) {
  const std::string state = "the files are installed, and a server that reads this directory has";
  refuses_order_ = Error{Code::kLedgerUnavailable, "the ledger cannot be written"};
  const std::string refused = said();
  EXPECT_THAT(refused, HasSubstr("error: the ledger cannot be written; " + state));
  EXPECT_THAT(refused, HasSubstr("'aioss update rollback one'"));
  EXPECT_EQ(version(), "2");
  refuses_order_.reset();
  show_models({kNoSwitch, model_page(1, "loading", ""), ""});  // lost
  const auto lost = order_updates(files_, directory_, {update("3"), update("new", "1")}, server_);
  ASSERT_FALSE(lost);
  EXPECT_THAT(lost.error().message, HasSubstr("the server gave no answer; " + state));
  EXPECT_THAT(lost.error().message,
              HasSubstr("'aioss update rollback one', 'aioss engine remove new'"));
  EXPECT_EQ(version("new"), "1");
}

TEST_F(UpdateOrders, StayIfWhoeverWaitsHasHadEnough) {
  has_enough_ = true;
  show_models({kNoSwitch, model_page(1, "loading", "")});
  const auto left = order_updates(files_, directory_, {update("2")}, server_);
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, Code::kCancelled);
  EXPECT_THAT(left.error().message, HasSubstr("the files are installed"));
  EXPECT_EQ(version(), "2");
}

TEST_F(UpdateOrders, AreNotSaidToBeTakenByAServerThatReadsAnotherDirectory) {
  reads_directory_ = false;
  const std::string shown = said();
  EXPECT_THAT(shown, HasSubstr("error: the server that runs does not have this engine 'one'"));
  EXPECT_THAT(shown, HasSubstr("the files are installed"));
  EXPECT_EQ(version(), "2");
}

TEST_F(UpdateOrders, AreGoneBackFromLikewise) {
  ASSERT_THAT(said(), HasSubstr("updated"));
  show_models({model_page(1, "over", "done"), model_page(2, "over", "failed")});
  const auto failed = order_rollback(files_, directory_, "one", server_);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("model 'smol': the canary says so; the file from "
                                                "before is back"));
  EXPECT_EQ(version(), "1");
  const auto none = order_rollback(files_, directory_, "one", server_);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("(1) is what is installed: there is nothing older"));
  models_ = {kNoSwitch};
  ASSERT_THAT(said(), HasSubstr("updated"));
  const auto done = order_rollback(files_, directory_, "one", server_);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(*done, HasSubstr("engine one is what it was; the server has it"));
}

}  // namespace
}  // namespace aioss::cli
