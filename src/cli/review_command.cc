// `aioss review`: what a person says of an answer, into a ledger that nobody else has open.
#include <chrono>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/ledger_session.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "os/environment.h"
#include "os/read_some.h"
#include "runtime/records/review.h"
#include "runtime/records/salts.h"

namespace aioss::cli {
namespace {

constexpr int kInput = 0;
constexpr std::size_t kNameBytesMax = 128;
constexpr std::string_view kInstead =
    "send the review to that server (POST /v1/reviews), or stop it first";

Result<std::string> read_comment() {
  constexpr std::chrono::milliseconds kInputPoll{1'000};
  std::string text;
  std::vector<std::uint8_t> bytes(runtime::kReviewCommentBytesMax);
  for (;;) {
    const auto count = os::read_some(kInput, bytes, kInputPoll);
    if (!count && count.error().code == Code::kTimeout) continue;
    if (!count) return count.error();
    if (*count == 0) return text;
    text += as_text(std::span(bytes).first(*count));
    if (text.size() > runtime::kReviewCommentBytesMax) {
      return Error(Code::kTooLarge, "--comment: standard input is over 64 KiB; give a shorter one");
    }
  }
}

// Errors name fields as the endpoint has them; here they are flags.
Error as_flag(Error error) {
  if (error.code == Code::kInvalidArgument) error.code = Code::kUsage;
  if (error.field == "verdict") error.message = "--verdict: " + error.message;
  return error;
}

Result<runtime::ReviewCall> call_of(const Invocation& invocation) {
  runtime::ReviewCall call;
  const std::string request = invocation.operand(0);
  call.record = parse_u64(request);
  if (!call.record) call.request_id = request;
  call.verdict = invocation.text("--verdict").value_or("");
  const std::string name(trim(invocation.text("--by").value_or("")));
  if (name.empty() || name.size() > kNameBytesMax || !codec::is_utf8(name)) {
    return Error(Code::kUsage, "--by is needed: who reviewed it, in at most 128 bytes?");
  }
  call.by.user = name;
  call.by.role = runtime::Role::kOperator;
  call.by.source = "unix:uid=" + std::to_string(os::user_id());
  call.comment = invocation.text("--comment").value_or("");
  if (call.comment == "-") {
    AIOSS_TRY(call.comment, read_comment());
  }
  if (const Status fit = runtime::check_review(call); !fit) return as_flag(fit.error());
  return call;
}

std::string review_json(const runtime::Reviewed& reviewed, const std::string& verdict) {
  codec::OrderedJson out;
  out["record"] = reviewed.record;
  out["reviewed_record"] = reviewed.reviewed_record;
  out["request_id"] = reviewed.request_id;
  out["verdict"] = verdict;
  if (reviewed.comment_salt) out["comment_salt"] = codec::to_hex(*reviewed.comment_salt);
  return codec::dump_json(out) + "\n";
}

std::string review_text(const runtime::Reviewed& reviewed, const std::string& verdict) {
  std::string out = "record " + std::to_string(reviewed.record) + ": " + verdict + ", of record " +
                    std::to_string(reviewed.reviewed_record) + "\n";
  if (reviewed.comment_salt) out += "comment salt " + codec::to_hex(*reviewed.comment_salt) + "\n";
  return out;
}

}  // namespace

int review_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto call = call_of(invocation);
  if (!call) return console.fail(call.error());
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return console.fail(config.error());
  const std::string directory = config->text(Key::kLedger);
  if (directory.empty()) {
    return console.fail({Code::kUsage, "HOME is not set; name the ledger's folder with --ledger"});
  }
  const auto ledger = open_existing_ledger(services, directory, kInstead);
  if (!ledger) return console.fail(ledger.error());
  const auto custody = open_custody(services, *config, directory, **ledger);
  if (!custody) return console.fail(custody.error());
  runtime::ReviewCall named = *call;
  if (const Status known = runtime::identify(**custody, named.by); !known) {
    return console.fail(known.error());
  }
  const auto reviewed = runtime::review(services.random, **ledger, named);
  const Status closed = (*ledger)->close();
  if (!reviewed) return console.fail(as_flag(reviewed.error()));
  if (!closed) return console.fail(closed.error());
  const std::string text = invocation.has("--json") ? review_json(*reviewed, call->verdict)
                                                    : review_text(*reviewed, call->verdict);
  return console.print(text);
}

}  // namespace aioss::cli
