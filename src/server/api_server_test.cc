// Routes, identity and pages over a real socket.
#include "server/api_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "api/openai/rules.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "server/key_file.h"
#include "server/routes.h"
#include "server/test_support.h"

namespace aioss::server {
namespace {

using test::Client;
using test::kChat;
using test::Reply;
using test::RunningServer;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Counts = test::ScriptedGateway::Counts;

const std::string kReviews = "/v1/reviews";
const std::string kReview = R"({"request_id":"req_0001","verdict":"approved"})";
const std::string kBody = R"({"model":"smol","messages":[{"role":"user","content":"hi"}]})";

std::string bearer(const std::string& key) {
  return "Authorization: Bearer " + key + "\r\n";
}

// A key file with one key for each role.
class Keys final {
 public:
  explicit Keys(const std::string& name) : path_(testing::TempDir() + name) {
    std::string text;
    for (std::string* key : {&user, &operator_, &auditor}) {
      const runtime::Role role = key == &user        ? runtime::Role::kUser
                                 : key == &operator_ ? runtime::Role::kOperator
                                                     : runtime::Role::kAuditor;
      const auto made = make_key(random_, "k-" + std::string(server::name(role)), "t", "u", role);
      *key = made->key;
      text += made->line + "\n";
    }
    write(text);
  }
  ~Keys() { std::filesystem::remove(path_); }
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  void write(const std::string& text) {
    EXPECT_TRUE(os::replace_file(fs_, path_, as_bytes(text)).has_value());
  }
  ApiOptions options() const {
    ApiOptions out;
    out.key_file = path_;
    return out;
  }
  std::string user, operator_, auditor;

 private:
  os::RealFileSystem fs_;
  crypto::SystemRandom random_;
  const std::string path_;
};

TEST(ApiServer, ListsModels) {
  RunningServer server;
  const Reply list = server.get("/v1/models");
  EXPECT_EQ(list.status, 200);
  EXPECT_THAT(list.body,
              AllOf(HasSubstr(R"({"object":"list","data":[{"id":"smol","object":"model")"),
                    HasSubstr(R"("state":"ready")")));
  EXPECT_THAT(server.get("/v1/models/smol").body, HasSubstr(R"({"id":"smol")"));
  const Reply unknown = server.get("/v1/models/smo");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body,
              AllOf(HasSubstr("did you mean 'smol'?"), HasSubstr(R"("param":"model")")));
}

TEST(ApiServer, UnknownRoutesAndMethodsAreHelpful) {
  RunningServer server;
  const Reply unknown = server.get("/v1/modles");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, HasSubstr("did you mean '/v1/models'?"));
  EXPECT_THAT(server.get("/").body, HasSubstr("/v1/chat/completions"));
  Client client(server.port());
  client.get("/v1/models", "", "DELETE");
  const Reply wrong = client.read_reply();
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "GET, HEAD");
  EXPECT_THAT(wrong.body, HasSubstr("method_not_allowed"));
  EXPECT_EQ(server.get(kChat).header("Allow"), "POST");
}

TEST(ApiServer, HeadIsGetWithoutABody) {
  RunningServer server;
  Client client(server.port());
  client.get("/v1/models", "", "HEAD");
  const Reply head = client.read_reply(true);
  EXPECT_EQ(head.status, 200);
  client.get("/v1/models");  // the next answer begins where the head ended
  const Reply get = client.read_reply();
  EXPECT_EQ(get.status, 200);
  EXPECT_EQ(head.header("Content-Length"), std::to_string(get.body.size()));
}

TEST(ApiServer, ConnectionsAreKept) {
  RunningServer server;
  server.gateway.script({test::started(), test::stop(), test::done(0)});
  Client client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.post(kChat, kBody);
    EXPECT_EQ(client.read_reply().status, 200);
    client.post(kChat, "{");  // a refused request costs no connection
    EXPECT_EQ(client.read_reply().status, 400);
    client.get("/health");
    EXPECT_EQ(client.read_reply().status, 200);
  }
}

