// Who may keep how many answers, without sockets.
#include "server/stream_shelf.h"

#include <gtest/gtest.h>

#include <utility>

#include "server/http_metrics.h"
#include "server/test_support.h"

namespace aioss::server {
namespace {

class StreamShelfTest : public ::testing::Test {
 protected:
  // An answer of that id that its client got to the end. Null: there was no place for it.
  std::shared_ptr<KeptAnswer> keep(const std::string& id, const std::string& tenant) {
    auto place = shelf->take_place(tenant);
    if (!place.has_value()) return nullptr;
    const auto stream = std::make_shared<test::ScriptedStream>(id);
    for (const auto& event : {test::started(), test::done()}) stream->push(event);
    api::openai::AnswerFacts facts;
    facts.request_id = id;
    KeptAnswer::Setup setup{io,
                            clock,
                            stream,
                            std::move(facts),
                            AnswerMeter(http_metrics, clock),
                            {},
                            {},
                            std::chrono::seconds(60),
                            std::move(*place)};
    setup.owner.tenant = tenant;
    auto answer = KeptAnswer::create(std::move(setup));
    shelf->keep(answer);
    clock.advance_ms(1);
    const KeptAnswer::Reader reader = answer->attach(0, http::AsyncEvent::create(io));
    while (!answer->take().empty()) {
    }
    EXPECT_TRUE(answer->at_end());
    answer->detach(reader, true);
    return answer;
  }
  bool is_kept(const std::string& id, const std::string& tenant) {
    runtime::Principal caller;
    caller.tenant = tenant;
    return shelf->find(id, caller) != nullptr;
  }
  void fill(const std::string& tenant) {
    for (std::size_t i = 0; i < kKeptAnswersTenantMax; ++i)
      ASSERT_NE(keep(std::to_string(i), tenant), nullptr);
    io.poll();  // the wakes of their streams hold none of them any more
  }

  http::net::io_context io;
  test::StillClock clock;
  MetricRegistry registry;
  HttpMetrics http_metrics{registry};
  std::shared_ptr<StreamShelf> shelf = StreamShelf::create(io);
};

TEST_F(StreamShelfTest, TheOldestMakesRoom) {
  fill("ward");
  ASSERT_NE(keep("new", "ward"), nullptr);
  EXPECT_FALSE(is_kept("0", "ward"));
  EXPECT_TRUE(is_kept("1", "ward"));
  EXPECT_TRUE(is_kept("new", "ward"));
}

TEST_F(StreamShelfTest, WhatSomebodyHoldsMakesNoRoomAndIsLeftAlone) {
  fill("ward");
  runtime::Principal caller;
  caller.tenant = "ward";
  const auto held = shelf->find("0", caller);
  ASSERT_NE(held, nullptr);
  ASSERT_NE(keep("new", "ward"), nullptr);
  EXPECT_TRUE(is_kept("0", "ward"));
  EXPECT_FALSE(is_kept("1", "ward"));
}

}  // namespace
}  // namespace aioss::server
