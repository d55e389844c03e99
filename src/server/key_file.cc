#include "server/key_file.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "base/strings.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "server/tenant_limits.h"

namespace aioss::server {
namespace {

constexpr std::string_view kKeyPrefix = "aioss_";
constexpr std::size_t kSecretBytes = 24;  // 192 bits: out of reach of any search
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kFields = 6;

struct RoleName {
  runtime::Role role;
  std::string_view name;
};
constexpr std::array kRoles{RoleName{runtime::Role::kUser, "user"},
                            RoleName{runtime::Role::kOperator, "operator"},
                            RoleName{runtime::Role::kAuditor, "auditor"}};

Digest digest_of(ByteView salt, std::string_view key) {
  return crypto::sha3_256({salt, as_bytes(key)});
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kKeyNameBytesMax) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '@' || c == '=';
  });
}

Status check_name(std::string_view what, std::string_view text) {
  if (is_name(text)) return ok();
  return Error{Code::kInvalidArgument,
               "the " + std::string(what) + " must be 1 to " + std::to_string(kKeyNameBytesMax) +
                   " letters, digits or . _ - @ =",
               std::string(what)};
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  std::size_t at = 0;
  while ((at = line.find_first_not_of(" \t\r", at)) != std::string_view::npos) {
    const std::size_t end = std::min(line.find_first_of(" \t\r", at), line.size());
    out.push_back(line.substr(at, end - at));
    at = end;
  }
  return out;
}

// Not that of callers without keys: they would share turns, limits and records.
Status check_tenant(std::string_view text) {
  AIOSS_CHECK(check_name("tenant", text));
  if (text != runtime::Principal().tenant) return ok();
  return Error{
      Code::kInvalidArgument,
      "the tenant must not be '" + std::string(text) + "': that is the one of callers without keys",
      "tenant"};
}

Result<Key> parse_line(std::string_view line) {
  const auto fields = words(line);
  if (fields.size() != kFields)
    return Error{Code::kUsage, "needs 6 words, id tenant user role salt hash, and has " +
                                   std::to_string(fields.size())};
  AIOSS_CHECK(check_name("id", fields[0]));
  AIOSS_CHECK(check_tenant(fields[1]));
  AIOSS_CHECK(check_name("user", fields[2]));
  const auto role = role_from_name(fields[3]);
  if (!role.has_value()) return Error{Code::kUsage, "the role must be user, operator or auditor"};
  auto salt = codec::from_hex(fields[4]);
  auto digest = codec::from_hex(fields[5]);
  if (!salt.has_value() || salt->size() < kSaltBytes || salt->size() > sizeof(Digest))
    return Error{Code::kUsage, "the salt must be 32 to 64 hexadecimal digits"};
  if (!digest.has_value() || digest->size() != sizeof(Digest))
    return Error{Code::kUsage, "the hash must be 64 hexadecimal digits"};
  Key key{std::string(fields[0]), std::string(fields[1]),
          std::string(fields[2]), *role,
          std::move(*salt),       Digest{}};
  std::copy(digest->begin(), digest->end(), key.digest.begin());
  return key;
}

class Parser {
 public:
  ParsedKeys parse(std::string_view text) {
    for (const std::string_view raw : split(text, '\n')) {
      ++line_;
      const std::string_view line = trim(raw);
      if (line.empty() || line.front() == '#') continue;
      const Status read = is_tenant_line(line) ? read_tenant(line) : read_key(line);
      if (!read.has_value()) report(line_, read.error().message);
    }
    for (Key& key : out_.keys) limit(key);
    for (const auto& [name, tenant] : tenants_) {  // a typo, or what was left when a key went
      if (!tenant.has_key) report(tenant.line, "no key is of the tenant '" + name + "'");
    }
    return std::move(out_);
  }

 private:
  struct Tenant {
    runtime::TenantLimits limits;
    std::size_t line = 0;
    bool has_key = false;
  };

  void report(std::size_t line, const std::string& what) {
    out_.problems.push_back("line " + std::to_string(line) + ": " + what);
  }

  Status read_tenant(std::string_view line) {
    AIOSS_TRY(TenantLine tenant, parse_tenant_line(line));
    AIOSS_CHECK(check_tenant(tenant.tenant));
    if (tenants_.size() == kKeysMax) return Error{Code::kUsage, "there are too many tenants"};
    const bool added = tenants_.emplace(tenant.tenant, Tenant{tenant.limits, line_}).second;
    return added ? ok() : Error{Code::kUsage, "the tenant is there twice"};
  }

