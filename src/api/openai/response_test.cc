#include "api/openai/response.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "api/openai/json_text.h"
#include "codec/json.h"

namespace aioss::api::openai {
namespace {

using testing::HasSubstr;

AnswerFacts facts(Endpoint endpoint) {
  AnswerFacts out;
  out.endpoint = endpoint;
  out.request_id = "req_7";
  out.model = "smol";
  out.fingerprint = "fp";
  out.created_unix_s = 1700000000;
  out.profile = ipc::Profile::kReproducible;
  out.seed = 18446744073709551615U;
  out.request_record = 12;
  return out;
}

runtime::StreamDelta delta(std::uint32_t choice, const std::string& text) {
  runtime::StreamDelta out;
  out.choice = choice;
  out.text = text;
  out.tokens = {1};
  return out;
}

runtime::ChoiceEnd end_of(std::uint32_t choice, ipc::FinishReason reason) {
  runtime::ChoiceEnd out;
  out.choice = choice;
  out.reason = reason;
  return out;
}

runtime::StreamDone done() {
  runtime::StreamDone out;
  out.result_record = 13;
  out.prompt_tokens = 5;
  out.completion_tokens = 2;
  out.cached_tokens = 4;
  return out;
}

ipc::TokenLogprob logprob(const std::string& text, float value,
                          std::vector<ipc::TokenLogprob::Top> top = {}) {
  ipc::TokenLogprob out;
  out.token = 9;
  out.text = text;
  out.logprob = value;
  out.top = std::move(top);
  return out;
}

const std::string kChunkHead =
    R"(data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1700000000,)"
    R"("model":"smol","system_fingerprint":"fp","choices":[)";
const std::string kAioss =
    R"(,"aioss":{"request_id":"req_7","request_record":12,"result_record":13,)"
    R"("profile":"reproducible","seed":18446744073709551615})";
const std::string kUsage = R"("usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,)"
                           R"("prompt_tokens_details":{"cached_tokens":4}})";

// Every event is valid JSON, or [DONE].
void expect_events_parse(const std::string& sse) {
  std::size_t at = 0;
  while (at < sse.size()) {
    const std::size_t end = sse.find("\n\n", at);
    ASSERT_NE(end, std::string::npos);
    const std::string event = sse.substr(at, end - at);
    ASSERT_EQ(event.substr(0, 6), "data: ");
    ASSERT_EQ(event.find('\n'), std::string::npos);
    if (event != "data: [DONE]") {
      ASSERT_TRUE(codec::parse_json(event.substr(6)).has_value()) << event;
    }
    at = end + 2;
  }
}

TEST(ChunkWriter, ChatIsRoleTextFinishDone) {
  ChunkWriter chunks(facts(Endpoint::kChat));
  std::string out;
  chunks.begin(out);
  chunks.add(delta(0, "a\"\n"), out);
  chunks.add(end_of(0, ipc::FinishReason::kLength), out);
  chunks.done(done(), out);
  EXPECT_EQ(out, kChunkHead +
                     R"({"index":0,"delta":{"role":"assistant","content":"","refusal":null},)"
                     R"("logprobs":null,"finish_reason":null}]})"
                     "\n\n" +
                     kChunkHead +
                     R"({"index":0,"delta":{"content":"a\"\n"},"logprobs":null,)"
                     R"("finish_reason":null}]})"
                     "\n\n" +
                     kChunkHead +
                     R"({"index":0,"delta":{},"logprobs":null,)"
                     R"("finish_reason":"length"}])" +
                     kAioss + "}\n\ndata: [DONE]\n\n");
  expect_events_parse(out);
}

TEST(ChunkWriter, UsageHasAChunkOfItsOwnAndIsNullBefore) {
  AnswerFacts with_usage = facts(Endpoint::kChat);
  with_usage.include_usage = true;
  ChunkWriter chunks(with_usage);
  std::string out;
  chunks.add(delta(0, "a"), out);
  chunks.add(end_of(0, ipc::FinishReason::kStop), out);
  chunks.done(done(), out);
  EXPECT_EQ(out, kChunkHead +
                     R"({"index":0,"delta":{"content":"a"},"logprobs":null,)"
                     R"("finish_reason":null}],"usage":null})"
                     "\n\n" +
                     kChunkHead +
                     R"({"index":0,"delta":{},"logprobs":null,)"
                     R"("finish_reason":"stop"}],"usage":null})"
                     "\n\n" +
                     kChunkHead + "]," + kUsage + kAioss + "}\n\ndata: [DONE]\n\n");
}

