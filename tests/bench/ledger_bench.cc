// How fast the ledger is, on the disk of the folder it is given: `./dev bench ledger`. Prints
// Markdown. Needs about 3 GB of disk and three minutes, and a machine that does nothing else.
//
//   ledger_bench [--dir FOLDER] [--records N] [append | acks | verify | many | recovery]…
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/strings.h"
#include "crypto/random.h"
#include "crypto/sha3_lanes.h"
#include "ledger/reading/verify.h"
#include "ledger/writing/ledger.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/memory.h"

extern char** environ;

namespace aioss::bench {
namespace {

constexpr std::size_t kBodyBytes = 1'024;
constexpr std::size_t kSmallBodyBytes = 96;
constexpr std::size_t kCommonBytes = 64;  // the keys that the ledger adds, and the map's head
constexpr std::size_t kAppendRecords = 500'000;
constexpr std::size_t kInFlightMax = 8'192;  // of the ledger's queue of 16,384
constexpr unsigned kWriters = 64;
constexpr double kAckSeconds = 10;
constexpr int kRounds = 15;
constexpr std::uint64_t kRecoverBytes = 256ULL << 20;
constexpr std::size_t kTornBytes = 20;  // less than a record

double now() {
  return static_cast<double>(os::SystemClock().monotonic_ns()) / 1e9;
}

double seconds(const std::function<void()>& work) {
  const double start = now();
  work();
  return now() - start;
}

// Of all threads, on the processors: what `openssl speed` counts, too, and what the neighbours'
// work disturbs least.
double processor_seconds(const std::function<void()>& work) {
  const auto used = [] {
    timespec time{};
    ASSERT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  };
  const double start = used();
  work();
  return used() - start;
}

struct Times {
  double passed = 0, used = 0;  // seconds by the clock; of processors
};
Times times(const std::function<void()>& work) {
  Times taken;
  taken.passed = seconds([&] { taken.used = processor_seconds(work); });
  return taken;
}

template <typename T>
T must(Result<T> result, const char* what) {
  if (!result) {
    std::fprintf(stderr, "ledger_bench: %s: %s\n", what, result.error().message.c_str());
    std::exit(1);
  }
  return std::move(*result);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void title(const char* text) {
  std::printf("\n### %s\n\n| figure | measured | goal |\n|---|---|---|\n", text);
}

codec::Map body_of(std::size_t bytes) {
  codec::Map body;
  body.set(16, codec::Value::bytes(Bytes(bytes - kCommonBytes, 'x')));
  return body;
}

// A ledger in a folder of its own, which goes with it.
class Place {
 public:
  Place(const std::string& parent, const std::string& name) : directory_(parent + '/' + name) {
    std::filesystem::remove_all(directory_);
    ledger::InitOptions options;
    options.directory = directory_;
    options.origin = "bench.test/ledger";
    options.trial = true;
    identity_ = must(ledger::init(fs_, clock_, random_, options), "init");
  }
  ~Place() { std::filesystem::remove_all(directory_); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  std::unique_ptr<ledger::Ledger> open(std::uint64_t segment_bytes_max = 256ULL << 20) {
    ledger::OpenOptions options;
    options.directory = directory_;
    options.segment_bytes_max = segment_bytes_max;
    return must(ledger::Ledger::open(fs_, clock_, random_, options), "open");
  }
  const std::string& directory() const { return directory_; }
  const std::string& verifier_key() const { return identity_.verifier_key; }
  ledger::VerifyReport verify() {
    ledger::VerifyOptions options;
    options.directory = directory_;
    options.verifier_key = identity_.verifier_key;
    return ledger::verify(fs_, options);
  }

 private:
  os::RealFileSystem fs_;
  os::SystemClock clock_;
  crypto::SystemRandom random_;
  std::string directory_;
  ledger::Identity identity_;
};

// Appends `records` of one size with thousands of them under way, as a gateway would; returns when
// all are durable.
void append_many(ledger::Ledger& ledger, std::size_t records, std::size_t body_bytes) {
  const codec::Map body = body_of(body_bytes);
  std::mutex mutex;
  std::condition_variable room;
  std::size_t under_way = 0;
  const auto done = [&](const Result<ledger::Committed>& result) {
    ASSERT(result.has_value());
    std::lock_guard lock(mutex);
    if (--under_way == kInFlightMax / 2 || under_way == 0) room.notify_one();
  };
  for (std::size_t i = 0; i < records; ++i) {
    {
      std::unique_lock lock(mutex);
      if (under_way >= kInFlightMax) {
        room.wait(lock, [&] { return under_way <= kInFlightMax / 2; });
      }
      ++under_way;
    }
    ledger.append(ledger::RecordType::kInferPart, body, done);
  }
  std::unique_lock lock(mutex);
  room.wait(lock, [&] { return under_way == 0; });
}

void bench_append(const std::string& folder) {
  title("Append, 1-KiB bodies in batches");
  Place place(folder, "append");
  const auto ledger = place.open();
  const Times taken = times([&] { append_many(*ledger, kAppendRecords, kBodyBytes); });
  std::printf("| durable records a second (%zu) | %.0f | 50,000 |\n", kAppendRecords,
              kAppendRecords / taken.passed);
  std::printf("| processor time a record, both threads | %.1f µs | |\n",
              taken.used / kAppendRecords * 1e6);
}

void bench_acknowledgements(const std::string& folder) {
  title("Durable acknowledgements, 64 writers");
  Place place(folder, "acks");
  const auto ledger = place.open();
  std::mutex mutex;
  std::vector<double> waits;
  const double end = now() + kAckSeconds;
  const auto writer = [&] {
    const codec::Map body = body_of(256);
    std::vector<double> own;
    while (now() < end) {
      own.push_back(seconds([&] {
        ASSERT(ledger->append_and_wait(ledger::RecordType::kInferPart, body).has_value());
      }));
    }
    std::lock_guard lock(mutex);
    waits.insert(waits.end(), own.begin(), own.end());
  };
  std::vector<std::thread> writers;
  for (unsigned i = 0; i < kWriters; ++i) writers.emplace_back(writer);
  for (std::thread& thread : writers) thread.join();
  std::sort(waits.begin(), waits.end());
  std::printf("| acknowledgements a second | %.0f | 5,000 |\n",
              static_cast<double>(waits.size()) / kAckSeconds);
  std::printf("| wait of one, p50 / p99 / longest | %.2f / %.2f / %.1f ms | |\n",
              waits[waits.size() / 2] * 1e3, waits[waits.size() * 99 / 100] * 1e3,
              waits.back() * 1e3);
}

// What `openssl speed -evp sha3-256 -bytes N` does, in this process: MB a second.
double evp_speed(std::size_t block_bytes, std::size_t bytes) {
  const Bytes block(block_bytes, 'x');
  EVP_MD* const sha3 = EVP_MD_fetch(nullptr, "SHA3-256", nullptr);
  unsigned char digest[EVP_MAX_MD_SIZE];
  const double taken = processor_seconds([&] {
    for (std::size_t done = 0; done < bytes; done += block_bytes) {
      ASSERT(EVP_Digest(block.data(), block.size(), digest, nullptr, sha3, nullptr) == 1);
    }
  });
  EVP_MD_free(sha3);
  return static_cast<double>(bytes) / taken / 1e6;
}

// The bare lanes, for what verification adds to hashing.
double lanes_speed(std::size_t records) {
  const Bytes block(kBodyBytes, 'x');
  std::vector<crypto::Message> messages(256);
  for (crypto::Message& message : messages) message.pieces = {block, {}, {}};
  std::vector<Digest> digests(messages.size());
  const double taken = processor_seconds([&] {
    for (std::size_t done = 0; done < records; done += messages.size()) {
      crypto::sha3_256_each(messages, digests);
    }
  });
  return static_cast<double>(records * kBodyBytes) / taken / 1e6;
}

void bench_verify(const std::string& folder) {
  Place place(folder, "verify");
  const std::size_t records = kAppendRecords / 4;
  {
    const auto ledger = place.open();
    append_many(*ledger, records, kBodyBytes);
    ASSERT(ledger->close().has_value());
  }
  const std::size_t bytes = records * kBodyBytes;
  std::vector<double> verify, evp_1k, evp_16k, lanes, ratio_1k, ratio_16k;
  for (int round = 0; round < kRounds; ++round) {  // side by side: the machine's speed changes
    verify.push_back(static_cast<double>(bytes) / 1e6 / processor_seconds([&] {
                       ASSERT(place.verify().verdict == ledger::Verdict::kOk);
                     }));
    evp_1k.push_back(evp_speed(1'024, bytes / 2));
    evp_16k.push_back(evp_speed(16'384, bytes / 2));
    lanes.push_back(lanes_speed(records));
    ratio_1k.push_back(verify.back() / evp_1k.back());
    ratio_16k.push_back(verify.back() / evp_16k.back());
  }
  title("Verification of 1-KiB records on one core, against plain SHA3-256, by processor time");
  std::printf("| verification, medians of %d rounds | %.0f MB/s, %.0f records/s | |\n", kRounds,
              median(verify), median(verify) * 1e6 / kBodyBytes);
  std::printf("| EVP SHA3-256, blocks of 1 KiB / 16 KiB | %.0f / %.0f MB/s | |\n", median(evp_1k),
              median(evp_16k));
  std::printf("| SHA3-256 in %u lanes, 1-KiB messages | %.0f MB/s | |\n",
              static_cast<unsigned>(crypto::widest_lanes()), median(lanes));
  std::printf("| ratio to blocks of 1 KiB | %.2f | 0.7, aim 1.5 |\n", median(ratio_1k));
  std::printf("| ratio to blocks of 16 KiB | %.2f | 0.7, aim 1.5 |\n", median(ratio_16k));
}

// In a process of its own, for the sake of its memory.
void verify_here(const std::string& directory, const std::string& key) {
  os::RealFileSystem fs;
  ledger::VerifyOptions options;
  options.directory = directory;
  options.verifier_key = key;
  ledger::VerifyReport report;
  const Times taken = times([&] { report = ledger::verify(fs, options); });
  const auto memory = must(os::process_memory(), "memory");
  const auto records = static_cast<double>(report.records);
  std::printf("| verification of %" PRIu64 " records, %s, %" PRIu64
              " segments | %s in %.1f s, %.0f records/s | ok |\n",
              report.records, human_bytes(report.bytes).c_str(), report.segments,
              std::string(name(report.verdict)).c_str(), taken.passed, records / taken.passed);
  std::printf("| its processor time a record | %.2f µs | |\n", taken.used / records * 1e6);
  std::printf("| its highest memory | %.1f MiB | the same |\n",
              static_cast<double>(memory.peak) / (1U << 20));
}

void verify_in_child(const Place& place) {
  std::fflush(stdout);
  std::string program = "/proc/self/exe", command = "verify-child";
  std::string directory = place.directory(), key = place.verifier_key();
  char* const arguments[] = {program.data(), command.data(), directory.data(), key.data(), nullptr};
  pid_t child = 0;
  ASSERT(posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ) == 0);
  int status = 0;
  ASSERT(waitpid(child, &status, 0) == child && status == 0);
}

void bench_many(const std::string& folder, std::size_t records) {
  title("A large ledger, small bodies");
  Place place(folder, "many");
  std::size_t done = 0;
  for (const std::size_t until : {records / 10, records}) {
    const auto ledger = place.open();
    const double taken = seconds([&] { append_many(*ledger, until - done, kSmallBodyBytes); });
    std::printf("| append of %zu records | %.0f records/s | |\n", until - done,
                static_cast<double>(until - done) / taken);
    done = until;
    ASSERT(ledger->close().has_value());
    verify_in_child(place);
  }
}

void tear(const std::string& directory) {
  std::string newest;
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/seg")) {
    newest = std::max(newest, entry.path().string());
  }
  std::filesystem::resize_file(newest, std::filesystem::file_size(newest) - kTornBytes);
}

void bench_recovery(const std::string& folder) {
  title("Recovery of a segment of 256 MiB whose last write is torn");
  for (const std::size_t body_bytes : {kBodyBytes, kSmallBodyBytes}) {
    Place place(folder, "recovery");
    const std::size_t records = kRecoverBytes / (body_bytes + 56);
    append_many(*place.open(2 * kRecoverBytes), records, body_bytes);
    tear(place.directory());
    std::unique_ptr<ledger::Ledger> ledger;
    const Times taken = times([&] { ledger = place.open(2 * kRecoverBytes); });
    std::printf(
        "| %zu records with bodies of %zu bytes | %.2f s, on the processor %.2f s | 2 s |\n",
        records, body_bytes, taken.passed, taken.used);
    ASSERT(ledger->health().size == records + 2);  // two at its beginning, one torn, one RECOVERY
    ASSERT(ledger->close().has_value());
    ASSERT(place.verify().verdict == ledger::Verdict::kOk);
  }
}

int run(std::vector<std::string> arguments) {
  if (arguments.size() == 3 && arguments[0] == "verify-child") {
    verify_here(arguments[1], arguments[2]);
    return 0;
  }
  std::string folder = "build/bench-ledger";
  std::size_t records = 10'000'000;
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const bool has_value = i + 1 < arguments.size();
    if (arguments[i] == "--dir" && has_value) {
      folder = arguments[++i];
    } else if (arguments[i] == "--records" && has_value) {
      records = static_cast<std::size_t>(parse_u64(arguments[++i]).value_or(records));
    } else {
      parts.push_back(arguments[i]);
    }
  }
  if (parts.empty()) parts = {"append", "acks", "verify", "many", "recovery"};
  std::filesystem::create_directories(folder);
  for (const std::string& part : parts) {
    if (part == "append") {
      bench_append(folder);
    } else if (part == "acks") {
      bench_acknowledgements(folder);
    } else if (part == "verify") {
      bench_verify(folder);
    } else if (part == "many") {
      bench_many(folder, records);
    } else if (part == "recovery") {
      bench_recovery(folder);
    } else {
      std::fprintf(
          stderr, "ledger_bench: no part '%s'; there are append, acks, verify, many and recovery\n",
          part.c_str());
      return 1;
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace aioss::bench

int main(int argc, char** argv) {
  return aioss::bench::run({argv + 1, argv + argc});
}
