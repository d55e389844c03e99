// The rules of framing, without sockets: what is refused and how, that a request may be cut
// anywhere, and that no bytes at all can upset the parser.
#include "http/request_parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace aioss::http {
namespace {

struct Parsed {
  RequestParser::State state = RequestParser::State::kHead;
  int refused = 0;
  std::string field;
  Request request;
  std::string rest;  // what it left, if complete
  bool keep_alive = false;
};

// Feeds `bytes` in pieces of `step`, keeping what is left as a connection does.
Parsed parse(std::string_view bytes, std::size_t step, const Limits& limits = {}) {
  RequestParser parser(limits);
  std::string input;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    input += bytes.substr(at, step);
    const std::size_t taken = parser.feed(input);
    EXPECT_LE(taken, input.size());
    input.erase(0, taken);
    if (parser.state() == RequestParser::State::kComplete ||
        parser.state() == RequestParser::State::kRefused) {
      break;
    }
  }
  Parsed parsed;
  parsed.state = parser.state();
  if (parsed.state == RequestParser::State::kRefused) {
    parsed.refused = parser.refusal().status;
    parsed.field = parser.refusal().error.field;
    EXPECT_FALSE(parser.refusal().error.message.empty());
  }
  parsed.keep_alive = parser.keep_alive();
  parsed.request = parser.take();
  parsed.rest = input;
  return parsed;
}

struct Case {
  const char* name;
  std::string bytes;
  int status;  // of the refusal; 200 for a request that is fine
};

std::string get_with(const std::string& fields) {
  return "GET / HTTP/1.1\r\n" + fields + "\r\n";
}
std::string post_with(const std::string& fields, const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body;
}

const std::string kNul(1, '\0');

std::string chunked(const std::string& body) {
  return post_with("Transfer-Encoding: chunked\r\n", body);
}