TEST(ApiServer, ErrorsOfTheFramingHaveTheSameShape) {
  RunningServer server;
  Client client(server.port());
  client.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr(R"({"error":{"message":)"));
  Client large(server.port());
  large.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n");
  EXPECT_EQ(large.read_reply().status, 413);
}

TEST(ApiServer, KeylessRefusesOtherHostsAndOrigins) {
  RunningServer server;
  Client rebound(server.port());
  rebound.send("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  const Reply reply = rebound.read_reply();
  EXPECT_EQ(reply.status, 403);
  EXPECT_THAT(reply.body, AllOf(HasSubstr("permission_error"), HasSubstr(R"("param":"Host")")));
  Client health(server.port());
  health.send("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  EXPECT_EQ(health.read_reply().status, 403);
  EXPECT_EQ(server.post(kChat, kBody, "Origin: https://evil.example\r\n").status, 403);
  EXPECT_EQ(server.gateway.calls(), 0U);
  EXPECT_EQ(server.get("/v1/models", "Origin: http://localhost:3000\r\n").status, 200);
  EXPECT_EQ(server.get("/admin/anchor", "Sec-Fetch-Site: cross-site\r\n").status, 403);
  EXPECT_EQ(server.get("/v1/models", "Sec-Fetch-Site: none\r\n").status, 200);
  EXPECT_EQ(server.gateway.spent_by().size(), 0U);
  EXPECT_EQ(server.gateway.strangers(), (Counts{{"origin", 4}}));
}

TEST(ApiServer, WithKeysOnlyKnownCallersComeIn) {
  const Keys keys("api-keys-known");
  RunningServer server(keys.options());
  server.gateway.script({test::started(), test::stop(), test::done(0)});
  const Reply none = server.post(kChat, kBody);
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.header("WWW-Authenticate"), "Bearer realm=\"aioss\"");
  EXPECT_THAT(none.body, HasSubstr("authentication_error"));
  EXPECT_EQ(server.post(kChat, kBody, bearer("aioss_0")).status, 401);
  EXPECT_EQ(server.get("/v1/models").status, 401);
  EXPECT_EQ(server.get("/nowhere").status, 401);  // strangers learn nothing
  EXPECT_EQ(server.gateway.calls(), 0U);
  EXPECT_EQ(server.get("/health").status, 200);
  EXPECT_EQ(server.gateway.strangers(), (Counts{{"no_key", 3}, {"unknown_key", 1}}));
  EXPECT_EQ(server.post(kChat, kBody, bearer(keys.user)).status, 200);
  const runtime::Principal principal = server.gateway.call().principal;
  EXPECT_EQ(principal.source, "key:k-user");
  EXPECT_EQ(principal.tenant, "t");
  EXPECT_THAT(principal.address, HasSubstr("127.0.0.1"));
}

TEST(ApiServer, RolesMayDoDifferentThings) {
  const Keys keys("api-keys-roles");
  RunningServer server(keys.options());
  server.gateway.script({test::started(), test::stop(), test::done(0)});
  const auto statuses = [&](const std::string& key) {
    return std::vector<int>{server.post(kChat, kBody, bearer(key)).status,
                            server.get("/metrics", bearer(key)).status,
                            server.post("/admin/models/rescan", "", bearer(key)).status,
                            server.get("/v1/models", bearer(key)).status,
                            server.post(kReviews, kReview, bearer(key)).status};
  };
  EXPECT_EQ(statuses(keys.user), (std::vector<int>{200, 403, 403, 200, 403}));
  EXPECT_EQ(server.gateway.rescans, 0);
  EXPECT_EQ(server.gateway.strangers(), (Counts{{"role", 3}}));
  EXPECT_EQ(statuses(keys.auditor), (std::vector<int>{403, 200, 403, 200, 200}));
  EXPECT_EQ(statuses(keys.operator_), (std::vector<int>{200, 200, 200, 200, 200}));
  EXPECT_EQ(server.gateway.rescans, 1);
  EXPECT_EQ(server.gateway.rescanned_by().source, "key:k-operator");
  EXPECT_EQ(server.gateway.reviews().size(), 2U);
}

TEST(ApiServer, AReviewReachesTheGatewayWithItsAuthor) {
  const Keys keys("api-keys-review");
  RunningServer server(keys.options());
  const std::string body =
      R"({"record":8,"request_id":"req_0001","verdict":"overridden","comment":"wrong \u00e9"})";
  const Reply reply = server.post(kReviews, body, bearer(keys.auditor));
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body,
              AllOf(HasSubstr(R"("record":12)"), HasSubstr(R"("reviewed_record":8)"),
                    HasSubstr(R"("request_id":"req_0001")"), HasSubstr(R"("verdict":"overridden")"),
                    HasSubstr(R"("comment_salt":"00000000)")));
  const auto reviews = server.gateway.reviews();
  ASSERT_EQ(reviews.size(), 1U);
  EXPECT_EQ(reviews[0].by.source, "key:k-auditor");
  EXPECT_EQ(reviews[0].record, 8U);
  EXPECT_EQ(reviews[0].request_id, "req_0001");
  EXPECT_EQ(reviews[0].comment, "wrong \xc3\xa9");
  server.gateway.refuse(Error(Code::kNotFound, "no such request", "request_id"));
  EXPECT_EQ(server.post(kReviews, body, bearer(keys.auditor)).status, 404);
  EXPECT_EQ(server.post(kReviews, "{}", bearer(keys.auditor)).status, 400);
  EXPECT_EQ(server.get(kReviews, bearer(keys.auditor)).status, 405);
  EXPECT_EQ(server.gateway.reviews().size(), 2U);
}

TEST(ApiServer, ARevokedKeyStopsWorkingWithoutARestart) {
  Keys keys("api-keys-revoked");
  RunningServer server(keys.options());
  ASSERT_EQ(server.get("/v1/models", bearer(keys.user)).status, 200);
  keys.write("# nobody\n");
  int status = 200;
  for (int i = 0; i < 300 && status == 200; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    status = server.get("/v1/models", bearer(keys.user)).status;
  }
  EXPECT_EQ(status, 401);
  const auto changes = server.gateway.changes();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].reason, "key file read");
  EXPECT_EQ(changes[1].name, "key_file_sha3");
  EXPECT_EQ(changes[1].value, codec::to_hex(crypto::sha3_256(as_bytes("# nobody\n"))));
  EXPECT_EQ(changes[1].reason, "key file reloaded");
  EXPECT_EQ(changes[0].action, "keys_changed");
  EXPECT_THAT(changes[0].details,
              testing::UnorderedElementsAre("added k-user", "added k-operator", "added k-auditor"));
  EXPECT_THAT(changes[1].details, testing::UnorderedElementsAre(
                                      "removed k-user", "removed k-operator", "removed k-auditor"));
}