  Status read_key(std::string_view line) {
    AIOSS_TRY(Key key, parse_line(line));
    if (out_.keys.size() == kKeysMax) {
      if (std::exchange(too_many_, true)) return ok();  // said once
      return Error{Code::kUsage, "there may be at most " + std::to_string(kKeysMax) + " keys"};
    }
    if (std::any_of(out_.keys.begin(), out_.keys.end(),
                    [&](const Key& other) { return other.id == key.id; })) {
      return Error{Code::kUsage, "the id is used twice"};
    }
    out_.keys.push_back(std::move(key));
    return ok();
  }

  void limit(Key& key) {
    const auto found = tenants_.find(key.tenant);
    if (found == tenants_.end()) return;
    found->second.has_key = true;
    key.limits = found->second.limits;
  }

  ParsedKeys out_;
  std::map<std::string, Tenant> tenants_;
  std::size_t line_ = 0;
  bool too_many_ = false;
};

}  // namespace

std::string_view name(runtime::Role role) {
  for (const RoleName& entry : kRoles) {
    if (entry.role == role) return entry.name;
  }
  return "user";
}

std::optional<runtime::Role> role_from_name(std::string_view name) {
  for (const RoleName& entry : kRoles) {
    if (entry.name == name) return entry.role;
  }
  return std::nullopt;
}

ParsedKeys parse_keys(std::string_view text) {
  return Parser().parse(text);
}

Result<NewKey> make_key(crypto::Random& random, std::string_view id, std::string_view tenant,
                        std::string_view user, runtime::Role role) {
  AIOSS_CHECK(check_name("id", id));
  AIOSS_CHECK(check_tenant(tenant));
  AIOSS_CHECK(check_name("user", user));
  std::array<std::uint8_t, kSecretBytes> secret{};
  std::array<std::uint8_t, kSaltBytes> salt{};
  random.fill(secret);
  random.fill(salt);
  NewKey made;
  made.key = std::string(kKeyPrefix) + codec::to_hex(secret);
  for (const std::string_view word : {id, tenant, user, name(role)}) {
    made.line += word;
    made.line += ' ';
  }
  made.line += codec::to_hex(salt) + ' ' + codec::to_hex(digest_of(salt, made.key));
  return made;
}

std::vector<std::string> differences(const std::vector<Key>& before,
                                     const std::vector<Key>& after) {
  std::map<std::string_view, const Key*> old;
  for (const Key& key : before) old.emplace(key.id, &key);
  std::vector<std::string> details;
  for (const Key& key : after) {
    const auto found = old.find(key.id);
    if (found == old.end()) {
      details.push_back("added " + key.id);
      continue;
    }
    if (!(*found->second == key)) details.push_back("changed " + key.id);
    old.erase(found);
  }
  for (const auto& [id, key] : old) details.push_back("removed " + std::string(id));
  return details;
}

Result<std::unique_ptr<KeyRing>> KeyRing::create(os::FileSystem& fs, std::string path,
                                                 Record record) {
  std::unique_ptr<KeyRing> ring(new KeyRing(fs, std::move(path), std::move(record)));
  AIOSS_TRY(Content content, ring->read());
  if (!content.parsed.problems.empty())
    return Error{Code::kUsage, "key file " + ring->path_ + ", " + content.parsed.problems.front()};
  AIOSS_CHECK(ring->adopt(std::move(content), "key file read"));
  return ring;
}

Result<KeyRing::Content> KeyRing::read() {
  seen_.reset();
  AIOSS_TRY(const os::FileInfo info, fs_.info(path_));
  AIOSS_TRY(const Bytes bytes, os::read_file(fs_, path_, kKeyFileBytesMax));
  seen_ = info;  // of before the read: a change during it is seen next time
  return Content{parse_keys(as_text(bytes)), crypto::sha3_256(bytes)};
}

// The SHA3-256 of no bytes: what a ledger says of a file that is not there.
KeyRing::Content KeyRing::nobody(std::string why) {
  return {{{}, {std::move(why) + ": nobody is admitted"}}, crypto::sha3_256({})};
}