TEST(ChunkWriter, CompletionHasTextAndNoRole) {
  ChunkWriter chunks(facts(Endpoint::kCompletion));
  std::string out;
  chunks.begin(out);
  chunks.add(delta(0, "a"), out);
  chunks.add(end_of(0, ipc::FinishReason::kStop), out);
  chunks.done(done(), out);
  const std::string head =
      R"(data: {"id":"cmpl-7","object":"text_completion","created":1700000000,"model":"smol",)"
      R"("system_fingerprint":"fp","choices":[{"index":0,"text":)";
  EXPECT_EQ(out, head +
                     R"("a","logprobs":null,"finish_reason":null}]})"
                     "\n\n" +
                     head + R"("","logprobs":null,"finish_reason":"stop"}])" + kAioss +
                     "}\n\ndata: [DONE]\n\n");
}

TEST(ChunkWriter, ChoicesInterleaveAndOnlyTheLastEndCarriesOurMember) {
  AnswerFacts two = facts(Endpoint::kChat);
  two.choices = 2;
  ChunkWriter chunks(two);
  std::string out;
  chunks.begin(out);
  chunks.add(delta(1, "b"), out);
  chunks.add(end_of(1, ipc::FinishReason::kStop), out);
  EXPECT_EQ(out.find("\"finish_reason\":\"stop\""), std::string::npos);  // held
  chunks.add(delta(0, "a"), out);
  const std::size_t first_end = out.find("\"finish_reason\":\"stop\"");
  ASSERT_NE(first_end, std::string::npos);
  EXPECT_LT(first_end, out.find("\"content\":\"a\""));
  chunks.add(end_of(0, ipc::FinishReason::kStop), out);
  EXPECT_EQ(out.find("aioss"), std::string::npos);
  chunks.done(done(), out);
  const std::size_t ours = out.find("\"aioss\"");
  ASSERT_NE(ours, std::string::npos);
  EXPECT_EQ(out.find("\"aioss\"", ours + 1), std::string::npos);
  EXPECT_GT(ours, out.rfind("\"index\":0"));
  expect_events_parse(out);
}

TEST(ChunkWriter, FailureIsTheLastEventWithoutDone) {
  ChunkWriter chunks(facts(Endpoint::kChat));
  std::string out;
  chunks.fail({Error(Code::kWorkerDied, "it died"), 9}, out);
  EXPECT_EQ(out,
            "data: "
            R"({"error":{"message":"it died","type":"server_error","param":null,)"
            R"("code":"worker_died"},"aioss":{"request_id":"req_7","request_record":12,)"
            R"("abort_record":9,"profile":"reproducible","seed":18446744073709551615}})"
            "\n\n");
  expect_events_parse(out);
}

TEST(ChunkWriter, TokensWithoutTextMakeNoChunkUnlessTheyHaveLogprobs) {
  AnswerFacts with = facts(Endpoint::kChat);
  with.logprobs = true;
  ChunkWriter chunks(with);
  std::string out;
  chunks.add(delta(0, ""), out);
  EXPECT_EQ(out, "");
  runtime::StreamDelta half = delta(0, "");
  half.logprobs = {logprob("\xF0\x9F", -0.5F)};
  chunks.add(half, out);
  EXPECT_THAT(out, HasSubstr(R"("logprobs":{"content":[{"token":"\\xf0\\x9f","logprob":-0.5,)"
                             R"("bytes":[240,159],"top_logprobs":[]}],"refusal":null})"));
  expect_events_parse(out);
}

