#include "ledger/evidence/receipt.h"

#include <algorithm>
#include <utility>

#include "codec/base64.h"
#include "codec/hex.h"
#include "ledger/evidence/json_fields.h"
#include "ledger/format/commitment.h"
#include "ledger/format/proof.h"
#include "ledger/reading/history.h"
#include "ledger/writing/ledger.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kOutputsMax = 4'096;  // far more choices than a request may ask for

codec::OrderedJson proven_json(const ProvenRecord& proven) {
  codec::OrderedJson out;
  out["index"] = proven.index;
  out["frame"] = codec::to_base64(proven.frame);
  out["proof"] = digests_json(proven.proof);
  return out;
}

codec::OrderedJson salts_json(const Salts& salts) {
  codec::OrderedJson out = codec::OrderedJson::object();
  if (salts.prompt) out["prompt"] = codec::to_hex(*salts.prompt);
  if (salts.stop) out["stop"] = codec::to_hex(*salts.stop);
  codec::OrderedJson outputs = codec::OrderedJson::array();
  for (const Digest& salt : salts.outputs) outputs.push_back(codec::to_hex(salt));
  out["outputs"] = std::move(outputs);
  return out;
}

Error malformed_receipt(std::string_view what) {
  return {Code::kCorrupt, "the receipt is malformed: " + std::string(what)};
}

Result<ProvenRecord> parse_proven(const codec::Json& object, std::string_view name) {
  const codec::Json* const value = find_member(object, name);
  if (value == nullptr || !value->is_object()) return malformed_receipt("it lacks a record");
  ProvenRecord proven;
  AIOSS_TRY(proven.index, uint_member(*value, "index"));
  AIOSS_TRY(proven.frame, base64_member(*value, "frame", kFrameBytesMax));
  AIOSS_TRY(proven.proof, digest_list(*value, "proof"));
  return proven;
}

Result<Digest> parse_salt(const codec::Json& value) {
  codec::Json wrapped = codec::Json::object();
  wrapped["salt"] = value;
  Digest salt;
  AIOSS_CHECK(hex_member(wrapped, "salt", salt));
  return salt;
}

Result<Salts> parse_salts(const codec::Json& object) {
  if (!object.is_object()) return malformed_receipt("its salts are no object");
  Salts salts;
  if (const codec::Json* prompt = find_member(object, "prompt")) {
    AIOSS_TRY(salts.prompt, parse_salt(*prompt));
  }
  if (const codec::Json* stop = find_member(object, "stop")) {
    AIOSS_TRY(salts.stop, parse_salt(*stop));
  }
  const codec::Json* const outputs = find_member(object, "outputs");
  if (outputs == nullptr || !outputs->is_array() || outputs->size() > kOutputsMax) {
    return malformed_receipt("it has no list of the answers' salts");
  }
  for (const codec::Json& output : *outputs) {
    AIOSS_TRY(const Digest salt, parse_salt(output));
    salts.outputs.push_back(salt);
  }
  return salts;
}

Result<Receipt> receipt_of(const codec::Json& object) {
  Receipt receipt;
  AIOSS_TRY(receipt.origin, text_member(object, "origin"));
  AIOSS_CHECK(hex_member(object, "ledger_id", receipt.ledger_id));
  AIOSS_TRY(receipt.request_id, text_member(object, "request_id"));
  if (find_member(object, "request")) {
    AIOSS_TRY(receipt.request, parse_proven(object, "request"));
  }
  receipt.aborted = find_member(object, "abort") != nullptr;
  if (receipt.aborted == (find_member(object, "result") != nullptr)) {
    return malformed_receipt("it must have a result or an abort");
  }
  AIOSS_TRY(receipt.end, parse_proven(object, receipt.aborted ? "abort" : "result"));
  AIOSS_TRY(receipt.size, uint_member(object, "size"));
  AIOSS_TRY(receipt.checkpoint, text_member(object, "checkpoint"));
  AIOSS_TRY(receipt.keys, base64_list(object, "keys", kEpochsMax));
  if (const codec::Json* salts = find_member(object, "salts")) {
    AIOSS_TRY(receipt.salts, parse_salts(*salts));
  }
  return receipt;
}

struct Opened {  // a frame of the receipt
  Frame frame;
  codec::Map body;
};

// The frame is one good record of this index and type, and is in the tree whose root was signed.
Result<Opened> open_record(const Receipt& receipt, const ProvenRecord& proven, RecordType type,
                           const Digest& root) {
  const std::string which = "record " + std::to_string(proven.index) + " of the receipt ";
  const auto broken = [&which](std::string_view what) {
    return Error{Code::kCorrupt, which + std::string(what)};
  };
  const ParsedFrame parsed = parse_frame(proven.frame);
  if (parsed.form != Form::kGood || parsed.frame.bytes != proven.frame.size()) {
    return broken("is damaged");
  }
  const Frame& frame = parsed.frame;
  if (frame.index != proven.index || frame.type != static_cast<std::uint16_t>(type)) {
    return broken("is not the record that it is said to be");
  }
  auto body = codec::decode_map(frame.body);
  if (!body) return broken("is not canonical CBOR");
  if (!has_common_keys(*body)) return broken("lacks what every record has");
  ChainHasher hasher;
  const Digest leaf = hasher.leaf(receipt.ledger_id, frame);
  if (root_of_inclusion(leaf, proven.index, receipt.size, proven.proof) != root) {
    return broken("is not in the ledger whose checkpoint was signed");
  }
  return Opened{frame, std::move(*body)};
}