TEST(ApiServer, RescanAnswersWithTheModels) {
  RunningServer server;
  const Reply reply = server.post("/admin/models/rescan", "");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(server.gateway.rescans, 1);
  EXPECT_THAT(reply.body, HasSubstr(R"("id":"smol")"));
}

TEST(ApiServer, AUnixPeerIsKnownByItsUser) {
  ApiOptions options;
  options.listen.unix_path = testing::TempDir() + "api.sock";
  std::filesystem::remove(options.listen.unix_path);
  RunningServer server(options);
  server.gateway.script({test::started(), test::stop(), test::done(0)});
  Client client(options.listen.unix_path);
  client.post(kChat, kBody);
  EXPECT_EQ(client.read_reply().status, 200);
  EXPECT_EQ(server.gateway.call().principal.user, "uid=" + std::to_string(::getuid()));
}

TEST(ApiServer, HealthTellsStrangersOnlyWhetherItWorks) {
  const Keys keys("api-keys-health");
  RunningServer server(keys.options());
  EXPECT_EQ(server.get("/health").body, R"({"status":"ok"})");
  const Reply known = server.get("/health", bearer(keys.user));
  EXPECT_EQ(known.status, 200);
  EXPECT_EQ(known.body, R"({"status":"ok","reason":"","version":")" AIOSS_VERSION
                        R"(","ledger":{"writable":true,"records":5},"workers":1,"running":0,)"
                        R"("queued":0,"confinement":["seccomp"]})");
}

