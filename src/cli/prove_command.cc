// `aioss ledger status|prove|export`: what shows and proves a ledger without its writer.
#include <algorithm>

#include "base/clock.h"
#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/ledger_session.h"
#include "cli/operators.h"
#include "cli/progress.h"
#include "cli/term.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "ledger/evidence/bundle.h"
#include "ledger/evidence/json_fields.h"
#include "ledger/reading/disk_tree.h"
#include "ledger/reading/verify.h"
#include "ledger/reading/walk.h"
#include "ledger/writing/signer.h"

namespace aioss::cli {
namespace {

using codec::OrderedJson;

// The folder: the operand, or the setting.
Result<std::string> directory_of(const Services& services, const Invocation& invocation,
                                 const std::string& operand) {
  if (!operand.empty()) return operand;
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  if (config.text(Key::kLedger).empty()) {
    return Error(Code::kUsage, "HOME is not set; name the ledger's folder with --ledger");
  }
  return config.text(Key::kLedger);
}

// Members of one level as rows, for people.
std::string rows_of(const OrderedJson& object, bool color) {
  std::size_t width = 0;
  for (const auto& [label, value] : object.items()) width = std::max(width, label.size());
  std::string out;
  for (const auto& [label, value] : object.items()) {
    const std::string text =
        value.is_string() ? value.get<std::string>() : codec::dump_json(OrderedJson(value));
    out += paint(label, Color::kDim, color);
    out.append(width + 2 - label.size(), ' ');
    out += safe_text(text, false) + "\n";
  }
  return out;
}

int print(Console& console, const OrderedJson& object, bool json) {
  const std::string text =
      json ? codec::dump_json(object) + "\n" : rows_of(object, console.facts().output_color);
  return console.print(text);
}

struct Anchored {
  std::uint64_t record = 0, size = 0, kind = 0;
  std::string by;
  std::int64_t wall_ns = 0;
};

// The newest ANCHOR about a checkpoint of this ledger: cosigned, or given out.
void note_anchor(const ledger::Record& record, std::optional<Anchored>& newest) {
  namespace own = ledger::key::anchor;
  if (record.type != ledger::RecordType::kAnchor) return;
  const auto kind = record.body.get_uint(own::kKind, "kind");
  const auto size = record.body.get_uint(own::kSize, "size");
  const auto by = record.body.get_text(own::kWitness, "by");
  const auto wall = record.body.get_int(ledger::key::kWallNs, "time");
  constexpr auto kWitnessed = static_cast<std::uint64_t>(ledger::AnchorKind::kWitnessed);
  if (!kind || !size || !by || !wall || *kind == kWitnessed) return;
  if (!newest || *size >= newest->size) newest = {record.index, *size, *kind, *by, *wall};
}

class StatusReader {
 public:
  Result<OrderedJson> read(os::FileSystem& files, const std::string& directory) {
    // Before the records: they grow, and a note never covers more than there is.
    const auto note = ledger::read_checkpoint(files, directory);
    ledger::WalkOptions walking;
    walking.directory = directory;
    walking.visit = [this](const ledger::Record& record) {
      note_anchor(record, anchor_);
      return true;
    };
    AIOSS_TRY(const ledger::WalkResult walked, ledger::walk(files, walking));
    return describe(walked, note);
  }

 private:
  OrderedJson describe(const ledger::WalkResult& walked, const Result<ledger::Note>& note) const {
    const ledger::WalkState& state = walked.state;
    ledger::ChainHasher hasher;
    OrderedJson out;
    out["origin"] = state.origin.value_or("");
    out["records"] = state.next_index;
    out["segments"] = state.segments;
    out["bytes"] = state.bytes;
    out["last_record"] = utc_time(state.last_wall_ns / kNsPerSecond);
    out["head"] = codec::to_hex(state.chain);
    out["root"] = codec::to_hex(state.tree.root(hasher));
    out["checkpoint"] = note ? std::to_string(note->checkpoint.size) + " records"
                             : "none that can be read: " + note.error().message;
    if (note && state.next_index >= note->checkpoint.size) {
      out["records_after_checkpoint"] = state.next_index - note->checkpoint.size;
    }
    out["anchor"] = anchor_ ? std::to_string(anchor_->size) + " records, " + anchor_->by + ", " +
                                  utc_time(anchor_->wall_ns / kNsPerSecond)
                            : "none";
    if (anchor_) out["anchor_record"] = anchor_->record;
    const std::uint64_t covered = anchor_ ? std::min(anchor_->size, state.next_index) : 0;
    OrderedJson window;
    window["records"] = state.next_index - covered;
    const std::int64_t since = anchor_ ? anchor_->wall_ns : state.first_wall_ns;
    window["seconds"] = state.next_index > covered
                            ? std::max<std::int64_t>(0, (state.last_wall_ns - since)) / kNsPerSecond
                            : 0;
    out["window"] = std::move(window);  // not anchored yet
    if (walked.damage != ledger::Damage::kNone) out["damage"] = walked.problem;
    return out;
  }