// The same bytes again (the file was touched, or is back) are no change.
Status KeyRing::record(const Content& content, const std::string& reason) {
  if (recorded_ == content.sha3) return ok();
  const std::vector<Key>& keys = content.parsed.keys;
  if (record_) {
    AIOSS_CHECK(record_({content.sha3, reason, differences(recorded_keys_, keys)}));
  }
  recorded_ = content.sha3;
  recorded_keys_ = keys;
  return ok();
}

Status KeyRing::adopt(Content content, const std::string& reason) {
  const Status recorded = record(content, reason);
  const bool may_go_unrecorded = content.parsed.keys.empty() && keys_ != nullptr;
  if (!recorded.has_value() && !may_go_unrecorded) return recorded;
  const auto& problems = content.parsed.problems;
  std::string problem = problems.empty() ? "" : "key file, " + problems.front();
  if (!recorded.has_value()) {
    seen_.reset();  // so that it is tried again
    problem += (problem.empty() ? "key file, nobody is admitted" : "") +
               std::string("; this is not recorded: ") + recorded.error().message;
  }
  hold(std::move(content.parsed.keys), std::move(problem));
  return ok();
}

void KeyRing::admit_nobody(std::string why, const std::string& reason) {
  seen_.reset();  // the very same file may come back
  const Status adopted = adopt(nobody(std::move(why)), reason);
  ASSERT(adopted.has_value());
}

// Tried again every time; said once.
void KeyRing::keep_old_keys(const Error& why) {
  seen_.reset();
  const std::string problem =
      "a change of the key file is not in force, the keys of before are: " + why.message;
  std::lock_guard lock(mutex_);
  if (problem_ == problem) return;
  log::error("the key file is not reloaded; the keys of before hold", {{"reason", why.message}});
  problem_ = problem;
}

void KeyRing::hold(std::vector<Key> keys, std::string problem) {
  auto shared = std::make_shared<const std::vector<Key>>(std::move(keys));
  std::lock_guard lock(mutex_);
  if (!problem.empty() && problem != problem_) log::warn("the key file", {{"problem", problem}});
  keys_ = std::move(shared);
  problem_ = std::move(problem);
}

// Opened too: permission to read it can be taken away without a trace in its size or time.
bool KeyRing::is_unchanged() {
  const auto info = fs_.info(path_);
  return info.has_value() && seen_.has_value() && info->modified_ns == seen_->modified_ns &&
         info->size == seen_->size && info->inode == seen_->inode &&
         fs_.open(path_, os::OpenMode::kRead).has_value();
}

// Whoever takes the file away, or the right to read it, means to let nobody in.
void KeyRing::refresh() {
  if (is_unchanged()) return;
  auto content = read();
  if (content.has_value()) {
    unreadable_ = 0;
    const Status adopted = adopt(std::move(*content), "key file reloaded");
    if (!adopted.has_value()) keep_old_keys(adopted.error());
  } else if (content.error().code == Code::kNotFound) {
    unreadable_ = 0;
    admit_nobody("the file is gone", "key file removed");
  } else if (++unreadable_ < kUnreadableMax) {
    keep_old_keys(Error{Code::kIo, "it cannot be read"});
  } else {
    unreadable_ = kUnreadableMax;
    admit_nobody("the file cannot be read", "key file unreadable");
  }
}

std::optional<runtime::Principal> KeyRing::find(std::string_view key) const {
  std::shared_ptr<const std::vector<Key>> keys;
  {
    std::lock_guard lock(mutex_);
    keys = keys_;
  }
  if (key.size() > kKeyBytesMax) return std::nullopt;
  const Key* found = nullptr;
  for (const Key& candidate : *keys) {  // all of them, always
    const Digest digest = digest_of(candidate.salt, key);
    if (crypto::equal_constant_time(digest, candidate.digest)) found = &candidate;
  }
  if (found == nullptr) return std::nullopt;
  runtime::Principal principal;
  principal.tenant = found->tenant;
  principal.user = found->user;
  principal.role = found->role;
  principal.source = "key:" + found->id;
  principal.limits = found->limits;
  return principal;
}

std::string KeyRing::problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

std::size_t KeyRing::size() const {
  std::lock_guard lock(mutex_);
  return keys_->size();
}

}  // namespace aioss::server
