// For the tests of vault, blobs, erasure and retention: a ledger with a custody over any file
// system, requests as the gateway records them, and a search for bytes that must not be anywhere.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "codec/base64.h"
#include "ledger/custody/custody.h"
#include "ledger/format/commitment.h"
#include "ledger/testing/test_support.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger::test {

// The same bytes for the same seed, and no two draws alike.
class SeededRandom final : public crypto::Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(std::span<std::uint8_t> out) override {
    std::lock_guard lock(mutex_);
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(engine_());
  }

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_;  // guarded by mutex_
};

// The disk as it would be found after a power cut: what was synced, and nothing else.
inline std::unique_ptr<os::PowerCutFileSystem> synced_copy(const os::PowerCutFileSystem& disk) {
  return disk.after_power_cut({os::PowerCut::Keep::kNothing, 0});
}

inline const SubjectName kAlice{"ward-3", "alice-mueller"};
inline const SubjectName kBob{"ward-3", "bob-oconnor"};

inline codec::Map actor_of(std::string_view subject_id) {
  codec::Map actor;
  actor.set(key::actor::kKind, codec::Value::uint(1))
      .set(key::actor::kName, codec::Value::text(subject_id))
      .set(key::actor::kTenant, codec::Value::text("ward-3"));
  return actor;
}
inline codec::Map operator_actor() {
  return actor_of("s_00000000000000000000000000000000");
}

// A ledger, open, with its custody. The file system outlives it.
struct Office {
  FixedClock clock;
  SeededRandom random;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<Custody> custody;
  std::optional<Error> problem;  // why it could not be opened

  explicit Office(os::FileSystem& fs, std::uint64_t seed = 1,
                  std::uint64_t segment_bytes_max = 256ULL << 20, std::int64_t wall_ns = 0)
      : random(seed) {
    if (wall_ns != 0) clock.wall = wall_ns;
    auto opened = Ledger::open(fs, clock, random, open_options(segment_bytes_max));
    if (!opened) {
      problem = opened.error();
      return;
    }
    ledger = std::move(*opened);
    CustodyOptions options;
    options.directory = kDirectory;
    auto taken = Custody::open(fs, clock, random, *ledger, options);
    if (taken) {
      custody = std::move(*taken);
    } else {
      problem = taken.error();
    }
  }
  bool good() const { return custody != nullptr; }

  // A request and its result, as a gateway in mode `sealed` records them; index of the request.
  Result<std::uint64_t> ask(const SubjectName& who, const std::string& id,
                            const std::string& prompt, const std::string& answer) {
    AIOSS_TRY(const SubjectPtr subject, custody->obtain(who));
    const BlobStore::Text question{"prompt", prompt};
    AIOSS_TRY(const auto sealed, custody->seal(*subject, id, {&question, 1}));
    codec::Map request;
    request.set(key::kActor, codec::Value::map(actor_of(subject->id())))
        .set(key::kRequestId, codec::Value::text(id))
        .set(key::infer_request::kPromptCommitment,
             codec::Value::bytes(commitment_of(subject->salt(id, "prompt"), prompt)))
        .set(key::infer_request::kPromptBlob, codec::Value::bytes(sealed.front().hash))
        .set(key::infer_request::kPromptBlobBytes, codec::Value::uint(sealed.front().bytes));
    AIOSS_TRY(const Committed asked,
              ledger->append_and_wait(RecordType::kInferRequest, std::move(request)));
    const BlobStore::Text output{"output/0", answer};
    AIOSS_TRY(const auto result, custody->seal(*subject, id, {&output, 1}));
    codec::Map choice;
    choice
        .set(key::choice::kOutputCommitment,
             codec::Value::bytes(commitment_of(subject->salt(id, "output/0"), answer)))
        .set(key::choice::kOutputBlob, codec::Value::bytes(result.front().hash))
        .set(key::choice::kOutputBlobBytes, codec::Value::uint(result.front().bytes));
    codec::Map body;
    body.set(key::kActor, codec::Value::map(actor_of(subject->id())))
        .set(key::kRequestId, codec::Value::text(id))
        .set(key::kRefIndex, codec::Value::uint(asked.index))
        .set(key::infer_result::kChoices,
             codec::Value::array({codec::Value::map(std::move(choice))}));
    AIOSS_CHECK(ledger->append_and_wait(RecordType::kInferResult, std::move(body)));
    return asked.index;
  }
};

// Makes a ledger; its public key.
inline std::string make_ledger(os::FileSystem& fs) {
  FixedClock clock;
  SeededRandom random(99);
  InitOptions options;
  options.directory = kDirectory;
  options.origin = kOrigin;
  options.boot_id.emplace();
  const auto identity = init(fs, clock, random, options);
  EXPECT_TRUE(identity.has_value());
  return identity ? identity->verifier_key : "";
}

inline VerifyReport verify_payloads(os::FileSystem& fs, const std::string& verifier_key) {
  VerifyOptions options;
  options.directory = kDirectory;
  options.verifier_key = verifier_key;
  options.payloads = true;
  return verify(fs, options);
}

// Every file below `folder`, by path.
inline std::vector<std::string> files_below(os::FileSystem& fs, const std::string& folder) {
  std::vector<std::string> all;
  const auto names = fs.list(folder);
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    const std::string path = folder + '/' + name;
    const auto about = fs.info(path);
    if (about && about->is_directory) {
      for (std::string& below : files_below(fs, path)) all.push_back(std::move(below));
    } else {
      all.push_back(path);
    }
  }
  return all;
}

// Where `needle` stands, as it is, in UTF-16 of either order, in hexadecimal, or in base64 at any
// of its three alignments; also in the names of files.
inline std::vector<std::string> places_of(os::FileSystem& fs, std::string_view needle) {
  std::vector<std::string> forms{std::string(needle)};
  std::string little, big, hex;
  for (const char c : needle) {
    little += c;
    little += '\0';
    big += '\0';
    big += c;
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex += kDigits[static_cast<std::uint8_t>(c) >> 4];
    hex += kDigits[static_cast<std::uint8_t>(c) & 15];
  }
  forms.insert(forms.end(), {little, big, hex});
  for (std::size_t shift = 0; shift < 3; ++shift) {
    const std::string text =
        codec::to_base64(as_bytes(std::string(shift, 'x') + std::string(needle)));
    // What its neighbours have a part in is left out.
    forms.push_back(text.substr(shift == 0 ? 0 : 4, text.size() - (shift == 0 ? 4 : 8)));
  }
  std::vector<std::string> places;
  for (const std::string& path : files_below(fs, kDirectory)) {
    const auto bytes = os::read_file(fs, path, 64 << 20);
    EXPECT_TRUE(bytes.has_value()) << path;
    const std::string text = path + '\n' + (bytes ? std::string(as_text(*bytes)) : "");
    for (const std::string& form : forms) {
      if (text.find(form) != std::string::npos) places.push_back(path);
    }
  }
  return places;
}

}  // namespace aioss::ledger::test
