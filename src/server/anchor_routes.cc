#include "server/anchor_routes.h"

#include <array>
#include <utility>

#include "base/strings.h"
#include "base/suggest.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "http/text.h"
#include "runtime/records/records.h"
#include "server/replies.h"
#include "server/wrong_field.h"

namespace aioss::server {
namespace {

constexpr std::string_view kWitness = "witness", kOld = "old";
constexpr std::string_view kNote = "note", kWitnessKey = "witness_key", kWitnessed = "witnessed";
constexpr codec::JsonLimits kBodyLimits{kAnchorBodyBytesMax, 2, 16};

Status take(std::string_view name, const std::string& value, ledger::GiveOut& wish) {
  if (name == kWitness) {
    if (const Status named = ledger::check_origin(value); !named) {
      return wrong_field(kWitness, "not a name that a witness can have");
    }
    wish.witness = value;
    return ok();
  }
  if (name != kOld) return wrong_field(name, "there are only 'witness' and 'old'");
  wish.old_size = parse_u64(value);
  return wish.old_size ? ok() : wrong_field(kOld, "not a number of records");
}

Result<std::string> text_in(const codec::Json& json, std::string_view name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_string()) return wrong_field(name, "must be a string");
  return found->get<std::string>();
}

Status check_anchor_fields(const codec::Json& json) {
  if (!json.is_object()) return Error{Code::kInvalidArgument, "the body must be a JSON object"};
  for (const auto& [name, value] : json.items()) {
    if (name == kNote || name == kWitnessKey || name == kWitnessed) continue;
    const std::vector<std::string> known{std::string(kNote), std::string(kWitnessKey),
                                         std::string(kWitnessed)};
    return wrong_field(one_line(name), "there is no such field" + did_you_mean(name, known));
  }
  return ok();
}

}  // namespace

Result<ledger::GiveOut> parse_anchor_export(std::string_view query,
                                            const runtime::Principal& principal) {
  ledger::GiveOut wish;
  wish.medium = "http";
  wish.actor = runtime::records::actor(principal);
  for (const std::string_view part : split(query, '&')) {
    if (part.empty()) continue;
    const std::size_t equals = std::min(part.find('='), part.size());
    const auto name = http::decode_path(part.substr(0, equals));
    const auto value = http::decode_path(part.substr(std::min(equals + 1, part.size())));
    if (!name || !value) {
      return Error{Code::kInvalidArgument, "the query is not percent-encoded UTF-8"};
    }
    AIOSS_CHECK(take(*name, *value, wish));
  }
  if (wish.old_size && wish.witness.empty()) return wrong_field(kOld, "needs 'witness'");
  return wish;
}

Result<AnchorImport> parse_anchor_import(std::string_view body,
                                         const runtime::Principal& principal) {
  AIOSS_TRY(const codec::Json json, codec::parse_json(body, kBodyLimits));
  AIOSS_CHECK(check_anchor_fields(json));
  AnchorImport out;
  out.actor = runtime::records::actor(principal);
  AIOSS_TRY(out.note, text_in(json, kNote));
  if (const auto note = ledger::parse_note(out.note); !note) {
    return wrong_field(kNote, note.error().message);
  }
  AIOSS_TRY(const std::string key_text, text_in(json, kWitnessKey));
  auto key = ledger::parse_witness_key(key_text);
  if (!key) return wrong_field(kWitnessKey, key.error().message);
  out.witness = std::move(*key);
  const auto witnessed = json.find(kWitnessed);
  if (witnessed == json.end()) return out;
  if (!witnessed->is_boolean()) return wrong_field(kWitnessed, "must be true or false");
  out.witnessed = witnessed->get<bool>();
  return out;
}

http::Response answer_anchor_export(ledger::Anchors& anchors, const ledger::GiveOut& wish) {
  const auto given = anchors.give_out(wish);
  if (!given) return error_response(given.error());
  http::Response response(200, "text/plain; charset=utf-8",
                          given->request.empty() ? given->note : given->request);
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return response;
}

http::Response answer_anchor_import(ledger::Anchors& anchors, const AnchorImport& given) {
  codec::OrderedJson out;
  if (given.witnessed) {
    const auto record = anchors.record_witnessed(given.note, given.witness, given.actor);
    if (!record) return error_response(record.error());
    out["witness"] = given.witness.name;
    out["record"] = *record;
    return json_response(200, codec::dump_json(out));
  }
  const auto taken = anchors.take_in(given.note, given.witness, given.actor);
  if (!taken) return error_response(taken.error());
  out["origin"] = taken->checkpoint.origin;
  out["size"] = taken->checkpoint.size;
  out["root"] = codec::to_base64(taken->checkpoint.root);
  out["witness"] = given.witness.name;
  out["time"] = taken->cosignature.time_s;
  out["file"] = taken->file;
  if (taken->record) out["record"] = *taken->record;
  return json_response(200, codec::dump_json(out));
}

}  // namespace aioss::server