TEST(ApiServer, HealthIs503WhenTheLedgerIsShut) {
  RunningServer server;
  runtime::GatewayHealth health;
  health.ok = true;
  health.ledger.reason = "the disk is full: make room and restart";
  health.notices = {"x.gguf is no file"};
  server.gateway.set_health(health);
  const Reply reply = server.get("/health");
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, AllOf(HasSubstr(R"("status":"unavailable")"), HasSubstr("disk is full"),
                                HasSubstr(R"("notices":["x.gguf is no file"])")));
}

TEST(ApiServer, MetricsPage) {
  RunningServer server;
  Client client(server.port());
  client.get("/v1/models");
  ASSERT_EQ(client.read_reply().status, 200);
  client.get("/nowhere");
  ASSERT_EQ(client.read_reply().status, 404);
  client.get("/metrics");
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  for (const char* line : {
           "# TYPE aioss_time_to_first_token_seconds histogram\n",
           "# TYPE aioss_inter_token_seconds histogram\n",
           "# TYPE aioss_request_seconds histogram\n",
           "aioss_inter_token_seconds_bucket{le=\"0.008\"} 0\n",
           "aioss_requests_total{route=\"/v1/models\",status=\"200\"} 1\n",
           "aioss_requests_total{route=\"other\",status=\"404\"} 1\n",
           "aioss_requests_refused_total 0\n",
           "aioss_connections_open 1\n",
           "aioss_ledger_records 5\n",
           "aioss_ledger_writable 1\n",
       }) {
    EXPECT_THAT(reply.body, HasSubstr(line));
  }
}

TEST(ApiServer, ListensBeyondLoopbackOnlyWithKeys) {
  const Keys keys("api-keys-listen");
  test::StillClock clock;
  MetricRegistry metrics;
  test::ScriptedGateway gateway;
  os::RealFileSystem fs;
  http::net::io_context io;
  const auto create = [&](const std::string& host, ApiOptions options) {
    options.listen.host = host;
    return ApiServer::create(io, gateway, metrics, clock, fs, options);
  };
  const auto open = create("0.0.0.0", ApiOptions());
  ASSERT_FALSE(open.has_value());
  EXPECT_EQ(open.error().code, Code::kUsage);
  EXPECT_TRUE(create("0.0.0.0", keys.options()).has_value());
  EXPECT_TRUE(create("127.0.0.1", ApiOptions()).has_value());
  ApiOptions broken;
  broken.key_file = "/nonexistent/keys";
  EXPECT_FALSE(create("127.0.0.1", broken).has_value());
}

std::string api_document() {
  const std::ifstream file(AIOSS_DOCS_DIR "/api.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What a reader looks up must be there, whoever adds a code, a field or a route later.
TEST(ApiDocument, NamesEveryCodeFieldRouteAndMetric) {
  const std::string document = api_document();
  ASSERT_FALSE(document.empty()) << "docs/api.md cannot be read";
  for (int i = 0; i < kCodeCount; ++i) {
    const CodeInfo& code = info(static_cast<Code>(i));
    const std::string row = "| `" + std::string(code.name) + "` | " +
                            std::to_string(code.http_status) + " | `" +
                            std::string(code.wire_type) + "` |";
    EXPECT_THAT(document, HasSubstr(row));
  }
  for (const auto& rule : api::openai::field_rules())
    EXPECT_THAT(document, HasSubstr("| `" + std::string(rule.name) + "` |"));
  for (const Route& route : routes())
    EXPECT_THAT(document,
                HasSubstr("`" + std::string(route.method) + " " + std::string(route.label) + "`"));
  for (const char* name :
       {"aioss_requests_total", "aioss_requests_refused_total", "aioss_generations_total",
        "aioss_tokens_total", "aioss_time_to_first_token_seconds", "aioss_inter_token_seconds",
        "aioss_queue_wait_seconds", "aioss_request_seconds", "aioss_connections_open",
        "aioss_ledger_records", "aioss_ledger_writable"})
    EXPECT_THAT(document, HasSubstr("`" + std::string(name)));
}

}  // namespace
}  // namespace aioss::server
