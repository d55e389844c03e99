#include "api/openai/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "base/duration.h"
#include "ipc/limits.h"

namespace aioss::api::openai {
namespace {

using testing::HasSubstr;

// A whole request from one more field: chat("\"n\":2").
std::string chat(const std::string& more) {
  std::string body = R"({"model":"m","messages":[{"role":"user","content":"hi"}])";
  return body + (more.empty() ? "" : "," + more) + "}";
}

std::string completion(const std::string& more) {
  return R"({"model":"m","prompt":"hi")" + (more.empty() ? "" : "," + more) + "}";
}

std::string with_messages(const std::string& messages) {
  return R"({"model":"m","messages":)" + messages + "}";
}

ParsedRequest good_chat(const std::string& body) {
  auto parsed = parse_chat(body);
  EXPECT_TRUE(parsed.has_value()) << body << ": " << parsed.error().message;
  return parsed.has_value() ? *parsed : ParsedRequest();
}

ParsedRequest good_completion(const std::string& body) {
  auto parsed = parse_completion(body);
  EXPECT_TRUE(parsed.has_value()) << body << ": " << parsed.error().message;
  return parsed.has_value() ? *parsed : ParsedRequest();
}

struct Bad {
  std::string body;
  std::string field;    // Error::field
  std::string message;  // part of it
  Code code = Code::kInvalidArgument;
};

void expect_bad(const Result<ParsedRequest>& parsed, const Bad& bad) {
  ASSERT_FALSE(parsed.has_value()) << bad.body;
  EXPECT_EQ(info(parsed.error().code).name, info(bad.code).name) << bad.body;
  EXPECT_EQ(parsed.error().field, bad.field) << bad.body;
  EXPECT_THAT(parsed.error().message, HasSubstr(bad.message)) << bad.body;
  EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos) << bad.body;
}

TEST(ParseChat, DefaultsAreOpenAis) {
  const ParsedRequest parsed = good_chat(chat(""));
  EXPECT_EQ(parsed.endpoint, Endpoint::kChat);
  EXPECT_EQ(parsed.model, "m");
  EXPECT_FALSE(parsed.seed_given);
  EXPECT_FALSE(parsed.stream);
  EXPECT_FALSE(parsed.include_usage);
  ipc::Submit expected;
  expected.prompt = std::vector<ipc::ChatMessage>{{"user", "hi", ""}};
  EXPECT_EQ(parsed.submit, expected);
}

TEST(ParseChat, ReadsEveryUsedField) {
  const ParsedRequest parsed = good_chat(chat(
      R"("max_tokens":7,"max_completion_tokens":7,"temperature":0.5,"top_p":0.25,"n":3,
      "stop":["a","b"],"stream":true,
      "stream_options":{"include_usage":true,"include_obfuscation":false},
      "seed":-1,"logprobs":true,"top_logprobs":20,"logit_bias":{"5":-100,"6":1.5,"7":null},
      "frequency_penalty":-2,"presence_penalty":2,"top_k":40,"min_p":0.05,"repetition_penalty":1.1,
      "ignore_eos":true)"));
  EXPECT_TRUE(parsed.stream);
  EXPECT_TRUE(parsed.include_usage);
  EXPECT_TRUE(parsed.seed_given);
  const ipc::Submit& submit = parsed.submit;
  EXPECT_EQ(submit.tokens_max, 7U);
  EXPECT_EQ(submit.choices, 3U);
  EXPECT_EQ(submit.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(submit.logprobs);
  EXPECT_EQ(submit.top_logprobs, 20U);
  EXPECT_TRUE(submit.ignore_eos);
  const ipc::Sampling& sampling = submit.sampling;
  EXPECT_EQ(sampling.temperature, 0.5F);
  EXPECT_EQ(sampling.top_p, 0.25F);
  EXPECT_EQ(sampling.seed, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(sampling.logit_bias, (std::vector<ipc::LogitBias>{{5, -100}, {6, 1.5}}));
  EXPECT_EQ(sampling.frequency_penalty, -2.0F);
  EXPECT_EQ(sampling.presence_penalty, 2.0F);
  EXPECT_EQ(sampling.top_k, 40U);
  EXPECT_EQ(sampling.min_p, 0.05F);
  EXPECT_EQ(sampling.repetition_penalty, 1.1F);
}

TEST(ParseChat, NullMeansAbsent) {
  std::string body = chat("");
  body.pop_back();
  for (const FieldRule& rule : field_rules()) {
    if (!rule.chat || rule.name == "model" || rule.name == "messages") continue;
    body += ",\"" + std::string(rule.name) + "\":null";
  }
  const ParsedRequest parsed = good_chat(body + "}");
  EXPECT_EQ(parsed.submit, good_chat(chat("")).submit);
  EXPECT_FALSE(parsed.seed_given);
}

TEST(ParseChat, TakesEdgesOfRanges) {
  good_chat(chat(R"("temperature":0)"));
  good_chat(chat(R"("temperature":2)"));
  good_chat(chat(R"("top_p":1)"));
  good_chat(chat(R"("n":16)"));
  good_chat(chat(R"("n":2.0)"));
  good_chat(chat(R"("repetition_penalty":0.01)"));
  good_chat(chat(R"("max_tokens":)" + std::to_string(ipc::kTokensMaxMax)));
  EXPECT_EQ(good_chat(chat(R"("top_k":-1)")).submit.sampling.top_k, 0U);
  EXPECT_EQ(good_chat(chat(R"("seed":18446744073709551615)")).submit.sampling.seed, UINT64_MAX);
  EXPECT_EQ(good_chat(chat(R"("seed":-9223372036854775808)")).submit.sampling.seed, 1ULL << 63);
  EXPECT_EQ(good_chat(chat(R"("stop":"x")")).submit.stop, (std::vector<std::string>{"x"}));
  EXPECT_TRUE(good_chat(chat(R"("stop":[])")).submit.stop.empty());
  // Too small for a float, and 0 is not a probability mass.
  EXPECT_GT(good_chat(chat(R"("top_p":1e-300)")).submit.sampling.top_p, 0.0F);
}

TEST(ParseChat, RefusesBadValuesByName) {
  const std::string many_stops = R"(["1","2","3","4","5","6","7","8","9","10","11","12","13",)"
                                 R"("14","15","16","17"])";
  const std::vector<Bad> table{
      {chat(R"("temperature":2.1)"), "temperature", "at least 0 and at most 2, not 2.1"},
      {chat(R"("temperature":-0.1)"), "temperature", "at most 2, not -0.1"},
      {chat(R"("temperature":1e300)"), "temperature", "not 1e+300"},
      {chat(R"("temperature":"hot")"), "temperature", "must be a number, not a string"},
      {chat(R"("temperature":true)"), "temperature", "not a boolean"},
      {chat(R"("top_p":0)"), "top_p", "greater than 0 and at most 1, not 0"},
      {chat(R"("top_p":1.01)"), "top_p", "at most 1"},
      {chat(R"("min_p":-0.01)"), "min_p", "at least 0"},
      {chat(R"("n":0)"), "n", "an integer from 1 to 16, not 0"},
      {chat(R"("n":17)"), "n", "not 17"},
      {chat(R"("n":1.5)"), "n", "an integer from 1 to 16, not 1.5"},
      {chat(R"("n":99999999999999999999)"), "n", "not 1e+20"},
      {chat(R"("n":18446744073709551615)"), "n", "not 18446744073709551615"},
      {chat(R"("max_tokens":0)"), "max_tokens", "an integer from 1 to"},
      {chat(R"("max_tokens":-5)"), "max_tokens", "not -5"},
      {chat(R"("max_tokens":"9")"), "max_tokens", "must be an integer, not a string"},
      {chat(R"("max_completion_tokens":0)"), "max_completion_tokens", "from 1"},
      {chat(R"("max_tokens":5,"max_completion_tokens":6)"), "max_tokens", "differs"},
      {chat(R"("stop":"")"), "stop", "strings of 1 to 1024 bytes"},
      {chat(R"("stop":[3])"), "stop", "holds a number"},
      {chat(R"("stop":)" + many_stops), "stop", "at most 16 strings, not 17"},
      {chat(R"("stop":")" + std::string(1025, 'x') + "\""), "stop", "not 1025"},
      {chat(R"("stream":1)"), "stream", "must be true or false, not a number"},
      {chat(R"("stream_options":{"include_usage":true})"), "stream_options", "\"stream\": true"},
      {chat(R"("stream":true,"stream_options":[])"), "stream_options", "must be an object"},
      {chat(R"("stream":true,"stream_options":{"include_usage":3})"),
       "stream_options.include_usage", "true or false"},
      {chat(R"("stream":true,"stream_options":{"include_usages":true})"),
       "stream_options.include_usages", "did you mean 'include_usage'?"},
      {chat(R"("seed":1.5)"), "seed", "whole number"},
      {chat(R"("seed":1e40)"), "seed", "not 1e+40"},
      {chat(R"("seed":"1")"), "seed", "must be an integer, not a string"},
      {chat(R"("logprobs":2)"), "logprobs", "true or false"},
      {chat(R"("logprobs":true,"top_logprobs":21)"), "top_logprobs", "from 0 to 20"},
      {chat(R"("top_logprobs":2)"), "top_logprobs", "needs \"logprobs\": true"},
      {chat(R"("logit_bias":[1])"), "logit_bias", "must be an object"},
      {chat(R"("logit_bias":{"x":1})"), "logit_bias", "token ids as keys, not 'x'"},
      {chat(R"("logit_bias":{"-1":1})"), "logit_bias", "token ids"},
      {chat(R"("logit_bias":{"99999999999":1})"), "logit_bias", "token ids"},
      {chat(R"("logit_bias":{"3":101})"), "logit_bias.3", "at most 100, not 101"},
      {chat(R"("logit_bias":{"3":"1"})"), "logit_bias.3", "must be a number"},
      {chat(R"("frequency_penalty":2.5)"), "frequency_penalty", "at least -2 and at most 2"},
      {chat(R"("presence_penalty":-2.5)"), "presence_penalty", "at least -2"},
      {chat(R"("top_k":-2)"), "top_k", "from -1"},
      {chat(R"("repetition_penalty":0)"), "repetition_penalty", "at least 0.01"},
      {chat(R"("ignore_eos":"yes")"), "ignore_eos", "true or false"},
      {R"({"messages":[{"role":"user","content":"x"}]})", "model", "is required"},
      {R"({"model":"","messages":[{"role":"user","content":"x"}]})", "model", "not be empty"},
      {R"({"model":7,"messages":[{"role":"user","content":"x"}]})", "model", "must be a string"},
  };
  for (const Bad& bad : table) expect_bad(parse_chat(bad.body), bad);
}

TEST(ParseChat, RefusesWhatIsNoObject) {
  const std::string deep = std::string(100'000, '[');
  const std::vector<Bad> table{
      {"", "", ""},
      {"{", "", ""},
      {"[]", "", "must be a JSON object, not an array"},
      {"null", "", "must be a JSON object, not null"},
      {R"({"model":NaN})", "", ""},
      {R"({"temperature":1e999})", "", ""},
      {"{\"model\":\"\xFF\"}", "", ""},
      {deep, "", ""},
      {R"({"model":"m","model":"n"})", "", ""},
  };
  for (const Bad& bad : table) expect_bad(parse_chat(bad.body), bad);
}

TEST(ParseChat, NamesUnknownFields) {
  const std::vector<Bad> table{
      {chat(R"("temprature":1)"), "temprature", "did you mean 'temperature'?"},
      {chat(R"("chat_template":"x")"), "chat_template", "unknown field 'chat_template'"},
      {chat(R"("prompt":"x")"), "prompt", "it belongs to /v1/completions"},
      {chat("\"a\\u001bb\":1"), "a?b", "unknown field 'a?b'"},
  };
  for (const Bad& bad : table) expect_bad(parse_chat(bad.body), bad);
  const auto parsed = parse_chat(chat("\"" + std::string(5000, 'x') + "\":1"));
  ASSERT_FALSE(parsed.has_value());
  EXPECT_LT(parsed.error().message.size(), 200U);
}

TEST(ParseChat, IgnoresWhatChangesNothing) {
  good_chat(chat(R"("user":"u","metadata":{"a":"b"},"store":false,"service_tier":"auto",
      "parallel_tool_calls":true,"tools":[],"tool_choice":"none","response_format":{"type":"text"},
      "modalities":["text"],"safety_identifier":"x","reasoning_effort":"none",
      "verbosity":"medium")"));
  expect_bad(parse_chat(chat(R"("user":5)")), {"user", "user", "must be a string"});
}

TEST(ParseChat, RefusesWhatWouldLoseMeaning) {
  constexpr Code kCode = Code::kUnsupported;
  const std::vector<Bad> table{
      {chat(R"("tools":[{"type":"function"}])"), "tools", "not supported", kCode},
      {chat(R"("tool_choice":"auto")"), "tool_choice", "not supported", kCode},
      {chat(R"("functions":[{}])"), "functions", "not supported", kCode},
      {chat(R"("function_call":"auto")"), "function_call", "not supported", kCode},
      {chat(R"("response_format":{"type":"json_object"})"), "response_format", "text", kCode},
      {chat(R"("response_format":{"type":"json_schema","json_schema":{}})"), "response_format",
       "structured", kCode},
      {chat(R"("modalities":["text","audio"])"), "modalities", "[\"text\"]", kCode},
      {chat(R"("audio":{})"), "audio", "only text", kCode},
      {chat(R"("prediction":{})"), "prediction", "not supported", kCode},
      {chat(R"("reasoning_effort":"high")"), "reasoning_effort", "none", kCode},
      {chat(R"("verbosity":"low")"), "verbosity", "medium", kCode},
      {chat(R"("store":true)"), "store", "must be false", kCode},
      {chat(R"("web_search_options":{})"), "web_search_options", "no network", kCode},
  };
  for (const Bad& bad : table) expect_bad(parse_chat(bad.body), bad);
}

TEST(ParseMessages, ReadsTextInEveryShape) {
  const ParsedRequest parsed = good_chat(with_messages(
      R"([{"role":"system","content":"a"},{"role":"developer","content":"b","name":"x"},
      {"role":"user","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]},
      {"role":"assistant","content":"","refusal":null,"tool_calls":null,"audio":null,
       "annotations":[],"function_call":null}])"));
  const auto* messages = std::get_if<std::vector<ipc::ChatMessage>>(&parsed.submit.prompt);
  ASSERT_NE(messages, nullptr);
  EXPECT_EQ(*messages, (std::vector<ipc::ChatMessage>{{"system", "a", ""},
                                                      {"developer", "b", "x"},
                                                      {"user", "c\nd", ""},
                                                      {"assistant", "", ""}}));
}

TEST(ParseMessages, RefusesBadMessagesByPlace) {
  std::string many = "[";
  for (std::size_t i = 0; i <= ipc::kMessagesMax; ++i) many += i == 0 ? "{}" : ",{}";
  constexpr Code kUnsupported = Code::kUnsupported;
  const std::vector<Bad> table{
      {R"({"model":"m"})", "messages", "is required"},
      {with_messages("[]"), "messages", "from 1 to 4096 messages, not 0"},
      {with_messages(many + "]"), "messages", "not 4097"},
      {with_messages("\"hi\""), "messages", "must be an array, not a string"},
      {with_messages("[1]"), "messages[0]", "must be an object, not a number"},
      {with_messages(R"([{"content":"x"}])"), "messages[0].role", "is required"},
      {with_messages(R"([{"role":5,"content":"x"}])"), "messages[0].role", "must be a string"},
      {with_messages(R"([{"role":"king","content":"x"}])"), "messages[0].role", "\"assistant\""},
      {with_messages(R"([{"role":"tool","content":"x"}])"), "messages[0].role", "tool calls",
       kUnsupported},
      {with_messages(R"([{"role":"user","content":"x"},{"role":"user"}])"), "messages[1].content",
       "is required"},
      {with_messages(R"([{"role":"user","content":null}])"), "messages[0].content", "is required"},
      {with_messages(R"([{"role":"user","content":5}])"), "messages[0].content", "not a number"},
      {with_messages(R"([{"role":"user","content":[]}])"), "messages[0].content", "from 1 to 1024"},
      {with_messages(R"([{"role":"user","content":["x"]}])"), "messages[0].content[0]",
       "an object"},
      {with_messages(R"([{"role":"user","content":[{"text":"x"}]}])"),
       "messages[0].content[0].type", "is required"},
      {with_messages(R"([{"role":"user","content":[{"type":"text"}]}])"),
       "messages[0].content[0].text", "is required"},
      {with_messages(R"([{"role":"user","content":[{"type":"image_url","image_url":{}}]}])"),
       "messages[0].content[0].type", "no other kind of input", kUnsupported},
      {with_messages(R"([{"role":"assistant","content":"x","tool_calls":[{}]}])"),
       "messages[0].tool_calls", "text only", kUnsupported},
      {with_messages(R"([{"role":"user","content":"x","nmae":"y"}])"), "messages[0].nmae",
       "did you mean 'name'?"},
      {with_messages(R"([{"role":"user","content":"x","name":")" + std::string(257, 'n') + "\"}]"),
       "messages[0].name", "at most 256"},
  };
  for (const Bad& bad : table) expect_bad(parse_chat(bad.body), bad);
}

TEST(ParseMessages, NoErrorRepeatsThePrompt) {
  const std::string secret = "SECRET-IN-PROMPT";
  for (const std::string& body :
       {with_messages(R"([{"role":"user","content":[")" + secret + "\"]}]"),
        with_messages(R"([{"role":"user","content":{"a":")" + secret + "\"}}]"),
        with_messages("\"" + secret + "\""), with_messages("[\"" + secret + "\"]"),
        chat(R"("stop":[{"a":")" + secret + "\"}]"), chat(R"("temperature":")" + secret + "\""),
        "{\"messages\":\"" + secret + "\" oops"}) {
    const auto parsed = parse_chat(body);
    ASSERT_FALSE(parsed.has_value()) << body;
    EXPECT_EQ(parsed.error().message.find("SECRET"), std::string::npos) << parsed.error().message;
  }
}

TEST(ParseCompletion, ReadsEveryShapeOfPrompt) {
  using Tokens = std::vector<ipc::Token>;
  const auto prompt = [](const std::string& json) {
    return good_completion(R"({"model":"m","prompt":)" + json + "}").submit.prompt;
  };
  EXPECT_EQ(prompt("\"hi\""), ipc::Prompt(std::string("hi")));
  EXPECT_EQ(prompt("\"\""), ipc::Prompt(std::string()));
  EXPECT_EQ(prompt("[\"hi\"]"), ipc::Prompt(std::string("hi")));
  EXPECT_EQ(prompt("[1,2,2147483647]"), ipc::Prompt(Tokens{1, 2, 2147483647}));
  EXPECT_EQ(prompt("[[1,2]]"), ipc::Prompt(Tokens{1, 2}));
}

TEST(ParseCompletion, LogprobsAreANumber) {
  EXPECT_FALSE(good_completion(completion("")).submit.logprobs);
  const ipc::Submit zero = good_completion(completion(R"("logprobs":0)")).submit;
  EXPECT_TRUE(zero.logprobs);
  EXPECT_EQ(zero.top_logprobs, 0U);
  EXPECT_EQ(good_completion(completion(R"("logprobs":5)")).submit.top_logprobs, 5U);
}

TEST(ParseCompletion, TakesWhatAsksForNothing) {
  good_completion(completion(R"("echo":false,"suffix":"","best_of":1,"user":"u")"));
  good_completion(completion(R"("n":4,"best_of":4)"));
}

TEST(ParseCompletion, RefusesBadValuesByName) {
  const auto prompt = [](const std::string& json) {
    return R"({"model":"m","prompt":)" + json + "}";
  };
  const std::vector<Bad> table{
      {R"({"model":"m"})", "prompt", "is required"},
      {prompt("5"), "prompt", "must be a string, an array"},
      {prompt("[]"), "prompt", "must be a string, an array"},
      {prompt("[[]]"), "prompt", "at least one token"},
      {prompt(R"(["a","b"])"), "prompt", "one request for each", Code::kUnsupported},
      {prompt("[[1],[2]]"), "prompt", "one request for each", Code::kUnsupported},
      {prompt("[1,-2]"), "prompt[1]", "must be a token id, not -2"},
      {prompt("[1,2147483648]"), "prompt[1]", "not 2147483648"},
      {prompt("[1,1.5]"), "prompt[1]", "not 1.5"},
      {prompt(R"([1,"x"])"), "prompt[1]", "not a string"},
      {completion(R"("best_of":2)"), "best_of", "must equal n"},
      {completion(R"("n":3,"best_of":2)"), "best_of", "must equal n"},
      {completion(R"("logprobs":true)"), "logprobs", "must be an integer, not a boolean"},
      {completion(R"("logprobs":21)"), "logprobs", "from 0 to 20"},
      {completion(R"("echo":true)"), "echo", "must be false", Code::kUnsupported},
      {completion(R"("suffix":"x")"), "suffix", "not supported", Code::kUnsupported},
      {completion(R"("messages":[])"), "messages", "it belongs to /v1/chat/completions"},
      {completion(R"("max_completion_tokens":5)"), "max_completion_tokens",
       "it belongs to /v1/chat/completions"},
  };
  for (const Bad& bad : table) expect_bad(parse_completion(bad.body), bad);
}

TEST(ParseChat, ReadsKeepAliveAsOllamaHasIt) {
  using std::chrono::seconds;
  EXPECT_FALSE(good_chat(chat("")).keep_alive);
  EXPECT_FALSE(good_chat(chat(R"("keep_alive":null)")).keep_alive);
  EXPECT_EQ(good_chat(chat(R"("keep_alive":0)")).keep_alive, seconds(0));
  EXPECT_EQ(good_chat(chat(R"("keep_alive":300)")).keep_alive, seconds(300));
  EXPECT_EQ(good_chat(chat(R"("keep_alive":-1)")).keep_alive, kForever);
  EXPECT_EQ(good_chat(chat(R"("keep_alive":"-1")")).keep_alive, kForever);
  EXPECT_EQ(good_completion(completion(R"("keep_alive":"1h30m")")).keep_alive, seconds(5400));
  for (const std::string value : {"1.5", "true", "\"\"", "\"soon\"", "99999999999", "[]",
                                  "\"1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h1h\""}) {
    expect_bad(parse_chat(chat("\"keep_alive\":" + value)),
               {value, "keep_alive", "keep_alive", Code::kInvalidArgument});
  }
}

TEST(ParseRequest, ReadsAdapters) {
  using Wishes = std::vector<runtime::AdapterWish>;
  EXPECT_TRUE(good_chat(chat("")).adapters.empty());
  EXPECT_TRUE(good_chat(chat(R"("lora":[])")).adapters.empty());
  EXPECT_EQ(good_chat(chat(R"("lora":[{"name":"a"},{"name":"b","scale":-0.5}])")).adapters,
            (Wishes{{"a", 1.0F}, {"b", -0.5F}}));
  EXPECT_EQ(good_completion(completion(R"("lora":[{"name":"a","scale":0}])")).adapters,
            (Wishes{{"a", 0.0F}}));
  const std::vector<Bad> table = {
      {chat(R"("lora":"a")"), "lora", "must be an array of objects"},
      {chat(R"("lora":["a"])"), "lora[0]", "must be an object, not a string"},
      {chat(R"("lora":[{}])"), "lora[0].name", "is required"},
      {chat(R"("lora":[{"name":"a","scale":"1"}])"), "lora[0].scale", "must be a number"},
      {chat(R"("lora":[{"name":"a","scale":101}])"), "lora[0].scale", "at most 100"},
      {chat(R"("lora":[{"id":0,"scale":1}])"), "lora[0].id", "id"},
      {chat(R"("lora":[{"name":"a"},{"name":"a"},{"name":"a"},{"name":"a"},{"name":"a"}])"), "lora",
       "at most 4 adapters, not 5"},
  };
  for (const Bad& bad : table) expect_bad(parse_chat(bad.body), bad);
}

}  // namespace
}  // namespace aioss::api::openai