bool has_request_id(const codec::Map& body, const std::string& request_id) {
  const auto id = body.get_text(key::kRequestId, "request");
  return id && *id == request_id;
}

// Whether request and end are of each other and of the request that the receipt is about.
Status check_links(const Receipt& receipt, const std::optional<Opened>& request,
                   const Opened& end) {
  const Error foreign{Code::kCorrupt, "the receipt's records are not those of one request"};
  if (request && !has_request_id(request->body, receipt.request_id)) return foreign;
  const auto reference = end.body.get_uint(key::kRefIndex, "request");
  if (request) {
    if (!reference || *reference != request->frame.index) return foreign;
    if (request->frame.index >= end.frame.index) return foreign;
    // Recovery ends a request by its index alone.
    const bool has_id = end.body.find(key::kRequestId) != nullptr;
    if (!has_id && receipt.aborted) return ok();
  } else if (reference || !receipt.aborted) {
    return Error{Code::kCorrupt, "the receipt lacks the record of the request"};
  }
  if (!has_request_id(end.body, receipt.request_id)) return foreign;
  return ok();
}

// The commitment that a claim is about, and the salt that opens it.
struct Commitments {
  Digest value{};
  Digest salt{};
};

Error unclaimable(std::string_view what) {
  return {Code::kUsage, std::string(what)};
}

Result<Commitments> prompt_of(const Receipt& receipt, const std::optional<Opened>& request) {
  if (!request) return unclaimable("the receipt is of a request that was refused unrecorded");
  if (!receipt.salts->prompt) return unclaimable("the receipt has no salt of the prompt");
  Commitments out;
  AIOSS_TRY(out.value, request->body.get_digest(key::infer_request::kPromptCommitment, "prompt"));
  out.salt = *receipt.salts->prompt;
  return out;
}

Result<Commitments> answer_of(const Receipt& receipt, const Opened& end, std::uint64_t number) {
  if (receipt.aborted) return unclaimable("the receipt is of a request that has no answer");
  AIOSS_TRY(const codec::Array* choices,
            end.body.get_array(key::infer_result::kChoices, "choices"));
  if (number >= choices->size() || number >= receipt.salts->outputs.size()) {
    return unclaimable("the receipt has no answer of that number");
  }
  const codec::Map* const choice = (*choices)[number].if_map();
  if (choice == nullptr) return Error{Code::kCorrupt, "a choice of the receipt is no map"};
  Commitments out;
  AIOSS_TRY(out.value, choice->get_digest(key::choice::kOutputCommitment, "answer"));
  out.salt = receipt.salts->outputs[number];
  return out;
}

Status check_claim(const Claim& claim, const Receipt& receipt, const std::optional<Opened>& request,
                   const Opened& end) {
  const bool prompt = claim.of == Claim::Of::kPrompt;
  if (!receipt.salts) {
    return unclaimable(
        "the receipt has no salts, so nothing can be compared with it: only the caller whose "
        "request it was gets one with salts");
  }
  AIOSS_TRY(const Commitments commitments,
            prompt ? prompt_of(receipt, request) : answer_of(receipt, end, claim.choice));
  const bool fits = std::any_of(
      claim.candidates.begin(), claim.candidates.end(), [&commitments](const Bytes& text) {
        return commitment_of(commitments.salt, as_text(text)) == commitments.value;
      });
  if (fits) return ok();
  return Error{Code::kCorrupt, prompt ? "the given prompt is not the one that was recorded"
                                      : "the given answer is not the one that was recorded"};
}

class Judge {
 public:
  Judge(const Receipt& receipt, const ReceiptCheck& check, DocumentReport& report)
      : receipt_(receipt), check_(check), report_(report) {}

  Status run() {
    AIOSS_TRY(const Note note, parse_note(receipt_.checkpoint));
    if (note.checkpoint.size != receipt_.size) {
      return Error{Code::kCorrupt, "the receipt's checkpoint is of another size than it says"};
    }
    AIOSS_CHECK(check_rotations());
    AIOSS_TRY(const DocumentKeys keys,
              DocumentKeys::follow(check_.key, receipt_.origin, receipt_.ledger_id, receipt_.keys));
    AIOSS_CHECK(keys.check(note));
    AIOSS_CHECK(check_records(note.checkpoint.root));
    return ok();
  }

 private:
  Status check_rotations() const {
    for (const Bytes& bytes : receipt_.keys) {
      const ParsedFrame parsed = parse_frame(bytes);
      if (parsed.form != Form::kGood || parsed.frame.index >= receipt_.size) {
        return Error{Code::kCorrupt, "the receipt's chain of keys is damaged"};
      }
    }
    return ok();
  }

