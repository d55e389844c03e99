// Requests that were proven to end a worker alone, remembered so that one that is sent again costs
// no worker. By content, not by caller: what kills a worker does so for everybody. Of one model
// file under one engine: another file, another engine, or one that was mended, is another chance.
// Lives as long as the gateway; nothing is written to a disk. Runtime thread only.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "ipc/messages.h"
#include "os/file.h"
#include "runtime/calls/adapter_wish.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

// The least recently seen one goes. A lookup compares as many digests, and only where a request's
// text has been hashed for it anyway.
inline constexpr std::size_t kQuarantinedMax = 1024;
// In DECISION records.
inline constexpr std::string_view kQuarantinedReason = "quarantined";

// SHA3-256 of what the worker computes: prompt, sampling without its seed, choices, limits, stops,
// log probabilities, adapters, these by name, scale and the file that the catalogue has. Not of who
// asks, when, with which seed and with how much credit: whoever sends the same again gets a new
// seed and a new date, and must not get three more workers.
Digest content_of(const ipc::Submit& request, const std::vector<AdapterWish>& adapters,
                  const Catalogue& catalogue);

class Quarantine final {
 public:
  struct Engine {
    std::string name;
    Digest file{};  // its SHA-256; zeros: it is linked
    bool operator==(const Engine&) const = default;
  };
  // `model`: SHA-256 of the file; `parts`: the files that it is made of.
  void add(const Digest& content, const Engine& engine, const Digest& model,
           const std::vector<os::FileInfo>& parts);
  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  // For any model.
  bool knows(const Digest& content) const;
  // For this very file: by its hash, or, before that is known, by the files that are there.
  bool holds(const Digest& content, const Engine& engine, const Digest& model);
  bool holds(const Digest& content, const Engine& engine, const std::vector<os::FileInfo>& parts);

 private:
  struct Entry {
    Digest content{};
    Engine engine;
    Digest model{};
    std::vector<os::FileInfo> parts;
    bool is_of(const Digest& other, const Engine& by) const {
      return content == other && engine == by;
    }
  };
  using Entries = std::list<Entry>;
  bool seen(Entries::iterator entry);

  Entries entries_;  // the newest first
};

}  // namespace aioss::runtime
