#include "ledger/custody/prefix_files.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "codec/hex.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "ledger/custody/places.h"
#include "ledger/reading/blob.h"
#include "os/destroy.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kMagic = "aspfx001";
constexpr std::string_view kLabel = "aioss/prefix/v1\n";
constexpr std::string_view kKeyScope = "prefix";  // in the place of a request's id, "req_…"
constexpr std::size_t kHeadBytes = kMagic.size() + 32 + 8;
constexpr std::size_t kTextHeadBytes = 16;
constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
constexpr std::size_t kSealBytes = crypto::kGcmNonceBytes + crypto::kGcmTagBytes;
constexpr std::size_t kNameBytes = 64;
// Of one file: far more than a model's state of a prompt has.
constexpr std::uint64_t kTextBytesMax = std::uint64_t{1} << 40;
// Of the disk, that a cache leaves to others: four times the ledger's reserve.
constexpr std::uint64_t kLeftBytesMin = std::uint64_t{1} << 30;

void put(Bytes& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}
std::uint64_t get(ByteView from, std::size_t offset, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= std::uint64_t{from[offset + i]} << 8 * i;
  }
  return value;
}
void append(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
ByteView bytes_of_tokens(std::span<const PrefixFiles::Token> tokens) {
  return {reinterpret_cast<const std::uint8_t*>(tokens.data()), tokens.size_bytes()};
}

std::uint64_t text_bytes_of(const PrefixFiles::Prefix& prefix) {
  return kTextHeadBytes + prefix.tenant.size() + prefix.tokens.size_bytes() + prefix.state.size();
}
std::uint64_t file_bytes_of(std::uint64_t text_bytes) {
  const std::uint64_t chunks = (text_bytes + kChunkBytes - 1) / kChunkBytes;
  return kHeadBytes + text_bytes + chunks * kSealBytes;
}

bool is_name(std::string_view name) {
  return name.size() == kNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Error not_what_it_was() {
  return {Code::kCorrupt, "a prompt's state on the disk is not what was written"};
}

// What every chunk of a file is sealed with.
struct Seal {
  crypto::SecretKey key;
  Bytes bound;  // associated data, but for the chunk's number

  Seal(const Subject& subject, const LedgerId& ledger_id, ByteView head, std::string_view name)
      : key(subject.seal_key(kKeyScope, name)) {
    for (const ByteView part : {as_bytes(kLabel), ByteView(ledger_id), head, as_bytes(name)}) {
      append(bound, part);
    }
  }
  Bytes bound_to(std::uint64_t chunk) const {
    Bytes out = bound;
    put(out, chunk, 8);
    return out;
  }
};

class Writer {
 public:
  Writer(os::File& file, crypto::Random& random, const Seal& seal)
      : file_(file), random_(random), seal_(seal) {
    text_.reserve(kChunkBytes);
  }
  ~Writer() { crypto::wipe(text_); }
  Status head(ByteView bytes) { return write(bytes); }
  Status text(ByteView bytes) {
    while (!bytes.empty()) {
      const std::size_t part = std::min(bytes.size(), kChunkBytes - text_.size());
      append(text_, bytes.first(part));
      bytes = bytes.subspan(part);
      if (text_.size() == kChunkBytes) AIOSS_CHECK(end_chunk());
    }
    return ok();
  }
  Status finish() { return text_.empty() ? ok() : end_chunk(); }

 private:
  Status end_chunk() {
    const crypto::GcmNonce nonce = crypto::gcm_nonce(random_);
    const Bytes sealed = crypto::gcm_seal(seal_.key, nonce, text_, seal_.bound_to(chunk_++));
    text_.clear();
    AIOSS_CHECK(write(nonce));
    return write(sealed);
  }
  Status write(ByteView bytes) {
    while (!bytes.empty()) {
      AIOSS_TRY(const std::size_t put, file_.write_at(offset_, bytes));
      if (put == 0) return Error{Code::kIo, "cannot write a prompt's state: the disk is full"};
      bytes = bytes.subspan(put);
      offset_ += put;
    }
    return ok();
  }

  os::File& file_;
  crypto::Random& random_;
  const Seal& seal_;
  Bytes text_;  // of the chunk
  std::uint64_t offset_ = 0, chunk_ = 0;
};

class Reader {
 public:
  // Of `text_bytes` that the file says it has, which its size agrees with.
  Reader(os::File& file, const Seal& seal, std::uint64_t text_bytes)
      : file_(file), seal_(seal), left_(text_bytes) {}
  ~Reader() { crypto::wipe(text_); }
  Status read(std::span<std::uint8_t> into) {
    while (!into.empty()) {
      if (at_ == text_.size()) AIOSS_CHECK(next_chunk());
      const std::size_t part = std::min(into.size(), text_.size() - at_);
      std::memcpy(into.data(), text_.data() + at_, part);
      at_ += part;
      into = into.subspan(part);
    }
    return ok();
  }

 private:
  Status next_chunk() {
    if (left_ == 0) return not_what_it_was();
    const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(left_, kChunkBytes));
    Bytes sealed(bytes + kSealBytes);
    AIOSS_TRY(const std::size_t got, file_.read_at(offset_, sealed));
    if (got != sealed.size()) return not_what_it_was();
    crypto::GcmNonce nonce{};
    std::copy_n(sealed.begin(), nonce.size(), nonce.begin());
    crypto::wipe(text_);
    AIOSS_TRY(text_, crypto::gcm_open(seal_.key, nonce, ByteView(sealed).subspan(nonce.size()),
                                      seal_.bound_to(chunk_++)));
    at_ = 0;
    left_ -= bytes;
    offset_ += sealed.size();
    return ok();
  }

  os::File& file_;
  const Seal& seal_;
  Bytes text_;  // of the chunk
  std::size_t at_ = 0;
  std::uint64_t left_, offset_ = kHeadBytes, chunk_ = 0;
};

Bytes head_of(const Digest& identity, std::uint64_t text_bytes) {
  Bytes head;
  append(head, as_bytes(kMagic));
  append(head, identity);
  put(head, text_bytes, 8);
  return head;
}

}  // namespace