  Status check_records(const Digest& root) {
    std::optional<Opened> request;
    if (receipt_.request) {
      AIOSS_TRY(request, open_record(receipt_, *receipt_.request, RecordType::kInferRequest, root));
    }
    const RecordType type = receipt_.aborted ? RecordType::kInferAbort : RecordType::kInferResult;
    AIOSS_TRY(const Opened end, open_record(receipt_, receipt_.end, type, root));
    AIOSS_CHECK(check_links(receipt_, request, end));
    describe(request, end);
    for (const Claim& claim : check_.claims) {
      AIOSS_CHECK(check_claim(claim, receipt_, request, end));
      const bool prompt = claim.of == Claim::Of::kPrompt;
      report_.facts[prompt ? "prompt" : "answer"] = "as recorded";
    }
    return ok();
  }

  void describe(const std::optional<Opened>& request, const Opened& end) {
    codec::OrderedJson& facts = report_.facts;
    facts["request_id"] = receipt_.request_id;
    if (request) facts["request_record"] = request->frame.index;
    facts[receipt_.aborted ? "abort_record" : "result_record"] = end.frame.index;
    facts["size"] = receipt_.size;
    if (const auto wall = end.body.get_uint(key::kWallNs, "time")) facts["wall_ns"] = *wall;
    if (!receipt_.aborted) return;
    if (const auto cause = end.body.get_text(key::infer_abort::kCause, "cause")) {
      facts["cause"] = *cause;
    }
  }

  const Receipt& receipt_;
  const ReceiptCheck& check_;
  DocumentReport& report_;
};

Result<ProvenRecord> prove_record(const History& history, StoredRecord stored,
                                  const Checkpoint& at) {
  ProvenRecord proven;
  proven.index = stored.record.index;
  History::Tree tree = history.tree();
  AIOSS_TRY(proven.proof, prove_inclusion(tree, proven.index, at.size));
  if (root_of_inclusion(stored.record.leaf, proven.index, at.size, proven.proof) != at.root) {
    return Error{Code::kCorrupt,
                 "the ledger on the disk is no longer what was signed; stop aioss and run 'aioss "
                 "verify'"};
  }
  proven.frame = std::move(stored.frame);
  return proven;
}

}  // namespace

std::string write_receipt(const Receipt& receipt) {
  codec::OrderedJson out;
  out["format"] = kReceiptFormat;
  out["origin"] = receipt.origin;
  out["ledger_id"] = codec::to_hex(receipt.ledger_id);
  out["request_id"] = receipt.request_id;
  if (receipt.request) out["request"] = proven_json(*receipt.request);
  out[receipt.aborted ? "abort" : "result"] = proven_json(receipt.end);
  out["size"] = receipt.size;
  out["checkpoint"] = receipt.checkpoint;
  out["keys"] = base64_json(receipt.keys);
  if (receipt.salts) out["salts"] = salts_json(*receipt.salts);
  return codec::dump_json(out) + "\n";
}

Result<Receipt> parse_receipt(std::string_view text) {
  AIOSS_TRY(const codec::Json object, parse_document(text));
  AIOSS_TRY(const std::string format, text_member(object, "format"));
  if (format != kReceiptFormat) {
    return Error{Code::kUnsupported, "this is not a receipt that this program knows"};
  }
  return receipt_of(object);
}

Result<Receipt> make_receipt(const ReceiptSource& source, std::string_view request_id) {
  AIOSS_TRY(RequestRecords found, source.history.find_request(request_id));
  return make_receipt(source, request_id, std::move(found));
}

Result<Receipt> make_receipt(const ReceiptSource& source, std::string_view request_id,
                             RequestRecords found) {
  if (!found.end) {
    return Error{Code::kConflict, "the request has not ended yet; ask again when it has"};
  }
  Receipt receipt;
  receipt.origin = source.origin;
  receipt.ledger_id = source.history.ledger_id();
  receipt.request_id = std::string(request_id);
  receipt.aborted = found.end->record.type == RecordType::kInferAbort;
  AIOSS_TRY(receipt.checkpoint, source.checkpoint(found.end->record.index + 1));
  AIOSS_TRY(const Note note, parse_note(receipt.checkpoint));
  receipt.size = note.checkpoint.size;
  if (found.request) {
    AIOSS_TRY(receipt.request,
              prove_record(source.history, std::move(*found.request), note.checkpoint));
  }
  AIOSS_TRY(receipt.end, prove_record(source.history, std::move(*found.end), note.checkpoint));
  AIOSS_TRY(receipt.keys, source.history.rotations(receipt.size));
  return receipt;
}

DocumentReport judge_receipt(const Receipt& receipt, const ReceiptCheck& check) {
  DocumentReport report;
  report.format = kReceiptFormat;
  report.origin = receipt.origin;
  if (const Status held = Judge(receipt, check, report).run(); !held) {
    conclude(held.error(), report);
    return report;
  }
  report.verdict = check.key ? Verdict::kOk : Verdict::kUnknown;
  report.finding = check.key ? "these very records of the request are in the ledger that the "
                               "given key signed"
                             : "self-consistent, untrusted: without --key anyone could have "
                               "written this receipt";
  return report;
}

}  // namespace aioss::ledger
