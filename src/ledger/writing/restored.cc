#include "ledger/writing/restored.h"

#include <algorithm>
#include <utility>

#include "codec/hex.h"
#include "codec/json.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kRestoredFormat = "aioss-restored/1";
constexpr std::uint64_t kMarkBytesMax = 4'096;

std::string mark_path(const std::string& directory) {
  return directory + '/' + std::string(kRestoredFile);
}

Error bad_mark() {
  return {
      Code::kCorrupt,
      "the file 'restored' cannot be understood; restore the backup again, into another folder"};
}

Result<RestoredMark> parse(std::string_view text) {
  const auto json =
      codec::parse_json(text, {.bytes_max = kMarkBytesMax, .depth_max = 2, .nodes_max = 16});
  if (!json || !json->is_object()) return bad_mark();
  const auto text_of = [&json](const char* name) -> std::string {
    const auto found = json->find(name);
    return found != json->end() && found->is_string() ? found->get<std::string>() : "";
  };
  const auto size = json->find("size");
  const auto root = codec::from_hex(text_of("root"));
  RestoredMark mark;
  if (text_of("format") != kRestoredFormat || size == json->end() || !size->is_number_unsigned() ||
      !root || root->size() != mark.root.size()) {
    return bad_mark();
  }
  mark.size = size->get<std::uint64_t>();
  std::copy(root->begin(), root->end(), mark.root.begin());
  mark.restored_by = text_of("restored_by");
  return mark;
}

}  // namespace

Result<std::optional<RestoredMark>> read_restored_mark(os::FileSystem& fs,
                                                       const std::string& directory) {
  auto bytes = os::read_file(fs, mark_path(directory), kMarkBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) return std::optional<RestoredMark>();
  if (!bytes) return std::move(bytes).error();
  AIOSS_TRY(RestoredMark mark, parse(as_text(*bytes)));
  return std::optional<RestoredMark>(std::move(mark));
}

Status write_restored_mark(os::FileSystem& fs, const std::string& directory,
                           const RestoredMark& mark) {
  codec::OrderedJson json;
  json["format"] = kRestoredFormat;
  json["size"] = mark.size;
  json["root"] = codec::to_hex(mark.root);
  json["restored_by"] = mark.restored_by;
  return os::replace_file(fs, mark_path(directory), as_bytes(codec::dump_json(json) + "\n"));
}

Status remove_restored_mark(os::FileSystem& fs, const std::string& directory) {
  AIOSS_CHECK(fs.remove(mark_path(directory)));
  return fs.sync_directory(directory);
}

codec::Map restored_body(const RestoredMark& mark) {
  namespace own = key::recovery;
  codec::Map body;
  body.set(own::kCause, codec::Value::text(kRestoredCause))
      .set(own::kBackupSize, codec::Value::uint(mark.size))
      .set(own::kBackupRoot, codec::Value::bytes(mark.root));
  return body;
}

void RestoredWatch::see(const Record& record) {
  namespace own = key::recovery;
  if (!mark_) return;
  if (record.type == RecordType::kKeyRotate && recorded_) rotated_ = true;
  if (record.type != RecordType::kRecovery) return;
  const auto cause = record.body.get_text(own::kCause, "cause");
  const auto size = record.body.get_uint(own::kBackupSize, "size");
  const auto root = record.body.get_digest(own::kBackupRoot, "root");
  if (cause && *cause == kRestoredCause && size && *size == mark_->size && root &&
      *root == mark_->root) {
    recorded_ = true;
  }
}

}  // namespace aioss::ledger