PrefixFiles::PrefixFiles(os::FileSystem& fs, crypto::Random& random, std::string directory,
                         const LedgerId& ledger_id)
    : fs_(fs), random_(random), directory_(std::move(directory)), ledger_id_(ledger_id) {
  static_assert(std::endian::native == std::endian::little, "tokens are copied as they are");
}

std::string PrefixFiles::folder_of(std::string_view subject_id) const {
  ASSERT(is_subject_id(subject_id));  // it becomes part of a path
  return directory_ + '/' + std::string(kPrefixFolder) + '/' + std::string(subject_id);
}

std::string PrefixFiles::path_of(const File& file) const {
  ASSERT(is_name(file.name));
  return folder_of(file.subject) + '/' + file.name;
}

std::uint64_t PrefixFiles::bytes_of(const Prefix& prefix) {
  return file_bytes_of(text_bytes_of(prefix));
}

std::string PrefixFiles::name_of(const Subject& subject, const Digest& identity,
                                 const Prefix& prefix) const {
  const std::array<std::uint8_t, 1> separator{0};
  const Digest what = crypto::sha3_256(
      {identity, as_bytes(prefix.tenant), ByteView(separator), bytes_of_tokens(prefix.tokens)});
  return codec::to_hex(subject.salt(kKeyScope, as_text(what)));
}

// ---- saving -------------------------------------------------------------------------------------

Status PrefixFiles::write(const Subject& subject, const std::string& path, const std::string& name,
                          const Digest& identity, const Prefix& prefix) {
  const Bytes head = head_of(identity, text_bytes_of(prefix));
  const Seal seal(subject, ledger_id_, head, name);
  (void)fs_.remove(path);  // of a save that did not end
  AIOSS_TRY(const auto file, fs_.open(path, os::OpenMode::kCreateNew, kFilePermissions));
  Writer writer(*file, random_, seal);
  AIOSS_CHECK(writer.head(head));
  Bytes beginning;
  put(beginning, prefix.tokens.size(), 4);
  put(beginning, prefix.tenant.size(), 4);
  put(beginning, prefix.state.size(), 8);
  append(beginning, as_bytes(prefix.tenant));
  AIOSS_CHECK(writer.text(beginning));
  AIOSS_CHECK(writer.text(bytes_of_tokens(prefix.tokens)));
  AIOSS_CHECK(writer.text(prefix.state));
  return writer.finish();
}

Result<bool> PrefixFiles::save(const Subject& subject, const Digest& identity, const Prefix& prefix,
                               const Stands& stands) {
  if (prefix.tenant.size() > kTenantBytesMax || prefix.tokens.size() > kTokensMax ||
      prefix.tokens.empty() || prefix.state.size() > kTextBytesMax / 2) {
    return Error{Code::kTooLarge, "a prompt's state is too large to be kept on the disk"};
  }
  const std::string name = name_of(subject, identity, prefix);
  const std::string path = path_of({subject.id(), name});
  const std::string beside = path + std::string(kTemporarySuffix);
  if (subject.erased()) return false;
  AIOSS_TRY(const std::uint64_t available, fs_.bytes_available(directory_));
  if (available < kLeftBytesMin + bytes_of(prefix)) {
    return Error{Code::kIo, "the disk is nearly full, and the ledger needs the rest"};
  }
  AIOSS_CHECK(fs_.make_directories(folder_of(subject.id()), kFolderPermissions));
  const Status written = write(subject, beside, name, identity, prefix);
  // An erasure marks the subject first and then waits for this lock before it looks for files.
  std::lock_guard lock(mutex_);
  const bool stays = written.has_value() && !subject.erased() && stands();
  if (stays) {
    AIOSS_CHECK(fs_.rename(beside, path));
    return true;
  }
  (void)os::destroy_file(fs_, beside);
  if (!written) return written.error();
  return false;
}

// ---- loading ------------------------------------------------------------------------------------

