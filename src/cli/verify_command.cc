// `aioss verify`: needs what it checks and a public key, and nothing else of the product.
#include <algorithm>

#include "base/clock.h"
#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/ledger_session.h"
#include "cli/progress.h"
#include "cli/term.h"
#include "cli/verify_document.h"
#include "codec/json.h"
#include "ledger/reading/verify.h"

namespace aioss::cli {
namespace {

constexpr std::uint64_t kKeyBytesMax = 4096;  // a vkey line has about 100

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
std::string headline(ledger::Verdict judged, std::string_view finding, bool with_key, bool color) {
  constexpr std::string_view kUntrusted = "self-consistent, untrusted";
  std::string verdict(ledger::name(judged));
  if (judged == ledger::Verdict::kUnknown && !with_key) verdict = kUntrusted;
  if (finding.starts_with(verdict)) finding.remove_prefix(verdict.size());
  if (finding.starts_with(": ")) finding.remove_prefix(2);
  for (char& c : verdict) {
    if (c == '_') c = ' ';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  const bool good = judged == ledger::Verdict::kOk;
  return paint(verdict, good ? Color::kGreen : Color::kRed, color) + ": " +
         safe_text(finding, false) + "\n";
}

std::string verdict_json(const ledger::VerifyReport& report, bool with_key) {
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

std::string verdict_text(const ledger::VerifyReport& report, bool with_key, bool color) {
  std::string out = headline(report.verdict, report.finding, with_key, color);
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
    row("from", utc_time(report.first_wall_ns / kNsPerSecond));
    row("to", utc_time(report.last_wall_ns / kNsPerSecond));
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

std::string document_json(const ledger::DocumentReport& report, bool with_key) {
  codec::OrderedJson out;
  out["verdict"] = ledger::name(report.verdict);
  out["trusted"] = with_key && report.verdict == ledger::Verdict::kOk;
  out["exit_code"] = static_cast<int>(report.verdict);
  out["finding"] = report.finding;
  out["format"] = report.format;
  out["origin"] = report.origin;
  for (const auto& [name, value] : report.facts.items()) out[name] = value;
  return codec::dump_json(out) + "\n";
}

std::string document_text(const ledger::DocumentReport& report, bool with_key, bool color) {
  std::string out = headline(report.verdict, report.finding, with_key, color);
  codec::OrderedJson rows;
  rows["origin"] = report.origin;
  for (const auto& [name, value] : report.facts.items()) rows[name] = value;
  for (const auto& [name, value] : rows.items()) {
    const std::string text =
        value.is_string() ? value.get<std::string>() : codec::dump_json(codec::OrderedJson(value));
    if (text.empty()) continue;
    out += paint(name, Color::kDim, color) +
           std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') + safe_text(text, false) +
           "\n";
  }
  return out;
}

int usage_error(Console& console, const Error& error) {
  console.fail(error);
  return static_cast<int>(ledger::Verdict::kUsage);
}

// What the command line gives besides the path.
struct Given {
  std::string key;
  ledger::ReceiptCheck check;  // the key, parsed, and the claims
};

Result<Given> read_given(const Services& services, const Invocation& invocation) {
  Given given;
  if (const auto text = invocation.text("--key")) {
    AIOSS_TRY(given.key, read_key(services.files, *text));
    AIOSS_TRY(given.check.key, ledger::parse_verifier_key(given.key));
  }
  AIOSS_TRY(given.check.claims, read_claims(services, invocation));
  return given;
}

int verify_one_document(const Services& services, const Invocation& invocation,
                        const Given& given) {
  Console& console = services.console;
  for (const std::string_view flag : {"--since", "--receipt", "--fork-proof", "--payloads"}) {
    if (!invocation.has(flag)) continue;
    return usage_error(console, {Code::kUsage, std::string(flag) + " goes with a ledger's folder"});
  }
  Progress progress(console, services.clock, "verifying");
  const auto report = verify_document(
      services, invocation.operand(0), given.check, [&](std::uint64_t done, std::uint64_t all) {
        progress.update(static_cast<float>(done) / static_cast<float>(std::max(all, done)));
      });
  progress.clear();
  const bool json = invocation.has("--json");
  if (report.verdict == ledger::Verdict::kUsage && !json) {
    return usage_error(console, {Code::kIo, report.finding});
  }
  const bool with_key = given.check.key.has_value();
  const std::string text = json ? document_json(report, with_key)
                                : document_text(report, with_key, console.facts().output_color);
  if (!console.out(text)) return static_cast<int>(ledger::Verdict::kUsage);
  return static_cast<int>(report.verdict);
}

// The ledger, and what was kept of it elsewhere.
class LedgerCheck {
 public:
  LedgerCheck(const Services& services, const Invocation& invocation, const Given& given)
      : services_(services), invocation_(invocation), given_(given) {
    options_.directory = invocation.operand(0);
    options_.verifier_key = given.key;
    options_.payloads = invocation.has("--payloads");
  }

  Status prepare() {
    const auto receipt = invocation_.text("--receipt");
    if (!given_.check.claims.empty() && !receipt) {
      return Error{Code::kUsage,
                   "--prompt and --answer are compared with a receipt; give --receipt"};
    }
    if (const auto since = invocation_.text("--since")) {
      AIOSS_TRY(ledger::Note note, read_kept_note(services_.files, *since));
      options_.kept.push_back({"the checkpoint given with --since", std::move(note)});
    }
    if (!receipt) return ok();
    beside_ = verify_receipt_beside(services_.files, *receipt, given_.check);
    if (beside_->report.verdict == ledger::Verdict::kUsage) {
      return Error{Code::kUsage, beside_->report.finding};
    }
    if (beside_->note) options_.kept.push_back({"the checkpoint of the receipt", *beside_->note});
    return ok();
  }

  ledger::VerifyReport run() {
    Progress progress(services_.console, services_.clock, "verifying");
    options_.progress = [&](std::uint64_t done, std::uint64_t all) {
      progress.update(all == 0 ? 1.0F : static_cast<float>(done) / static_cast<float>(all));
    };
    ledger::VerifyReport report = ledger::verify(services_.files, options_);
    progress.clear();
    if (report.verdict == ledger::Verdict::kFork) {
      write_fork_proof_file(services_, invocation_, options_, report);
    }
    if (beside_ && ledger::is_worse(beside_->report.verdict, report.verdict)) {
      report.verdict = beside_->report.verdict;
      report.finding = beside_->report.finding;
    } else if (beside_ && report.verdict == ledger::Verdict::kOk) {
      report.finding += "; the receipt's records are among them";
    }
    return report;
  }

 private:
  const Services& services_;
  const Invocation& invocation_;
  const Given& given_;
  ledger::VerifyOptions options_;
  std::optional<ReceiptBeside> beside_;
};

int verify_ledger(const Services& services, const Invocation& invocation, const Given& given) {
  Console& console = services.console;
  LedgerCheck check(services, invocation, given);
  if (const Status ready = check.prepare(); !ready) return usage_error(console, ready.error());
  const ledger::VerifyReport report = check.run();
  if (report.verdict == ledger::Verdict::kUsage && !invocation.has("--json")) {
    const Error error{Code::kIo, report.finding};
    return usage_error(console, explain_ledger_error(services.files, error, invocation.operand(0)));
  }
  const bool with_key = !given.key.empty();
  const std::string text = invocation.has("--json")
                               ? verdict_json(report, with_key)
                               : verdict_text(report, with_key, console.facts().output_color);
  if (!console.out(text)) return static_cast<int>(ledger::Verdict::kUsage);
  return static_cast<int>(report.verdict);
}

}  // namespace

int verify_command(const Services& services, const Invocation& invocation) {
  const auto given = read_given(services, invocation);
  if (!given) return usage_error(services.console, given.error());
  const auto about = services.files.info(invocation.operand(0));
  const bool is_file = about && !about->is_directory;
  return is_file ? verify_one_document(services, invocation, *given)
                 : verify_ledger(services, invocation, *given);
}

}  // namespace aioss::cli
