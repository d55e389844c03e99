#include "cli/verify_document.h"

#include "api/openai/request.h"
#include "base/strings.h"
#include "cli/term.h"
#include "ledger/evidence/fork_proof.h"
#include "ledger/evidence/json_fields.h"
#include "runtime/records/records.h"

namespace aioss::cli {
namespace {

// Of a prompt or an answer: what the API takes and gives, with room.
constexpr std::uint64_t kTextBytesMax = 64U << 20;
constexpr unsigned kProofPermissions = 0640;

Result<Bytes> part_of_document(os::FileSystem& files, const std::string& flag,
                               const std::string& path) {
  auto bytes = os::read_file(files, path, kTextBytesMax);
  if (!bytes) return std::move(bytes).error().with_context(flag + " " + path);
  return bytes;
}

// As it is, and without the line feed that editors end a file with.
std::vector<Bytes> as_written(const Bytes& text) {
  std::vector<Bytes> forms{text};
  if (!text.empty() && text.back() == '\n') forms.emplace_back(text.begin(), text.end() - 1);
  return forms;
}

// What a prompt in a file may have been committed to as: the canonical bytes themselves, the body
// of the request, the text of a completion, or a chat of that one message.
std::vector<Bytes> prompt_forms(const Bytes& file) {
  namespace records = runtime::records;
  std::vector<Bytes> forms{file};
  const auto add = [&forms](const ipc::Prompt& prompt) {
    forms.push_back(records::canonical_prompt(prompt));
  };
  if (const auto chat = api::openai::parse_chat(as_text(file))) add(chat->submit.prompt);
  if (const auto text = api::openai::parse_completion(as_text(file))) add(text->submit.prompt);
  for (const Bytes& text : as_written(file)) {
    add(std::string(as_text(text)));
    add(std::vector<ipc::ChatMessage>{{"user", std::string(as_text(text)), ""}});
  }
  return forms;
}

ledger::DocumentReport failed(const Error& error, std::string_view format = {}) {
  ledger::DocumentReport report;
  report.format = format;
  ledger::conclude(error, report);
  return report;
}

ledger::DocumentReport judge_receipt_text(std::string_view text,
                                          const ledger::ReceiptCheck& check) {
  const auto receipt = ledger::parse_receipt(text);
  if (!receipt) return failed(receipt.error(), ledger::kReceiptFormat);
  return ledger::judge_receipt(*receipt, check);
}

// Two notes, of which the larger holds in the ledger, or both are of one size.
std::optional<std::pair<ledger::Note, ledger::Note>> contradiction(
    const ledger::VerifyOptions& options, const ledger::VerifyReport& report) {
  struct One {
    const ledger::Note* note;
    ledger::NoteState state;
  };
  std::vector<One> notes;
  if (report.checkpoint) notes.push_back({&*report.checkpoint, report.checkpoint_state});
  for (std::size_t i = 0; i < report.kept.size(); ++i) {
    notes.push_back({&options.kept[i].note, report.kept[i]});
  }
  for (const One& bad : notes) {
    if (bad.state != ledger::NoteState::kOtherRoot) continue;
    for (const One& good : notes) {
      const auto& one = bad.note->checkpoint;
      const auto& other = good.note->checkpoint;
      const bool larger =
          good.state == ledger::NoteState::kHolds && one.size <= other.size && one.size > 0;
      if (larger) return std::pair(*bad.note, *good.note);
    }
  }
  return std::nullopt;
}

Status write_new(os::FileSystem& files, const std::string& path, std::string_view text) {
  AIOSS_TRY(const auto file, files.open(path, os::OpenMode::kCreateNew, kProofPermissions));
  AIOSS_TRY(const std::size_t written, file->write_at(0, as_bytes(text)));
  if (written != text.size()) return Error{Code::kIo, "the disk took only part of it"};
  return file->sync_all();
}

}  // namespace

Result<std::vector<ledger::Claim>> read_claims(const Services& services,
                                               const Invocation& invocation) {
  std::vector<ledger::Claim> claims;
  AIOSS_TRY(const auto choice, invocation.number("--choice", 0, 1'000'000));
  if (const auto path = invocation.text("--prompt")) {
    AIOSS_TRY(const Bytes text, part_of_document(services.files, "--prompt", *path));
    claims.push_back({ledger::Claim::Of::kPrompt, 0, prompt_forms(text)});
  }
  if (const auto path = invocation.text("--answer")) {
    AIOSS_TRY(const Bytes text, part_of_document(services.files, "--answer", *path));
    claims.push_back({ledger::Claim::Of::kAnswer, choice.value_or(0), as_written(text)});
  } else if (choice) {
    return Error(Code::kUsage, "--choice says which answer --answer is; give both");
  }
  return claims;
}

Result<ledger::Note> read_kept_note(os::FileSystem& files, const std::string& path) {
  const std::string name = path.starts_with('@') ? path.substr(1) : path;
  auto bytes = os::read_file(files, name, ledger::kNoteBytesMax);
  if (!bytes) return std::move(bytes).error().with_context("--since " + path);
  auto note = ledger::parse_note(as_text(*bytes));
  if (!note)
    return Error(Code::kUsage, "--since " + path + " is no checkpoint: it " + note.error().message);
  return note;
}

ledger::DocumentReport verify_document(const Services& services, const std::string& path,
                                       const ledger::ReceiptCheck& check,
                                       const ledger::Progress& progress) {
  const auto document = ledger::read_document(services.files, path);
  if (!document) return failed(document.error());
  if (document->kind != ledger::DocumentKind::kReceipt && !check.claims.empty()) {
    return failed(Error(Code::kUsage, "--prompt and --answer are compared with a receipt, and " +
                                          path + " is none"));
  }
  switch (document->kind) {
    case ledger::DocumentKind::kBundle:
      return ledger::judge_bundle(services.files, path, check.key, progress);
    case ledger::DocumentKind::kReceipt:
      return judge_receipt_text(document->text, check);
    default:
      break;
  }
  const auto fork = ledger::parse_fork_proof(document->text);
  if (!fork) return failed(fork.error(), ledger::kForkProofFormat);
  return ledger::judge_fork_proof(*fork, check.key);
}

ReceiptBeside verify_receipt_beside(os::FileSystem& files, const std::string& path,
                                    const ledger::ReceiptCheck& check) {
  ReceiptBeside out;
  const auto document = ledger::read_document(files, path);
  if (!document) {
    out.report = failed(document.error());
    return out;
  }
  if (document->kind != ledger::DocumentKind::kReceipt) {
    out.report = failed(Error(Code::kUsage, "--receipt " + path + " is no receipt"));
    return out;
  }
  out.report = judge_receipt_text(document->text, check);
  const auto receipt = ledger::parse_receipt(document->text);
  if (!receipt) return out;
  if (auto note = ledger::parse_note(receipt->checkpoint)) out.note = std::move(*note);
  return out;
}

void write_fork_proof_file(const Services& services, const Invocation& invocation,
                           const ledger::VerifyOptions& options,
                           const ledger::VerifyReport& report) {
  Console& console = services.console;
  const auto notes = contradiction(options, report);
  if (!notes) {
    console.note(
        "aioss: no fork proof: the two histories are not both signed at sizes that the ledger has "
        "the records for; keep both checkpoints and the ledger");
    return;
  }
  const std::string path = invocation.text("--fork-proof").value_or("fork.proof");
  const auto proof =
      ledger::make_fork_proof(services.files, options.directory, notes->first, notes->second);
  if (!proof) {
    console.note("aioss: no fork proof: " + one_line(proof.error().message));
    return;
  }
  const Status written = write_new(services.files, path, ledger::write_fork_proof(*proof));
  console.note(written ? "aioss: fork proof written to " + path
                       : "aioss: fork proof not written to " + path + ": " +
                             one_line(written.error().message));
}

}  // namespace aioss::cli
