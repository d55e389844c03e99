#include "cli/bundle.h"

#include <utility>

#include "cli/bundle_note.h"
#include "cli/key_argument.h"
#include "ledger/format/checkpoint.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kUnsigned = "--unsigned";

Result<Bytes> read_note(const Services& services, const std::string& path) {
  auto note = os::read_file(services.files, path, kBundleNoteBytesMax);
  if (note) return note;
  if (note.error().code != Code::kNotFound) return std::move(note).error().with_context(path);
  return Error{Code::kForbidden,
               "the bundle is not signed: there is no " + path + "; --unsigned takes it as it is"};
}

Status check_signed(const Services& services, const std::string& given, const std::string& path,
                    ByteView list) {
  if (given.empty()) {
    return Error{Code::kUsage,
                 "by whom must the bundle be signed? Give the key with --models-key, or take the "
                 "bundle as it is with --unsigned"};
  }
  AIOSS_TRY(const std::string text, key_argument(services.files, "--models-key", given));
  auto key = ledger::parse_note_key(text, ledger::KeyType::kLedger);
  if (!key) {
    return Error{Code::kUsage,
                 "--models-key: that is no key; give the whole line that 'aioss models bundle "
                 "--new-key' printed"};
  }
  const std::string beside = path + std::string(kBundleNoteSuffix);
  AIOSS_TRY(const Bytes note, read_note(services, beside));
  Status checked = check_bundle(list, as_text(note), {key->name, key->public_key});
  if (!checked) return std::move(checked).error().with_context(beside);
  return ok();
}

}  // namespace

Result<runtime::AllowList> open_bundle(const Services& services, const Config& config,
                                       const Invocation& invocation, const std::string& path) {
  auto list = os::read_file(services.files, path, runtime::kAllowListBytesMax);
  if (!list) return std::move(list).error().with_context("the bundle's list " + path);
  if (!invocation.has(kUnsigned)) {
    AIOSS_CHECK(check_signed(services, config.text(Key::kModelsKey), path, *list));
  }
  return runtime::AllowList::parse(as_text(*list), path);
}

}  // namespace aioss::cli
