// `aioss anchor export|import|list`.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "cli/command_list.h"
#include "cli/key_argument.h"
#include "cli/ledger_session.h"
#include "cli/qr_picture.h"
#include "cli/term.h"
#include "cli/text_file.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "ledger/reading/verify.h"
#include "ledger/witness/anchors.h"

namespace aioss::cli {
namespace {

struct ExportWish {
  ledger::GiveOut give;
  std::string output;  // file; "": standard output
  std::string png;     // file; "": none
  bool qr = false;
};

Result<ExportWish> parse_export(const Invocation& invocation) {
  ExportWish wish;
  wish.give.witness = invocation.text("--witness").value_or("");
  AIOSS_TRY(wish.give.old_size, invocation.number("--old", 0, std::uint64_t{1} << 62));
  if (wish.give.old_size && wish.give.witness.empty()) {
    return Error(Code::kUsage, "--old needs --witness: it says what that witness has cosigned");
  }
  wish.output = invocation.text("--output").value_or("");
  wish.png = invocation.text("--png").value_or("");
  wish.qr = invocation.has("--qr");
  wish.give.medium = wish.output.empty() ? "standard output" : "file";
  if (wish.qr) wish.give.medium += ", qr code";
  if (!wish.png.empty()) wish.give.medium += ", png";
  return wish;
}

// The request if a code can hold it, and if it is to be drawn, the terminal too; else the
// checkpoint alone, which is what the witness would sign.
Result<QrCode> code_of(const ledger::GivenOut& given, std::size_t columns_max, Console& console,
                       std::string_view what) {
  if (!given.request.empty()) {
    auto whole = make_qr_code(given.request);
    if (whole && qr_columns(*whole) <= columns_max) return whole;
    console.note("aioss: " + std::string(what) +
                 " holds the checkpoint only; the request, with its proof, is too large for it (" +
                 std::to_string(given.request.size()) + " bytes)");
  }
  return make_qr_code(given.note);
}

Status draw(const ledger::GivenOut& given, Console& console) {
  const ConsoleFacts& facts = console.facts();
  const std::size_t columns = facts.output_is_terminal ? facts.columns : kQrBytesMax;
  AIOSS_TRY(const QrCode code, code_of(given, columns, console, "the QR code"));
  if (qr_columns(code) > columns) {
    console.note("aioss: the QR code is " + std::to_string(qr_columns(code)) +
                 " columns wide, the terminal " + std::to_string(columns) +
                 "; make it wider, or use --png");
  }
  QrInk ink = facts.output_color ? QrInk::kColor : QrInk::kLight;
  if (!facts.output_is_terminal) ink = QrInk::kDark;
  if (console.out(draw_qr(code, ink))) return ok();
  return Error(Code::kIo, "standard output took no more text");
}

Status write_png(const Services& services, const ledger::GivenOut& given, const std::string& path) {
  AIOSS_TRY(const QrCode code, code_of(given, kQrBytesMax, services.console, path));
  return write_text(services, path, as_text(qr_png(code)));
}

Status export_anchor(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const ExportWish wish, parse_export(invocation));
  const std::string directory = invocation.operand(0);
  AIOSS_TRY(const auto opened,
            open_existing_ledger(services, directory,
                                 "ask it with GET /admin/anchor?witness=NAME, or stop it"));
  ledger::Anchors anchors(services.files, *opened, directory);
  AIOSS_TRY(const ledger::GivenOut given, anchors.give_out(wish.give));
  // Before anything leaves: what it covers is then in a checkpoint that lies with the ledger, too.
  AIOSS_CHECK(opened->close());
  const bool request = !given.request.empty();
  AIOSS_CHECK(write_text(services, wish.output, request ? given.request : given.note));
  if (wish.qr) AIOSS_CHECK(draw(given, services.console));
  if (!wish.png.empty()) AIOSS_CHECK(write_png(services, given, wish.png));
  std::string line = "aioss: checkpoint of " + given.checkpoint.origin + " over " +
                     std::to_string(given.checkpoint.size) + " records";
  if (request) {
    line += ", for " + wish.give.witness + ", which has cosigned " + std::to_string(given.old_size);
  }
  services.console.note(line);
  return ok();
}

std::string imported_json(const ledger::TakenIn& taken, const ledger::WitnessKey& witness) {
  codec::OrderedJson out;
  out["origin"] = taken.checkpoint.origin;
  out["size"] = taken.checkpoint.size;
  out["root"] = codec::to_base64(taken.checkpoint.root);
  out["witness"] = witness.name;
  out["time"] = taken.cosignature.time_s;
  out["file"] = taken.file;
  if (taken.record) out["record"] = *taken.record;
  return codec::dump_json(out) + "\n";
}

Status import_anchor(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(
      const std::string key_text,
      key_argument(services.files, "--witness-key", invocation.text("--witness-key").value_or("")));
  AIOSS_TRY(const ledger::WitnessKey witness, ledger::parse_witness_key(key_text));
  AIOSS_TRY(const std::string note,
            read_text(services, invocation.operand(1), ledger::kNoteBytesMax));
  const std::string directory = invocation.operand(0);
  AIOSS_TRY(const auto opened,
            open_existing_ledger(services, directory,
                                 "send it the note with POST /admin/anchor, or stop it"));
  ledger::Anchors anchors(services.files, *opened, directory);
  AIOSS_TRY(const ledger::TakenIn taken, anchors.take_in(note, witness));
  AIOSS_CHECK(opened->close());
  if (invocation.has("--json")) return write_text(services, "", imported_json(taken, witness));
  const std::string time = utc_time(static_cast<std::int64_t>(taken.cosignature.time_s));
  const std::string done =
      taken.record ? "record " + std::to_string(*taken.record) : std::string("recorded already");
  return write_text(services, "",
                    witness.name + " has cosigned " + std::to_string(taken.checkpoint.size) +
                        " records at " + time + ": " + taken.file + ", " + done + "\n");
}

// What `anchor list` says of one ANCHOR. Fields that are missing are shown as missing.
struct Row {
  std::uint64_t record = 0;
  std::int64_t wall_ns = 0;
  std::uint64_t kind = 0, size = 0;
  std::string origin, witness;
  std::optional<std::uint64_t> cosigned_s;
};

Row row_of(const ledger::Record& record) {
  namespace own = ledger::key::anchor;
  const codec::Map& body = record.body;
  const auto number = [&body](std::uint64_t key) -> std::optional<std::uint64_t> {
    const auto found = body.get_uint(key, "");
    return found ? std::optional(*found) : std::nullopt;
  };
  const auto text = [&body](std::uint64_t key) {
    const auto found = body.get_text(key, "");
    return found ? *found : std::string();
  };
  Row row;
  row.record = record.index;
  row.wall_ns = static_cast<std::int64_t>(number(ledger::key::kWallNs).value_or(0));
  row.kind = number(own::kKind).value_or(~std::uint64_t{0});
  row.size = number(own::kSize).value_or(0);
  row.origin = text(own::kOrigin);
  row.witness = text(own::kWitness);
  row.cosigned_s = number(own::kTime);
  return row;
}

std::string_view kind_name(std::uint64_t kind) {
  switch (static_cast<ledger::AnchorKind>(kind)) {
    case ledger::AnchorKind::kCosigned:
      return "cosigned";
    case ledger::AnchorKind::kGivenOut:
      return "given out";
    case ledger::AnchorKind::kWitnessed:
      return "witnessed";
  }
  return "unknown";
}

struct Listing {
  std::vector<Row> rows;
  std::uint64_t records = 0;
  std::uint64_t cosigned = 0;  // the largest checkpoint that a witness has cosigned
};

std::string listing_json(const Listing& listing) {
  codec::OrderedJson out;
  out["records"] = listing.records;
  out["cosigned"] = listing.cosigned;
  out["anchors"] = codec::OrderedJson::array();
  for (const Row& row : listing.rows) {
    codec::OrderedJson one;
    one["record"] = row.record;
    one["wall_ns"] = row.wall_ns;
    one["kind"] = kind_name(row.kind);
    one["origin"] = row.origin;
    one["size"] = row.size;
    one["witness"] = row.witness;
    if (row.cosigned_s) one["time"] = *row.cosigned_s;
    out["anchors"].push_back(std::move(one));
  }
  return codec::dump_json(out) + "\n";
}

std::string listing_text(const Listing& listing, const Console& console) {
  Table table({{"RECORD", Table::Align::kRight},
               {"WHEN"},
               {"WHAT"},
               {"SIZE", Table::Align::kRight},
               {"BY OR ON"}});
  for (const Row& row : listing.rows) {
    const bool other = static_cast<ledger::AnchorKind>(row.kind) == ledger::AnchorKind::kWitnessed;
    table.add({std::to_string(row.record), utc_time(row.wall_ns / kNsPerSecond),
               std::string(kind_name(row.kind)), std::to_string(row.size),
               other ? row.witness + ", of " + row.origin : row.witness});
  }
  const std::uint64_t open = listing.records - std::min(listing.cosigned, listing.records);
  std::string last = listing.cosigned == 0
                         ? "no witness has cosigned this ledger"
                         : "cosigned: the first " + std::to_string(listing.cosigned) + " records";
  last += "; not yet: " + std::to_string(open) + " of " + std::to_string(listing.records) + "\n";
  const std::string rows = table.render(console.table_columns(), console.facts().output_color);
  return listing.rows.empty() ? last : rows + last;
}

// A ledger may hold any number of them: the last ones are shown.
constexpr std::size_t kRowsMax = 10'000;

Status list_anchors(const Services& services, const Invocation& invocation) {
  const std::string directory = invocation.operand(0);
  Listing listing;
  Status read =
      ledger::read_records(services.files, directory, 0, [&](const ledger::Record& record) {
        listing.records = record.index + 1;
        if (record.type != ledger::RecordType::kAnchor) return true;
        Row row = row_of(record);
        if (row.kind == static_cast<std::uint64_t>(ledger::AnchorKind::kCosigned)) {
          listing.cosigned = std::max(listing.cosigned, row.size);
        }
        if (listing.rows.size() == kRowsMax) listing.rows.erase(listing.rows.begin());
        listing.rows.push_back(std::move(row));
        return true;
      });
  if (!read) return explain_ledger_error(services.files, std::move(read).error(), directory);
  return write_text(
      services, "",
      invocation.has("--json") ? listing_json(listing) : listing_text(listing, services.console));
}

int done(Console& console, const Status& status) {
  return status ? static_cast<int>(ExitCode::kOk) : console.fail(status.error());
}

}  // namespace

int anchor_export_command(const Services& services, const Invocation& invocation) {
  return done(services.console, export_anchor(services, invocation));
}

int anchor_import_command(const Services& services, const Invocation& invocation) {
  return done(services.console, import_anchor(services, invocation));
}

int anchor_list_command(const Services& services, const Invocation& invocation) {
  return done(services.console, list_anchors(services, invocation));
}

}  // namespace aioss::cli
