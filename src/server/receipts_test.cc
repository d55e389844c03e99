// GET /v1/receipts/{request}: what reaches whoever makes them, and what goes back.
#include <gtest/gtest.h>

#include <mutex>

#include "server/test_support.h"

namespace aioss::server {
namespace {

struct Asked {
  std::mutex mutex;
  std::vector<std::pair<std::string, std::string>> of;  // user, request
};

ApiOptions giving(Asked& asked) {
  ApiOptions options;
  options.receipts = [&asked](const runtime::Principal& caller,
                              const std::string& request) -> Result<std::string> {
    std::lock_guard lock(asked.mutex);
    asked.of.emplace_back(caller.user, request);
    if (request == "req_1") return std::string(R"({"format":"aioss-receipt/1"})") + "\n";
    if (request == "req_runs") return Error{Code::kConflict, "the request has not ended yet"};
    return Error{Code::kNotFound, "there is no request of that id"};
  };
  return options;
}

TEST(Receipts, ComeAsTheyWereMade) {
  Asked asked;
  test::RunningServer server(giving(asked));
  const test::Reply reply = server.get("/v1/receipts/req_1");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{\"format\":\"aioss-receipt/1\"}\n");
  EXPECT_EQ(reply.header("Content-Type"), "application/json");
  EXPECT_EQ(reply.header("Cache-Control"), "no-store");
  EXPECT_EQ(server.get("/v1/receipts/req_runs").status, 409);
  EXPECT_EQ(server.get("/v1/receipts/req_none").status, 404);
  EXPECT_EQ(server.post("/v1/receipts/req_1", "{}").status, 405);
  EXPECT_EQ(server.get("/v1/receipts/").status, 404);
  const std::vector<std::pair<std::string, std::string>> expected{
      {"local", "req_1"}, {"local", "req_runs"}, {"local", "req_none"}};
  std::lock_guard lock(asked.mutex);
  EXPECT_EQ(asked.of, expected);
}

TEST(Receipts, AServerWithoutALedgerGivesNone) {
  test::RunningServer server;
  const test::Reply reply = server.get("/v1/receipts/req_1");
  EXPECT_EQ(reply.status, 404);
  EXPECT_NE(reply.body.find("no receipts"), std::string::npos);
}

}  // namespace
}  // namespace aioss::server
