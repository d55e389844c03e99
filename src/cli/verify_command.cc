// `aioss verify`: needs a ledger and a public key, and nothing else of the product.
#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/ledger_session.h"
#include "cli/progress.h"
#include "cli/term.h"
#include "codec/json.h"
#include "ledger/verify.h"

namespace aioss::cli {
namespace {

constexpr std::uint64_t kKeyBytesMax = 4096;  // a vkey line has about 100
constexpr std::int64_t kNsPerS = 1'000'000'000;

// "@FILE" stands for what the file holds.
Result<std::string> read_key(os::FileSystem& files, const std::string& given) {
  std::string key(trim(given));
  if (given.starts_with('@')) {
    auto bytes = os::read_file(files, given.substr(1), kKeyBytesMax);
    if (!bytes) return std::move(bytes).error().with_context("--key " + given);
    key = trim(as_text(*bytes));
  }
  // A variable that was never set must not quietly give the verdict of no key at all.
  if (key.empty()) return Error(Code::kUsage, "--key: there is no key in '" + given + "'");
  return key;
}

// "TORN TAIL: why", in capitals, so that nobody overlooks it. The finding of a ledger that was
// verified without a key begins with those words itself.
std::string headline(const ledger::VerifyReport& report, bool with_key, bool color) {
  constexpr std::string_view kUntrusted = "self-consistent, untrusted";
  std::string verdict(ledger::name(report.verdict));
  std::string_view finding = report.finding;
  if (report.verdict == ledger::Verdict::kUnknown && !with_key) verdict = kUntrusted;
  if (finding.starts_with(verdict)) finding.remove_prefix(verdict.size());
  if (finding.starts_with(": ")) finding.remove_prefix(2);
  for (char& c : verdict) {
    if (c == '_') c = ' ';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  const bool good = report.verdict == ledger::Verdict::kOk;
  return paint(verdict, good ? Color::kGreen : Color::kRed, color) + ": " +
         safe_text(finding, false) + "\n";
}

std::string as_json(const ledger::VerifyReport& report, bool with_key) {
  codec::OrderedJson out;
  out["verdict"] = ledger::name(report.verdict);
  out["trusted"] = with_key && report.verdict == ledger::Verdict::kOk;
  out["exit_code"] = static_cast<int>(report.verdict);
  out["finding"] = report.finding;
  out["origin"] = report.origin;
  out["records"] = report.records;
  out["segments"] = report.segments;
  out["bytes"] = report.bytes;
  if (report.bad_index) out["bad_index"] = *report.bad_index;
  if (report.bad_file) out["bad_file"] = *report.bad_file;
  if (report.bad_offset) out["bad_offset"] = *report.bad_offset;
  if (report.checkpoint_size) out["checkpoint_size"] = *report.checkpoint_size;
  out["first_wall_ns"] = report.first_wall_ns;
  out["last_wall_ns"] = report.last_wall_ns;
  out["head_chain"] = report.head_chain_hex;
  out["root"] = report.root_hex;
  out["dangling_requests"] = report.dangling_requests;
  out["pruned_records"] = report.pruned_records;
  out["pruned_segments"] = report.pruned_segments;
  if (report.payloads) {
    codec::OrderedJson& payloads = out["payloads"];
    payloads["named"] = report.payloads->named;
    payloads["present"] = report.payloads->present;
    payloads["redacted"] = report.payloads->redacted;
    payloads["dropped"] = report.payloads->dropped;
    payloads["missing"] = report.payloads->missing;
  }
  return codec::dump_json(out) + "\n";
}

std::string as_text(const ledger::VerifyReport& report, bool with_key, bool color) {
  std::string out = headline(report, with_key, color);
  const auto row = [&](std::string_view label, const std::string& value) {
    if (value.empty()) return;
    out += paint(label, Color::kDim, color);
    out.append(12 - label.size(), ' ');
    out += safe_text(value, false) + "\n";
  };
  row("origin", report.origin);
  row("records", std::to_string(report.records) + " in " + std::to_string(report.segments) +
                     (report.segments == 1 ? " segment, " : " segments, ") +
                     human_bytes(report.bytes));
  if (report.records > 0) {
    row("from", utc_time(report.first_wall_ns / kNsPerS));
    row("to", utc_time(report.last_wall_ns / kNsPerS));
  }
  if (report.checkpoint_size) {
    row("signed", "the first " + std::to_string(*report.checkpoint_size) + " records");
  }
  if (report.dangling_requests > 0) {
    row("open", std::to_string(report.dangling_requests) + " requests without a result or abort");
  }
  if (report.pruned_records > 0) {
    row("pruned", std::to_string(report.pruned_records) + " records in " +
                      std::to_string(report.pruned_segments) +
                      (report.pruned_segments == 1 ? " segment" : " segments") +
                      ": only hashes are left");
  }
  if (report.payloads) {
    const ledger::PayloadReport& payloads = *report.payloads;
    row("sealed", std::to_string(payloads.named) +
                      " texts are named: " + std::to_string(payloads.present) + " there, " +
                      std::to_string(payloads.redacted) + " erased, " +
                      std::to_string(payloads.dropped) + " dropped, " +
                      std::to_string(payloads.missing) + " missing");
  }
  row("head", report.head_chain_hex);
  row("root", report.root_hex);
  return out;
}

}  // namespace

int verify_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto given = invocation.text("--key");
  const auto key = given ? read_key(services.files, *given) : Result<std::string>(std::string());
  if (!key) {
    console.fail(key.error());
    return static_cast<int>(ledger::Verdict::kUsage);
  }
  Progress progress(console, services.clock, "verifying");
  ledger::VerifyOptions options;
  options.directory = invocation.operand(0);
  options.verifier_key = *key;
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    progress.update(all == 0 ? 1.0F : static_cast<float>(done) / static_cast<float>(all));
  };
  options.payloads = invocation.has("--payloads");
  const ledger::VerifyReport report = ledger::verify(services.files, options);
  progress.clear();
  if (report.verdict == ledger::Verdict::kUsage && !invocation.has("--json")) {
    const Error error{Code::kIo, report.finding};
    console.fail(explain_ledger_error(services.files, error, options.directory));
    return static_cast<int>(report.verdict);
  }
  const bool with_key = !key->empty();
  const std::string text = invocation.has("--json")
                               ? as_json(report, with_key)
                               : as_text(report, with_key, console.facts().output_color);
  if (!console.out(text)) return static_cast<int>(ledger::Verdict::kUsage);
  return static_cast<int>(report.verdict);
}

}  // namespace aioss::cli