  std::optional<Anchored> anchor_;
};

struct ProofCall {
  enum class Kind { kInclusion, kConsistency, kRange } kind = Kind::kInclusion;
  std::uint64_t first = 0, second = 0, size = 0;
};

Result<std::uint64_t> number_operand(const Invocation& invocation, std::size_t index,
                                     std::string_view name) {
  const auto number = parse_u64(invocation.operand(index));
  if (number) return *number;
  return Error(Code::kUsage, std::string(name) + ": '" + one_line(invocation.operand(index)) +
                                 "' is not a whole number");
}

Result<ProofCall> parse_call(const Invocation& invocation, std::uint64_t checkpoint_size) {
  ProofCall call;
  const std::string kind = invocation.operand(0);
  if (kind == "consistency") {
    call.kind = ProofCall::Kind::kConsistency;
  } else if (kind == "range") {
    call.kind = ProofCall::Kind::kRange;
  } else if (kind != "inclusion") {
    return Error(Code::kUsage,
                 "KIND: '" + one_line(kind) + "' is not inclusion, consistency or range");
  }
  AIOSS_TRY(call.first, number_operand(invocation, 1, "FIRST"));
  const bool inclusion = call.kind == ProofCall::Kind::kInclusion;
  if (inclusion != invocation.operand(2).empty()) {
    return Error(Code::kUsage, inclusion ? "SECOND: inclusion takes one number only"
                                         : "SECOND is missing: " + kind + " takes two numbers");
  }
  if (!inclusion) {
    AIOSS_TRY(call.second, number_operand(invocation, 2, "SECOND"));
  }
  AIOSS_TRY(const auto size, invocation.number("--size", 1, ~std::uint64_t{0} >> 1U));
  if (call.kind == ProofCall::Kind::kConsistency) {
    if (size) return Error(Code::kUsage, "--size: consistency takes its sizes as numbers");
    call.size = call.second;
  } else {
    call.size = size.value_or(checkpoint_size);
  }
  return call;
}

struct MadeProof {
  std::vector<Digest> path;
  ledger::RangeProof range;
};

Status make_proof(const ProofCall& call, ledger::SubtreeSource& tree, MadeProof& made) {
  if (call.kind == ProofCall::Kind::kInclusion) {
    AIOSS_TRY(made.path, ledger::prove_inclusion(tree, call.first, call.size));
  } else if (call.kind == ProofCall::Kind::kConsistency) {
    AIOSS_TRY(made.path, ledger::prove_consistency(tree, call.first, call.second));
  } else {
    AIOSS_TRY(made.range, ledger::prove_range(tree, call.first, call.second, call.size));
  }
  return ok();
}

OrderedJson proof_json(const ProofCall& call, const MadeProof& made) {
  OrderedJson out;
  if (call.kind == ProofCall::Kind::kInclusion) {
    out["kind"] = "inclusion";
    out["index"] = call.first;
    out["size"] = call.size;
    out["proof"] = ledger::digests_json(made.path);
  } else if (call.kind == ProofCall::Kind::kConsistency) {
    out["kind"] = "consistency";
    out["first"] = call.first;
    out["second"] = call.second;
    out["proof"] = ledger::digests_json(made.path);
  } else {
    out["kind"] = "range";
    out["first"] = call.first;
    out["after"] = call.second;
    out["size"] = call.size;
    out["left"] = ledger::digests_json(made.range.left);
    out["right"] = ledger::digests_json(made.range.right);
  }
  return out;
}

}  // namespace

int ledger_status_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto directory = directory_of(services, invocation, invocation.operand(0));
  if (!directory) return console.fail(directory.error());
  const auto status = StatusReader().read(services.files, *directory);
  if (!status) {
    return console.fail(explain_ledger_error(services.files, status.error(), *directory));
  }
  return print(console, *status, invocation.has("--json"));
}

