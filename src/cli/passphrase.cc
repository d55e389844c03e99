#include "cli/passphrase.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "os/file.h"

namespace aioss::cli {
namespace {

// Without the line end that an editor adds.
crypto::Secret without_line_end(Bytes bytes) {
  crypto::Secret whole(std::move(bytes));
  ByteView text = whole.view();
  if (!text.empty() && text.back() == '\n') text = text.first(text.size() - 1);
  if (!text.empty() && text.back() == '\r') text = text.first(text.size() - 1);
  return crypto::Secret(Bytes(text.begin(), text.end()));
}

Result<crypto::Secret> read_passphrase(os::FileSystem& files, const std::string& path,
                                       const std::string& what) {
  auto bytes = os::read_file(files, path, crypto::kPassphraseBytesMax + 2);
  if (!bytes) return std::move(bytes).error().with_context(what);
  crypto::Secret passphrase = without_line_end(std::move(*bytes));
  if (passphrase.empty()) return Error(Code::kUsage, what + ": the file is empty");
  return passphrase;
}

// Nothing: neither the variable nor systemd names one.
std::optional<Result<crypto::Secret>> from_file(const Services& services) {
  const std::string named = services.environment(std::string(kPassphraseVariable)).value_or("");
  if (!named.empty()) {
    return read_passphrase(services.files, named, std::string(kPassphraseVariable) + " " + named);
  }
  const std::string folder = services.environment("CREDENTIALS_DIRECTORY").value_or("");
  if (folder.empty()) return std::nullopt;
  const std::string path = folder + '/' + std::string(kCredentialName);
  if (!services.files.info(path)) return std::nullopt;
  return read_passphrase(services.files, path, "credential " + std::string(kCredentialName));
}

Error nowhere() {
  return {Code::kUsage,
          "the ledger's key is protected by a passphrase, and there is no terminal to "
          "ask for it; name a file that holds it in AIOSS_PASSPHRASE_FILE"};
}

Result<crypto::Secret> ask(const Services& services, std::string_view question) {
  if (!services.ask_hidden) return nowhere();
  auto typed = services.ask_hidden(question);
  if (!typed && typed.error().code == Code::kNotFound) return nowhere();
  if (!typed) return std::move(typed).error();
  if (typed->empty()) return Error(Code::kUsage, "no passphrase was entered");
  return crypto::Secret(std::move(*typed));
}

crypto::AskPassphrase source(const Services& services, bool may_ask) {
  auto known = std::make_shared<crypto::Secret>();  // std::function copies what it holds
  return [&services, may_ask, known]() -> Result<crypto::Secret> {
    if (!known->empty()) return known->copy();
    auto found = from_file(services);
    if (!found && !may_ask) return nowhere();
    auto passphrase = found ? std::move(*found) : ask(services, "Passphrase of the ledger's key: ");
    if (passphrase) *known = passphrase->copy();
    return passphrase;
  };
}

}  // namespace

crypto::AskPassphrase passphrase_source(const Services& services) {
  return source(services, true);
}

crypto::AskPassphrase quiet_passphrase_source(const Services& services) {
  return source(services, false);
}

Result<crypto::Secret> new_passphrase(const Services& services, const std::string& file,
                                      bool look_around) {
  if (!file.empty()) return read_passphrase(services.files, file, file);
  if (look_around) {
    if (auto found = from_file(services)) return std::move(*found);
  }
  AIOSS_TRY(crypto::Secret first, ask(services, "New passphrase: "));
  AIOSS_TRY(const crypto::Secret second, ask(services, "The same again: "));
  const bool same = std::equal(first.view().begin(), first.view().end(), second.view().begin(),
                               second.view().end());
  if (!same) return Error(Code::kUsage, "the two passphrases differ; nothing was changed");
  return first;
}

}  // namespace aioss::cli