TEST(ChunkWriter, TextOffsetsGoOnOverChunks) {
  AnswerFacts with = facts(Endpoint::kCompletion);
  with.logprobs = true;
  ChunkWriter chunks(with);
  std::string out;
  runtime::StreamDelta first = delta(0, "h\xC3\xA9");
  first.logprobs = {logprob("h", -1), logprob("\xC3\xA9", -2)};
  chunks.add(first, out);
  EXPECT_THAT(out, HasSubstr("\"text_offset\":[0,1]"));
  out.clear();
  runtime::StreamDelta second = delta(0, "!");
  second.logprobs = {logprob("!", -3)};
  chunks.add(second, out);
  EXPECT_THAT(out, HasSubstr("\"text_offset\":[2]"));  // characters, not bytes
}

TEST(AnswerWriter, ChatAnswer) {
  AnswerFacts two = facts(Endpoint::kChat);
  two.choices = 2;
  AnswerWriter answer(two);
  EXPECT_TRUE(answer.add(delta(1, "b")).has_value());
  EXPECT_TRUE(answer.add(delta(0, "a")).has_value());
  EXPECT_TRUE(answer.add(delta(0, "c")).has_value());
  answer.add(end_of(1, ipc::FinishReason::kLength));
  answer.add(end_of(0, ipc::FinishReason::kStop));
  EXPECT_EQ(answer.done(done()),
            R"({"id":"chatcmpl-7","object":"chat.completion","created":1700000000,"model":"smol",)"
            R"("system_fingerprint":"fp","choices":[{"index":0,"message":{"role":"assistant",)"
            R"("content":"ac","refusal":null},"logprobs":null,"finish_reason":"stop"},)"
            R"({"index":1,"message":{"role":"assistant","content":"b","refusal":null},)"
            R"("logprobs":null,"finish_reason":"length"}],)" +
                kUsage + kAioss + "}");
}

TEST(AnswerWriter, CompletionWithLogprobs) {
  AnswerFacts with = facts(Endpoint::kCompletion);
  with.logprobs = true;
  AnswerWriter answer(with);
  runtime::StreamDelta text = delta(0, "ab");
  // The chosen token is no alternative to itself, and two tokens may look the same.
  text.logprobs = {logprob("a", -0.25F, {{"a", -0.25F, 9}, {"x", -2, 1}, {"x", -3, 2}}),
                   logprob("b", -std::numeric_limits<float>::infinity())};
  EXPECT_TRUE(answer.add(text).has_value());
  answer.add(end_of(0, ipc::FinishReason::kStop));
  EXPECT_THAT(answer.done(done()),
              HasSubstr(R"("choices":[{"index":0,"text":"ab","logprobs":{"tokens":["a","b"],)"
                        R"("token_logprobs":[-0.25,-9999],"top_logprobs":[{"a":-0.25,"x":-2},)"
                        R"({"b":-9999}],"text_offset":[0,1]},"finish_reason":"stop"}])"));
}

TEST(AnswerWriter, ChatWithAlternatives) {
  AnswerFacts with = facts(Endpoint::kChat);
  with.logprobs = true;
  AnswerWriter answer(with);
  runtime::StreamDelta text = delta(0, "a");
  text.logprobs = {logprob("a", -0.25F, {{"a", -0.25F, 9}, {"\xFF", -2, 1}})};
  EXPECT_TRUE(answer.add(text).has_value());
  EXPECT_THAT(answer.done(done()),
              HasSubstr(R"({"content":[{"token":"a","logprob":-0.25,"bytes":[97],)"
                        R"("top_logprobs":[{"token":"a","logprob":-0.25,"bytes":[97]},)"
                        R"({"token":"\\xff","logprob":-2,"bytes":[255]}]}],"refusal":null})"));
}

TEST(AnswerWriter, ABoundHoldsWithLogprobs) {
  AnswerFacts with = facts(Endpoint::kChat);
  with.logprobs = true;
  AnswerWriter answer(with);
  runtime::StreamDelta text = delta(0, "");
  text.logprobs = std::vector<ipc::TokenLogprob>(10'000, logprob(std::string(1000, 'x'), -1));
  Status status = ok();
  for (int i = 0; i < 10 && status.has_value(); ++i) status = answer.add(text);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Code::kTooLarge);
}