int ledger_prove_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto directory = directory_of(services, invocation, "");
  if (!directory) return console.fail(directory.error());
  const auto note = ledger::read_checkpoint(services.files, *directory);
  if (!note) return console.fail(explain_ledger_error(services.files, note.error(), *directory));
  const auto call = parse_call(invocation, note->checkpoint.size);
  if (!call) return console.fail(call.error());
  MadeProof made;
  Digest leaf{};
  ledger::Onlooker onlooker;
  onlooker.located = [&](const ledger::RecordPlace& place) {
    if (place.index == call->first) leaf = place.leaf;
  };
  const auto facts = ledger::prove_on_disk(
      services.files, *directory, call->size,
      [&](ledger::SubtreeSource& tree) { return make_proof(*call, tree, made); }, onlooker);
  if (!facts) return console.fail(explain_ledger_error(services.files, facts.error(), *directory));
  OrderedJson out = proof_json(*call, made);
  out["origin"] = facts->origin;
  out["ledger_id"] = codec::to_hex(facts->ledger_id);
  if (call->kind == ProofCall::Kind::kInclusion) out["leaf"] = codec::to_base64(leaf);
  out["root"] = codec::to_base64(facts->root);
  if (call->size == note->checkpoint.size) {
    if (facts->root != note->checkpoint.root) {
      return console.fail({Code::kCorrupt,
                           "the ledger's checkpoint is not one over its records; "
                           "run 'aioss verify'"});
    }
    out["checkpoint"] = ledger::text_of(*note);
  }
  return print(console, out, invocation.has("--json"));
}

namespace {

// ACCESS, before anything is taken: who exported which records. What has no signing key is a copy,
// in which nothing can be recorded, and a ledger that a server has open is that server's to write.
// The range that is recorded is the one that is exported.
Status record_export(const Services& services, const Invocation& invocation,
                     ledger::ExportOptions& exporting) {
  const std::string& directory = exporting.directory;
  if (services.files.info(exporting.path)) {
    return Error(Code::kConflict, exporting.path + " exists already; name another file");
  }
  if (!services.files.info(ledger::signing_key_path(directory))) {
    services.console.note("aioss: there is no signing key in " + directory +
                          ": of a copy, an export is not recorded");
    return ok();
  }
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  auto opened = open_existing_ledger(services, directory, "its exports are not recorded meanwhile");
  if (!opened && opened.error().code == Code::kConflict) {
    services.console.note("aioss: " + opened.error().message);
    return ok();
  }
  if (!opened) return std::move(opened).error();
  ledger::Ledger& ledger = **opened;
  const std::uint64_t size = ledger.health().size;
  exporting.after = exporting.after.value_or(size);
  if (exporting.first >= *exporting.after || *exporting.after > size) {
    return Error(Code::kInvalidArgument,
                 "the ledger has " + std::to_string(size) +
                     " records: choose --first below --after, and that not above their number");
  }
  AIOSS_TRY(const auto custody, open_custody(services, config, directory, ledger));
  Commander who = os_user();
  AIOSS_CHECK(know(who, *custody));
  codec::Map body;
  body.set(ledger::key::kActor, codec::Value::map(who.actor))
      .set(ledger::key::access::kWhat, codec::Value::text("export"))
      .set(ledger::key::access::kFirstIndex, codec::Value::uint(exporting.first))
      .set(ledger::key::access::kAfterIndex, codec::Value::uint(*exporting.after));
  AIOSS_CHECK(ledger.append_and_wait(ledger::RecordType::kAccess, std::move(body)));
  return ledger.close();
}

}  // namespace

int ledger_export_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto directory = directory_of(services, invocation, invocation.operand(1));
  if (!directory) return console.fail(directory.error());
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  const auto first = invocation.number("--first", 0, kMost);
  if (!first) return console.fail(first.error());
  const auto after = invocation.number("--after", 1, kMost);
  if (!after) return console.fail(after.error());
  ledger::ExportOptions options;
  options.directory = *directory;
  options.path = invocation.operand(0);
  options.first = first->value_or(0);
  options.after = *after;
  if (const Status recorded = record_export(services, invocation, options); !recorded) {
    return console.fail(recorded.error());
  }
  Progress progress(console, services.clock, "exporting");
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    progress.update(all == 0 ? 1.0F : static_cast<float>(done) / static_cast<float>(all));
  };
  const auto exported = ledger::export_bundle(services.files, options);
  progress.clear();
  if (!exported) {
    return console.fail(explain_ledger_error(services.files, exported.error(), *directory));
  }
  OrderedJson out;
  out["file"] = options.path;
  out["origin"] = exported->origin;
  out["first"] = exported->first;
  out["after"] = exported->after;
  out["size"] = exported->size;
  out["bytes"] = exported->bytes;
  return print(console, out, invocation.has("--json"));
}

}  // namespace aioss::cli
