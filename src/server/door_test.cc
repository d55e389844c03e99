#include "server/door.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "crypto/random.h"
#include "ledger/format/record.h"
#include "server/routes.h"

namespace aioss::server {
namespace {

http::Request from_loopback(http::Headers headers = {}) {
  http::Request request;
  request.headers = std::move(headers);
  request.peer.loopback = true;
  request.peer.address = "127.0.0.1:5";
  return request;
}

TEST(CheckOrigin, KeylessTakesOnlyLoopbackNames) {
  const auto host = [](const std::string& name) {
    return check_origin(from_loopback({{"Host", name}}), true).has_value();
  };
  EXPECT_TRUE(host("localhost"));
  EXPECT_TRUE(host("localhost:8080"));
  EXPECT_TRUE(host("127.0.0.1:8080"));
  EXPECT_TRUE(host("[::1]:8080"));
  EXPECT_FALSE(host("evil.example"));
  EXPECT_FALSE(host("evil.example:8080"));
  EXPECT_FALSE(host("localhost.evil.example"));
  EXPECT_FALSE(host("192.168.1.5"));
}

TEST(CheckOrigin, KeylessTakesNoPagesOfOtherOrigins) {
  const auto origin = [](const std::string& value) {
    return check_origin(from_loopback({{"Host", "localhost"}, {"Origin", value}}), true)
        .has_value();
  };
  EXPECT_TRUE(origin("http://localhost:3000"));
  EXPECT_TRUE(origin("https://127.0.0.1"));
  EXPECT_FALSE(origin("https://evil.example"));
  EXPECT_FALSE(origin("http://localhost.evil.example"));
  EXPECT_FALSE(origin("http://evil.example/localhost"));
  EXPECT_FALSE(origin("null"));
  EXPECT_FALSE(origin(""));
}

// <img src="http://127.0.0.1:8484/admin/anchor"> sends no Origin.
TEST(CheckOrigin, KeylessTakesNothingThatAnotherSitesPageLoads) {
  const auto site = [](const std::string& value) {
    return check_origin(from_loopback({{"Host", "localhost"}, {"Sec-Fetch-Site", value}}), true);
  };
  EXPECT_TRUE(site("same-origin").has_value());
  EXPECT_TRUE(site("none").has_value());  // typed, or a bookmark
  for (const char* value : {"cross-site", "same-site", "", "else"}) {
    const Status refused = site(value);
    ASSERT_FALSE(refused.has_value()) << value;
    EXPECT_EQ(refused.error().code, Code::kForbidden);
    EXPECT_EQ(auth_reason(refused.error(), from_loopback(), DoorOptions()),
              ledger::auth_reason::kOrigin);
  }
  http::Request local = from_loopback({{"Sec-Fetch-Site", "cross-site"}});
  local.peer.unix_socket = true;
  EXPECT_FALSE(check_origin(local, true).has_value());
  EXPECT_TRUE(check_origin(from_loopback({{"Sec-Fetch-Site", "cross-site"}}), false).has_value());
}

TEST(CheckOrigin, KeysReplaceTheRule) {
  EXPECT_TRUE(
      check_origin(from_loopback({{"Host", "a.example"}, {"Origin", "http://b.example"}}), false)
          .has_value());
}

TEST(CheckOrigin, AUnixSocketHasNoHostButMayHaveAnOrigin) {
  http::Request request = from_loopback({{"Host", "anything"}});
  request.peer.unix_socket = true;
  EXPECT_TRUE(check_origin(request, true).has_value());
  request.headers.emplace_back("Origin", "https://evil.example");
  EXPECT_FALSE(check_origin(request, true).has_value());
}

TEST(AuthReason, TellsOriginsFromRolesAndKnowsNoOtherErrors) {
  const DoorOptions options;
  const http::Request page = from_loopback({{"Origin", "https://evil.example"}});
  EXPECT_EQ(auth_reason(check_origin(page, true).error(), page, options),
            ledger::auth_reason::kOrigin);
  runtime::Principal user;
  EXPECT_EQ(
      auth_reason(require_role(user, {runtime::Role::kOperator}).error(), from_loopback(), options),
      ledger::auth_reason::kRole);
  EXPECT_EQ(auth_reason(Error(Code::kNotFound, "no route"), from_loopback(), options),
            std::nullopt);
  http::Request far;
  far.headers = {{"Authorization", "Bearer x"}};  // without a key file a key is nothing
  EXPECT_EQ(auth_reason(identify(far, options).error(), far, options), ledger::auth_reason::kNoKey);
}

TEST(Identify, KeylessIsLocalOnLoopbackAndNobodyElsewhere) {
  const auto local = identify(from_loopback({{"Authorization", "Bearer sk-anything"}}), {});
  ASSERT_TRUE(local.has_value());
  EXPECT_EQ(local->source, "local");
  EXPECT_EQ(local->user, "local");
  EXPECT_EQ(local->address, "127.0.0.1:5");
  EXPECT_EQ(local->role, runtime::Role::kOperator);
  http::Request far = from_loopback();
  far.peer.loopback = false;
  const auto refused = identify(far, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kUnauthenticated);
}

TEST(Identify, AUnixPeerIsItsUser) {
  http::Request request = from_loopback();
  request.peer.unix_socket = true;
  request.peer.uid = 1000;
  DoorOptions options;
  const auto user = identify(request, options);
  ASSERT_TRUE(user.has_value());
  EXPECT_EQ(user->user, "uid=1000");
  EXPECT_EQ(user->source, "unix:uid=1000");
  EXPECT_EQ(user->role, runtime::Role::kUser);
  options.operator_uids = {0, 1000};
  EXPECT_EQ(identify(request, options)->role, runtime::Role::kOperator);
}

TEST(Identify, WithKeysOnlyAKnownOneOpens) {
  os::RealFileSystem fs;
  crypto::SystemRandom random;
  const auto made = make_key(random, "k1", "t", "u", runtime::Role::kAuditor);
  ASSERT_TRUE(made.has_value());
  const std::string path = testing::TempDir() + "door-keys";
  ASSERT_TRUE(os::replace_file(fs, path, as_bytes(made->line)).has_value());
  const auto ring = KeyRing::create(fs, path);
  std::filesystem::remove(path);
  ASSERT_TRUE(ring.has_value());
  DoorOptions options;
  options.keys = ring->get();

  const auto with = [&](const std::string& value) {
    return identify(from_loopback({{"Authorization", value}}), options);
  };
  ASSERT_TRUE(with("Bearer " + made->key).has_value());
  EXPECT_EQ(with("bearer  " + made->key)->source, "key:k1");
  EXPECT_EQ(with("Bearer " + made->key)->role, runtime::Role::kAuditor);
  EXPECT_EQ(with("Bearer " + made->key)->address, "127.0.0.1:5");
  EXPECT_FALSE(with("Bearer wrong").has_value());
  EXPECT_FALSE(with("Bearer ").has_value());
  EXPECT_FALSE(with("Basic " + made->key).has_value());
  EXPECT_FALSE(identify(from_loopback(), options).has_value());
  // What AUTH records say of them.
  const auto reason = [&](const http::Request& request) {
    return auth_reason(identify(request, options).error(), request, options);
  };
  EXPECT_EQ(reason(from_loopback()), ledger::auth_reason::kNoKey);
  EXPECT_EQ(reason(from_loopback({{"Authorization", "Basic x"}})), ledger::auth_reason::kNoKey);
  EXPECT_EQ(reason(from_loopback({{"Authorization", "Bearer wrong"}})),
            ledger::auth_reason::kUnknownKey);

  // The socket's file mode guards it, so its users need no key; a wrong one is still wrong.
  http::Request request = from_loopback();
  request.peer.unix_socket = true;
  EXPECT_TRUE(identify(request, options).has_value());
  request.headers.emplace_back("Authorization", "Bearer wrong");
  EXPECT_FALSE(identify(request, options).has_value());
}

TEST(Routes, MatchMethodAndParameter) {
  const auto kind = [](const char* method, const char* path) {
    return match_route(method, path).kind;
  };
  EXPECT_EQ(kind("POST", "/v1/chat/completions"), RouteMatch::Kind::kFound);
  EXPECT_EQ(kind("GET", "/v1/chat/completions"), RouteMatch::Kind::kWrongMethod);
  EXPECT_EQ(kind("HEAD", "/health"), RouteMatch::Kind::kFound);
  EXPECT_EQ(kind("HEAD", "/v1/completions"), RouteMatch::Kind::kWrongMethod);
  EXPECT_EQ(kind("get", "/health"), RouteMatch::Kind::kWrongMethod);
  EXPECT_EQ(kind("GET", "/v1/models/"), RouteMatch::Kind::kUnknownPath);
  EXPECT_EQ(kind("GET", "/health/"), RouteMatch::Kind::kUnknownPath);
  EXPECT_EQ(kind("GET", "/"), RouteMatch::Kind::kUnknownPath);
  const RouteMatch model = match_route("GET", "/v1/models/a b");
  EXPECT_EQ(model.parameter, "a b");
  EXPECT_EQ(model.route->label, "/v1/models/{id}");
  EXPECT_EQ(allowed_methods(*model.route), "GET, HEAD");
}

}  // namespace
}  // namespace aioss::server