TEST(ErrorBody, HasOpenAisShape) {
  EXPECT_EQ(error_body(Error(Code::kInvalidArgument, "bad \"n\"", "n")),
            R"({"error":{"message":"bad \"n\"","type":"invalid_request_error","param":"n",)"
            R"("code":"invalid_argument"}})");
}

TEST(Models, ListAndObject) {
  runtime::ModelEntry cold;
  cold.name = "a\"b";
  cold.engine = "llama";
  cold.file_bytes = 5;
  cold.modified_unix_s = 6;
  cold.state = "failed";
  cold.last_error = Error(Code::kModelCorrupt, "not GGUF");
  EXPECT_EQ(model_list({cold}),
            R"({"object":"list","data":[{"id":"a\"b","object":"model","created":6,)"
            R"("owned_by":"aioss","aioss":{"state":"failed","engine":"llama","file_bytes":5,)"
            R"("pinned":false,"error":"not GGUF","error_code":"model_corrupt"}}]})");
  runtime::ModelEntry ready;
  ready.name = "m";
  ready.state = "ready";
  ready.sha256 = "ab";
  ready.facts.emplace();
  ready.facts->architecture = "llama";
  ready.facts->cells_per_stream = 4096;
  ready.facts->streams = 4;
  ready.facts->has_chat_template = true;
  EXPECT_EQ(model_object(ready),
            R"({"id":"m","object":"model","created":0,"owned_by":"aioss","aioss":{"state":"ready",)"
            R"("engine":"","file_bytes":0,"sha256":"ab","architecture":"llama","parameters":0,)"
            R"("context_tokens":4096,"context_tokens_train":0,"parallel":4,"profile":"fast",)"
            R"("chat":true,"pinned":false}})");
  ready.facts.reset();
  ready.aliases = {"chat", "s"};
  EXPECT_EQ(model_object(ready),
            R"({"id":"m","object":"model","created":0,"owned_by":"aioss","aioss":{"state":"ready",)"
            R"("engine":"","file_bytes":0,"sha256":"ab","aliases":["chat","s"],"pinned":false}})");
}

TEST(Models, SayHowLongTheyStayAndWhyTheyFailed) {
  runtime::ModelEntry entry;
  entry.name = "m";
  entry.state = "loading";
  entry.load_fraction = 0.07F;
  entry.residence.pinned = true;
  EXPECT_THAT(model_object(entry), HasSubstr(R"("load_fraction":0.07,"pinned":true}})"));
  entry.state = "ready";
  entry.residence = {false, true, 1'700'000'000, 1'700'000'300, {}};
  EXPECT_THAT(model_object(entry),
              HasSubstr(R"("pinned":false,"unloading":true,"idle_since":1700000000,)"
                        R"("expires_at":1700000300}})"));
  entry.state = "failed";
  entry.residence = {false, false, {}, {}, 8};
  entry.last_error = Error(Code::kNoMemory, "too large");
  EXPECT_THAT(model_object(entry),
              HasSubstr(R"("error":"too large","error_code":"no_memory","retry_seconds":8}})"));
}

TEST(JsonText, EscapesWhatMustBeEscaped) {
  std::string text;
  for (int c = 0; c < 256; ++c) text += static_cast<char>(c);
  std::string out;
  append_string(out, text);
  const auto parsed = codec::parse_json(out);
  ASSERT_TRUE(parsed.has_value()) << out;
  // Every ASCII character survives; what is no UTF-8 becomes the replacement character.
  EXPECT_EQ(parsed->get<std::string>().substr(0, 128), text.substr(0, 128));
  std::string whole;
  append_string(whole, "h\xC3\xA9 \xF0\x9F\x98\x80");
  EXPECT_EQ(whole, "\"h\xC3\xA9 \xF0\x9F\x98\x80\"");
}

TEST(JsonText, LogprobsReadBackTheSame) {
  for (const float value : {-0.1F, -1e-30F, -123456.79F, 0.0F}) {
    std::string out;
    append_logprob(out, value);
    EXPECT_EQ(std::stof(out), value) << out;
  }
}

}  // namespace
}  // namespace aioss::api::openai
