// `aioss witness init|trust|sign|status`: needs a witness's folder and nothing else of the product.
#include <memory>
#include <utility>

#include "cli/command_list.h"
#include "cli/key_argument.h"
#include "cli/ledger_session.h"
#include "cli/term.h"
#include "cli/text_file.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "ledger/format/render.h"
#include "ledger/witness/anchors.h"
#include "ledger/witness/witness.h"

namespace aioss::cli {
namespace {

std::string time_text(std::uint64_t unix_s) {
  return utc_time(static_cast<std::int64_t>(unix_s));
}

Status make_witness(const Services& services, const Invocation& invocation) {
  const std::string name = invocation.text("--name").value_or("");
  if (name.empty()) {
    return Error(Code::kUsage, "--name is needed: under which name does the witness sign?");
  }
  const std::string directory = invocation.operand(0);
  AIOSS_TRY(const ledger::WitnessKey key,
            ledger::Witness::init(services.files, services.random, directory, name));
  const std::string vkey = ledger::format_witness_key(key);
  if (invocation.has("--json")) {
    codec::OrderedJson out;
    out["vkey"] = vkey;
    out["name"] = name;
    return write_text(services, "", codec::dump_json(out) + "\n");
  }
  services.console.note("aioss: witness " + name + " made in " + directory);
  services.console.note(
      "aioss: its public key follows; 'aioss anchor import --witness-key' needs it");
  return write_text(services, "", vkey + "\n");
}

Status trust(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const std::string text, key_argument(services.files, "VKEY", invocation.operand(1)));
  AIOSS_TRY(const ledger::VerifierKey key, ledger::parse_verifier_key(text));
  AIOSS_TRY(const auto witness,
            ledger::Witness::open(services.files, services.clock, invocation.operand(0)));
  AIOSS_CHECK(witness->trust(key));
  services.console.note("aioss: " + witness->key().name + " cosigns for " + key.name);
  return ok();
}

Status sign(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const std::string request,
            read_text(services, invocation.operand(1), ledger::kRequestBytesMax));
  // Before the decision: what is cosigned is to be recorded, or not cosigned at all.
  const std::string own = invocation.text("--ledger").value_or("");
  std::unique_ptr<ledger::Ledger> recording;
  if (!own.empty()) {
    AIOSS_TRY(recording,
              open_existing_ledger(services, own,
                                   "stop it, or leave --ledger out and send it the cosigned note "
                                   "with POST /admin/anchor and \"witnessed\": true"));
  }
  AIOSS_TRY(const auto witness,
            ledger::Witness::open(services.files, services.clock, invocation.operand(0)));
  AIOSS_TRY(const ledger::Witness::Cosigned cosigned, witness->sign(request));
  Console& console = services.console;
  if (recording) {
    ledger::Anchors anchors(services.files, *recording, own);
    AIOSS_TRY(const std::uint64_t index, anchors.record_witnessed(cosigned.note, witness->key()));
    AIOSS_CHECK(recording->close());
    console.note("aioss: record " + std::to_string(index) + " of " + own);
  }
  AIOSS_CHECK(write_text(services, invocation.text("--output").value_or(""), cosigned.note));
  console.note("aioss: cosigned " + ledger::count_of_records(cosigned.checkpoint.size) + " of " +
               cosigned.checkpoint.origin + " at " + time_text(cosigned.cosignature.time_s) +
               "; it was at " + std::to_string(cosigned.previous_size));
  if (cosigned.clock_went_back) {
    console.note("aioss: this machine's clock was ahead at the last cosignature; look at it");
  }
  return ok();
}

std::string status_json(const ledger::WitnessKey& key,
                        const std::vector<ledger::WitnessedOrigin>& origins) {
  codec::OrderedJson out;
  out["name"] = key.name;
  out["vkey"] = ledger::format_witness_key(key);
  out["origins"] = codec::OrderedJson::array();
  for (const ledger::WitnessedOrigin& origin : origins) {
    codec::OrderedJson one;
    one["origin"] = origin.key.name;
    one["vkey"] = ledger::format_verifier_key(origin.key);
    one["size"] = origin.size;
    if (origin.size > 0) one["root"] = codec::to_base64(origin.root);
    if (origin.size > 0) one["time"] = origin.time_s;
    out["origins"].push_back(std::move(one));
  }
  return codec::dump_json(out) + "\n";
}

std::string status_text(const std::vector<ledger::WitnessedOrigin>& origins,
                        const Console& console) {
  Table table({{"ORIGIN"}, {"COSIGNED", Table::Align::kRight}, {"AT"}});
  for (const ledger::WitnessedOrigin& origin : origins) {
    table.add({origin.key.name, std::to_string(origin.size),
               origin.size == 0 ? "never" : time_text(origin.time_s)});
  }
  return table.render(console.table_columns(), console.facts().output_color);
}

Status status(const Services& services, const Invocation& invocation) {
  const std::string directory = invocation.operand(0);
  AIOSS_TRY(const ledger::WitnessKey key, ledger::read_witness_key(services.files, directory));
  AIOSS_TRY(const auto origins, ledger::read_witnessed(services.files, directory));
  if (invocation.has("--json")) return write_text(services, "", status_json(key, origins));
  services.console.note("aioss: " + ledger::format_witness_key(key));
  return write_text(services, "", status_text(origins, services.console));
}

int done(Console& console, const Status& status) {
  return status ? static_cast<int>(ExitCode::kOk) : console.fail(status.error());
}

}  // namespace

int witness_init_command(const Services& services, const Invocation& invocation) {
  return done(services.console, make_witness(services, invocation));
}

int witness_trust_command(const Services& services, const Invocation& invocation) {
  return done(services.console, trust(services, invocation));
}

int witness_sign_command(const Services& services, const Invocation& invocation) {
  return done(services.console, sign(services, invocation));
}

int witness_status_command(const Services& services, const Invocation& invocation) {
  return done(services.console, status(services, invocation));
}

}  // namespace aioss::cli