Status PrefixFiles::load(const Subject& subject, const File& file, const Digest& identity,
                         const MakeRoom& make_room) const {
  ASSERT(subject.id() == file.subject);
  AIOSS_TRY(const auto opened, fs_.open(path_of(file), os::OpenMode::kRead));
  AIOSS_TRY(const os::FileInfo about, opened->info());
  Bytes head(kHeadBytes);
  AIOSS_TRY(const std::size_t got, opened->read_at(0, head));
  if (got != head.size() || as_text(ByteView(head).first(kMagic.size())) != kMagic) {
    return not_what_it_was();
  }
  const std::uint64_t text_bytes = get(head, kMagic.size() + identity.size(), 8);
  if (text_bytes < kTextHeadBytes || text_bytes > kTextBytesMax ||
      about.size != file_bytes_of(text_bytes)) {
    return not_what_it_was();
  }
  if (!std::equal(identity.begin(), identity.end(), head.begin() + kMagic.size())) {
    return Error{Code::kNotFound, "the state is of another model or program"};
  }
  const Seal seal(subject, ledger_id_, head, file.name);
  Reader reader(*opened, seal, text_bytes);
  Bytes beginning(kTextHeadBytes);
  AIOSS_CHECK(reader.read(beginning));
  const std::uint64_t tokens = get(beginning, 0, 4), tenant_bytes = get(beginning, 4, 4);
  const std::uint64_t state_bytes = get(beginning, 8, 8);
  const bool sane =
      tokens > 0 && tokens <= kTokensMax && tenant_bytes <= kTenantBytesMax &&
      state_bytes <= kTextBytesMax &&
      kTextHeadBytes + tenant_bytes + tokens * sizeof(Token) + state_bytes == text_bytes;
  if (!sane) return not_what_it_was();
  std::string tenant(static_cast<std::size_t>(tenant_bytes), '\0');
  AIOSS_CHECK(reader.read({reinterpret_cast<std::uint8_t*>(tenant.data()), tenant.size()}));
  const auto room = make_room(tenant, static_cast<std::size_t>(tokens), state_bytes);
  if (!room) return Error{Code::kNotFound, "there is no room for the state"};
  ASSERT(room->tokens.size() == tokens && room->state.size() == state_bytes);
  AIOSS_CHECK(reader.read(
      {reinterpret_cast<std::uint8_t*>(room->tokens.data()), room->tokens.size_bytes()}));
  AIOSS_CHECK(reader.read(room->state));
  const Prefix found{tenant, room->tokens, room->state};
  return name_of(subject, identity, found) == file.name ? ok() : Status(not_what_it_was());
}

// ---- the folder ---------------------------------------------------------------------------------

Result<std::vector<PrefixFiles::File>> PrefixFiles::list(std::size_t files_max) const {
  std::vector<File> files;
  const auto subjects = fs_.list(directory_ + '/' + std::string(kPrefixFolder));
  if (!subjects && subjects.error().code == Code::kNotFound) return files;
  if (!subjects) return subjects.error();
  for (const std::string& subject : *subjects) {
    if (!is_subject_id(subject)) continue;
    const auto names = fs_.list(folder_of(subject));
    if (!names) continue;  // it went meanwhile
    for (const std::string& name : *names) {
      if (!is_name(name) || files.size() >= files_max) continue;
      const auto about = fs_.info(folder_of(subject) + '/' + name);
      if (about) files.push_back({subject, name, about->size, about->modified_ns});
    }
  }
  return files;
}

Status PrefixFiles::destroy(const File& file) {
  std::lock_guard lock(mutex_);
  const auto destroyed = os::destroy_file(fs_, path_of(file));
  return destroyed ? ok() : Status(destroyed.error());
}

Result<std::uint64_t> PrefixFiles::destroy_all(std::string_view subject_id) {
  const std::string folder = folder_of(subject_id);
  std::lock_guard lock(mutex_);
  auto names = fs_.list(folder);
  if (!names && names.error().code == Code::kNotFound) return std::uint64_t{0};
  if (!names) return std::move(names).error();
  std::uint64_t destroyed = 0;
  for (const std::string& name : *names) {
    AIOSS_TRY(const bool was_there, os::destroy_file(fs_, folder + '/' + name));
    if (was_there && is_name(name)) ++destroyed;
  }
  AIOSS_CHECK(fs_.sync_directory(folder));
  return destroyed;
}

Status PrefixFiles::destroy_strays(
    const std::function<bool(std::string_view subject_id)>& is_known) {
  const auto subjects = fs_.list(directory_ + '/' + std::string(kPrefixFolder));
  if (!subjects && subjects.error().code == Code::kNotFound) return ok();
  if (!subjects) return subjects.error();
  for (const std::string& subject : *subjects) {
    if (!is_subject_id(subject)) continue;
    if (!is_known(subject)) {
      AIOSS_CHECK(destroy_all(subject));
      continue;
    }
    const auto names = fs_.list(folder_of(subject));
    for (const std::string& name : names ? *names : std::vector<std::string>()) {
      if (is_name(name)) continue;
      AIOSS_CHECK(os::destroy_file(fs_, folder_of(subject) + '/' + name));
    }
  }
  return ok();
}

}  // namespace aioss::ledger