std::vector<Case> good_cases() {
  return {
      {"plain", get_with("Host: a\r\n"), 200},
      {"one empty line before", "\r\n" + get_with("Host: a\r\n"), 200},
      {"1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 200},
      {"absolute form", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 200},
      {"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200},
      {"tab in a value", get_with("Host: a\r\nX: a\tb\r\n"), 200},
      {"bytes above 127 in a value", get_with("Host: a\r\nX: \xff\r\n"), 200},
      {"empty value", get_with("Host: a\r\nX:\r\n"), 200},
      {"length 0", post_with("Content-Length: 0\r\n", ""), 200},
      {"leading zeros", post_with("Content-Length: 0003\r\n", "abc"), 200},
      {"chunked", chunked("3\r\nabc\r\n0\r\n\r\n"), 200},
      {"Chunked", post_with("transfer-encoding:  ChunkeD \r\n", "0\r\n\r\n"), 200},
      {"chunk extension", chunked("1;a=\"b\"\r\nx\r\n0;c\r\n\r\n"), 200},
      {"trailers", chunked("0\r\nA: b\r\nC: d\r\n\r\n"), 200},
  };
}

// Who is asked, and for what.
std::vector<Case> target_cases() {
  return {
      {"no Host", get_with("X: a\r\n"), 400},
      {"two Hosts", get_with("Host: a\r\nHost: a\r\n"), 400},
      {"two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400},
      {"empty Host", get_with("Host:\r\n"), 400},
      {"Host with a path", get_with("Host: a/b\r\n"), 400},
      {"Host with a comma", get_with("Host: a, b\r\n"), 400},
      {"Host with a user", get_with("Host: a@b\r\n"), 400},
      {"target against Host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"https target", "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"relative target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"broken escape", "GET /%g0 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"escaped NUL", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"method in small letters", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
      {"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
      {"no version", "GET /\r\n\r\n", 400},
      {"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"long version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
      {"three spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"space first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"TLS", "\x16\x03\x01\x02", 400},
      {"NUL first", kNul, 400},
  };
}

std::vector<Case> line_cases() {
  return {
      {"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"bare CR in a value", get_with("Host: a\r\nX: a\rb\r\n"), 400},
      {"CR CR LF", get_with("Host: a\r\nX: a\r\r\n"), 400},
      {"NUL in a value", get_with("Host: a\r\nX: a" + kNul + "b\r\n"), 400},
      {"NUL in a name", get_with("Host: a\r\nX" + kNul + ": b\r\n"), 400},
      {"folded value", get_with("Host: a\r\nX: a\r\n b\r\n"), 400},
      {"folded with a tab", get_with("Host: a\r\nX: a\r\n\tb\r\n"), 400},
      {"space before the first field", get_with(" Host: a\r\n"), 400},
      {"space before the colon", get_with("Host: a\r\nX : b\r\n"), 400},
      {"tab before the colon", get_with("Host: a\r\nContent-Length\t: 0\r\n"), 400},
      {"no colon", get_with("Host: a\r\nX\r\n"), 400},
      {"empty name", get_with("Host: a\r\n: b\r\n"), 400},
      {"name with a bracket", get_with("Host: a\r\nX[1]: b\r\n"), 400},
      {"name with a byte above 127", get_with("Host: a\r\nX\xe9: b\r\n"), 400},
      {"DEL in a value", get_with("Host: a\r\nX: \x7f\r\n"), 400},
      {"Connection not a list", get_with("Host: a\r\nConnection: a b\r\n"), 400},
  };
}

// How long the body is: every way in which two readers may differ.
std::vector<Case> length_cases() {
  return {
      {"TE and CL", post_with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
       400},
      {"CL and TE", post_with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       400},
      {"CL and TE gzip", post_with("Content-Length: 3\r\nTransfer-Encoding: gzip\r\n", "abc"), 400},
      {"TE gzip and CL", post_with("Transfer-Encoding: gzip\r\nContent-Length: 3\r\n", "abc"), 400},
      {"two CL, equal", post_with("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400},
      {"two CL", post_with("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400},
      {"CL list", post_with("Content-Length: 3, 3\r\n", "abc"), 400},
      {"CL with a sign", post_with("Content-Length: +3\r\n", "abc"), 400},
      {"CL negative", post_with("Content-Length: -1\r\n", "abc"), 400},
      {"CL hexadecimal", post_with("Content-Length: 0x3\r\n", "abc"), 400},
      {"CL with a space inside", post_with("Content-Length: 1 2\r\n", "abcdefghijkl"), 400},
      {"CL empty", post_with("Content-Length:\r\n", ""), 400},
      {"CL word", post_with("Content-Length: three\r\n", "abc"), 400},
      {"CL of 2^64", post_with("Content-Length: 18446744073709551616\r\n", ""), 400},
      {"CL over the limit", post_with("Content-Length: 4194305\r\n", ""), 413},
      {"TE twice",
       post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"TE gzip", post_with("Transfer-Encoding: gzip\r\n", ""), 501},
      {"TE gzip, chunked", post_with("Transfer-Encoding: gzip, chunked\r\n", ""), 501},
      {"TE chunked, gzip", post_with("Transfer-Encoding: chunked, gzip\r\n", ""), 501},
      {"TE chunked twice in a list", post_with("Transfer-Encoding: chunked, chunked\r\n", ""), 501},
      {"TE identity", post_with("Transfer-Encoding: identity\r\n", ""), 501},
      {"TE xchunked", post_with("Transfer-Encoding: xchunked\r\n", ""), 501},
      {"TE quoted", post_with("Transfer-Encoding: \"chunked\"\r\n", ""), 501},
      {"TE empty", post_with("Transfer-Encoding:\r\n", ""), 501},
      {"TE in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"Expect something", post_with("Expect: 200-ok\r\nContent-Length: 1\r\n", ""), 417},
  };
}

std::vector<Case> chunk_cases() {
  return {
      {"no size", chunked("\r\nabc\r\n0\r\n\r\n"), 400},
      {"size with a sign", chunked("+3\r\nabc\r\n0\r\n\r\n"), 400},
      {"size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), 400},
      {"space before the size", chunked(" 3\r\nabc\r\n"), 400},
      {"space after the size", chunked("3 \r\nabc\r\n"), 400},
      {"bare LF after the size", chunked("3\nabc\r\n0\r\n\r\n"), 400},
      {"LF in an extension", chunked("3;a\nb\r\nabc\r\n"), 400},
      {"chunk too short", chunked("3\r\nab\r\n0\r\n\r\n"), 400},
      {"chunk too long", chunked("3\r\nabcd\r\n0\r\n\r\n"), 400},
      {"bare LF after the data", chunked("3\r\nabc\n0\r\n\r\n"), 400},
      {"folded trailer", chunked("0\r\nA: b\r\n c\r\n\r\n"), 400},
      {"bare LF after a trailer", chunked("0\r\nA: b\n\r\n"), 400},
      {"endless extension", chunked("1;" + std::string(5000, 'a')), 400},
      {"endless trailers", chunked("0\r\n" + std::string(5000, 'a') + ": b\r\n"), 400},
      {"chunk over the limit", chunked("400001\r\n"), 413},
      {"size that overflows", chunked("fffffffffffffffff\r\n"), 413},
  };
}

std::vector<Case> flood_cases() {
  return {
      {"long target", "GET /" + std::string(20000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", 431},
      {"long field", get_with("Host: a\r\nX: " + std::string(17000, 'a') + "\r\n"), 431},
      {"endless line", "GET /" + std::string(70000, 'a'), 431},
      {"101 fields",
       get_with("Host: a\r\n" +
                [] {
                  std::string fields;
                  for (int i = 0; i < 100; ++i) fields += "X: a\r\n";
                  return fields;
                }()),
       431},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& some :
       {good_cases(), target_cases(), line_cases(), length_cases(), chunk_cases(), flood_cases()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

TEST(RequestParser, TakesWhatIsRightAndRefusesWhatIsNot) {
  for (const Case& c : cases()) {
    const Parsed parsed = parse(c.bytes, c.bytes.size());
    if (c.status == 200) {
      EXPECT_EQ(parsed.state, RequestParser::State::kComplete) << c.name << " " << parsed.refused;
      EXPECT_EQ(parsed.rest, "") << c.name;
    } else {
      EXPECT_EQ(parsed.refused, c.status) << c.name;
    }
  }
}

TEST(RequestParser, TheVerdictDoesNotDependOnHowTheBytesArrive) {
  for (const Case& c : cases()) {
    for (const std::size_t step : {1, 2, 3, 5, 7}) {
      if (c.bytes.size() > 10000 && step < 7) continue;
      const Parsed parsed = parse(c.bytes, step);
      if (c.status == 200) {
        EXPECT_EQ(parsed.state, RequestParser::State::kComplete) << c.name << " by " << step;
      } else {
        EXPECT_EQ(parsed.refused, c.status) << c.name << " by " << step;
      }
    }
  }
}

TEST(RequestParser, GivesTheRequestAndLeavesTheNext) {
  const std::string bytes =
      "POST /a%20b?c=%20d&e HTTP/1.1\r\nHost: h:1\r\nX-Twice: 1\r\nx-twice:  2 \r\n"
      "Transfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n006;x=y\r\n world\r\n00\r\nX-Trailer: t\r\nHost: evil\r\n\r\nGET /next";
  for (const std::size_t step : {std::size_t{1}, std::size_t{4}, bytes.size()}) {
    const Parsed parsed = parse(bytes, step);
    ASSERT_EQ(parsed.state, RequestParser::State::kComplete);
    EXPECT_EQ(parsed.request.method, "POST");
    EXPECT_EQ(parsed.request.path, "/a b");
    EXPECT_EQ(parsed.request.query, "c=%20d&e");
    EXPECT_EQ(parsed.request.body, "hello world");
    EXPECT_EQ(parsed.request.headers.size(), 4u);  // trailers are not among them
    EXPECT_EQ(parsed.request.header("X-TWICE"), "1");
    EXPECT_EQ(parsed.request.header("X-Trailer"), std::nullopt);
    EXPECT_EQ(parsed.rest, step == bytes.size() ? "GET /next" : parsed.rest);
  }
}

TEST(RequestParser, LimitsAreExact) {
  Limits limits;
  limits.body_bytes_max = 8;
  limits.header_lines_max = 2;
  limits.header_bytes_max = 64;
  const auto status = [&](const std::string& bytes) { return parse(bytes, 1, limits).refused; };
  EXPECT_EQ(status(post_with("Content-Length: 8\r\n", "12345678")), 0);
  EXPECT_EQ(status(post_with("Content-Length: 9\r\n", "")), 413);
  limits.header_bytes_max = chunked("").size();
  EXPECT_EQ(status(chunked("4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n")), 0);
  EXPECT_EQ(status(chunked("4\r\n1234\r\n5\r\n")), 413);
  limits.header_bytes_max = chunked("").size() - 1;
  EXPECT_EQ(status(chunked("")), 431);
  EXPECT_EQ(status(get_with("Host: a\r\nA: b\r\n")), 0);
  EXPECT_EQ(status(get_with("Host: a\r\nA: b\r\nA: b\r\n")), 431);
}

TEST(RequestParser, ABodyOfTinyChunksWithLongExtensionsEnds) {
  Limits limits;
  limits.body_bytes_max = 1024;
  std::string bytes = chunked("");
  for (int i = 0; i < 1000; ++i) bytes += "1;" + std::string(1000, 'e') + "\r\nx\r\n";
  EXPECT_EQ(parse(bytes, 997, limits).refused, 413);
}

TEST(RequestParser, KnowsWhetherTheClientStays) {
  const auto stays = [](const std::string& bytes) { return parse(bytes, 9).keep_alive; };
  EXPECT_TRUE(stays(get_with("Host: a\r\n")));
  EXPECT_FALSE(stays(get_with("Host: a\r\nConnection: close\r\n")));
  EXPECT_FALSE(stays(get_with("Host: a\r\nConnection: foo\r\nConnection: bar, Close\r\n")));
  EXPECT_FALSE(stays("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(stays("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

TEST(RequestParser, NamesTheFieldAtFault) {
  EXPECT_EQ(parse(get_with("X: a\r\n"), 9).field, "Host");
  EXPECT_EQ(parse(post_with("Content-Length: x\r\n", ""), 9).field, "Content-Length");
}

// Valid requests, cut, doubled, and with bytes changed: whatever comes, it ends in one of the
// states, never takes more than it was given, and gives the same verdict however the bytes are cut.
TEST(RequestParser, RandomBytesNeverUpsetIt) {
  const std::vector<Case> seeds = cases();
  std::mt19937 random(20240611);
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  using namespace std::string_view_literals;
  constexpr std::string_view kSpice = "\r\n\r\n\0 :;,\t0123abc\x7f\xff%"sv;
  Limits limits;
  limits.header_bytes_max = 512;
  limits.header_lines_max = 8;
  limits.body_bytes_max = 64;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = seeds[below(seeds.size())].bytes.substr(0, 600);
    if (below(3) == 0) bytes += seeds[below(seeds.size())].bytes.substr(0, 200);
    for (std::size_t edits = below(6); edits > 0 && !bytes.empty(); --edits) {
      const std::size_t at = below(bytes.size());
      switch (below(4)) {
        case 0:
          bytes[at] = kSpice[below(kSpice.size())];
          break;
        case 1:
          bytes.insert(at, 1, kSpice[below(kSpice.size())]);
          break;
        case 2:
          bytes.erase(at, 1 + below(4));
          break;
        default:
          bytes[at] = static_cast<char>(below(256));
          break;
      }
    }
    if (bytes.empty()) continue;
    const Parsed whole = parse(bytes, bytes.size(), limits);
    const Parsed pieces = parse(bytes, 1 + below(9), limits);
    ASSERT_EQ(whole.state, pieces.state) << ::testing::PrintToString(bytes);
    ASSERT_EQ(whole.refused, pieces.refused) << ::testing::PrintToString(bytes);
    ASSERT_EQ(whole.request.body, pieces.request.body) << ::testing::PrintToString(bytes);
  }
}

}  // namespace
}  // namespace aioss::http
