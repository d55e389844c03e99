// SHA3-256 and SHA-256, from the static libcrypto. The algorithms are fetched once for the process.
// A hasher belongs to one thread at a time; the free functions are thread-safe.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::crypto {

enum class HashAlgorithm { kSha3_256, kSha256 };

class Hasher final {
 public:
  explicit Hasher(HashAlgorithm algorithm);  // aborts if libcrypto cannot supply it
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  Hasher& update(ByteView bytes);
  Digest finish();  // and starts over, empty

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest sha3_256(ByteView bytes);
Digest sha3_256(std::initializer_list<ByteView> parts);  // of their concatenation
Digest sha256(ByteView bytes);

// Of everything from the start of the file to its end, read 1 MiB at a time.
Result<Digest> hash_file(HashAlgorithm algorithm, os::File& file);

// The same time for any two inputs of one length; false at once if the lengths differ.
bool equal_constant_time(ByteView a, ByteView b);

// "OpenSSL 3.0.19 27 Jan 2026", for `aioss version` and records.
std::string library_version();

}  // namespace aioss::crypto
