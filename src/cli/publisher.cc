#include "cli/publisher.h"

#include <string>
#include <utility>

#include "cli/text_file.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kKeySuffix = ".vkey";
constexpr std::uint64_t kVkeyBytesMax = 4096;

// KEYFILE, and KEYFILE.vkey, which says under which name it signs.
Result<Publisher> make_key(const Services& services, const std::string& path,
                           const std::string& name) {
  AIOSS_CHECK(ledger::check_origin(name));
  if (services.files.info(path)) {
    return Error{Code::kConflict, path + " is there already; leave --new-key out to sign with it"};
  }
  Publisher publisher;
  AIOSS_TRY(publisher.key, crypto::SigningKey::generate(services.random));
  publisher.vkey = {name, publisher.key->public_key()};
  AIOSS_CHECK(write_text(services, path + std::string(kKeySuffix),
                         ledger::format_verifier_key(publisher.vkey) + "\n"));
  AIOSS_CHECK(publisher.key->save(services.files, path));
  return publisher;
}

Result<Publisher> read_key(const Services& services, const std::string& path) {
  Publisher publisher;
  if (!services.files.info(path)) {
    return Error{Code::kNotFound, "there is no key " + path + "; make it with --new-key NAME"};
  }
  AIOSS_TRY(publisher.key, crypto::SigningKey::load(services.files, path));
  const std::string beside = path + std::string(kKeySuffix);
  AIOSS_TRY(const std::string text, read_text(services, beside, kVkeyBytesMax));
  auto vkey = ledger::parse_verifier_key(text);
  if (!vkey) return Error{Code::kCorrupt, beside + " holds no public key"};
  if (vkey->public_key != publisher.key->public_key()) {
    return Error{Code::kCorrupt, path + " and " + beside + " do not belong together"};
  }
  publisher.vkey = std::move(*vkey);
  return publisher;
}

}  // namespace

Result<std::optional<Publisher>> publisher_of(const Services& services,
                                              const Invocation& invocation) {
  const auto path = invocation.text("--sign");
  const auto name = invocation.text("--new-key");
  if (!path && name) return Error{Code::kUsage, "--new-key needs --sign: where does the key go?"};
  if (!path) return std::optional<Publisher>();
  auto publisher = name ? make_key(services, *path, *name) : read_key(services, *path);
  if (!publisher) return std::move(publisher).error();
  return std::optional<Publisher>(std::move(*publisher));
}

}  // namespace aioss::cli
