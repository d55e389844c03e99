#include "worker/adapter_shelf.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "ipc/limits.h"
#include "worker/gguf.h"

namespace aioss::worker {
namespace {

static_assert(ipc::kAdaptersMax <= AIOSS_ADAPTERS_MAX &&
              ipc::kAdapterScaleMax == AIOSS_ADAPTER_SCALE_MAX);

constexpr std::size_t kShownDigits = 12;  // of a hash, in messages

std::string shown(const Digest& adapter) {
  return codec::to_hex(adapter).substr(0, kShownDigits);
}

std::uint64_t number_of(const Digest& digest) {
  std::uint64_t number = 0;
  std::memcpy(&number, digest.data(), sizeof number);
  return std::max<std::uint64_t>(number, 1);
}

template <typename T>
ByteView raw(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

std::uint64_t key_of(std::span<const ipc::AdapterUse> uses) {
  Bytes all;
  for (const ipc::AdapterUse& use : uses) {
    all.insert(all.end(), use.adapter.begin(), use.adapter.end());
    const ByteView scale = raw(use.scale);
    all.insert(all.end(), scale.begin(), scale.end());
  }
  return number_of(crypto::sha3_256(all));
}

}  // namespace

std::uint64_t prefix_tenant(std::uint64_t tenant, const AdapterSet& set) {
  if (set.key == 0) return tenant;
  return number_of(crypto::sha3_256({as_bytes("prefix"), raw(tenant), raw(set.key)}));
}

Result<std::unique_ptr<engine::Adapter>> AdapterShelf::open(const ipc::LoadAdapter& wanted) const {
  if (source_.model == nullptr || source_.fd < 0) {
    return Error{Code::kUnsupported, "this worker was given no memory for adapters"};
  }
  if (adapters_.size() >= ipc::kAdaptersLoadedMax) {
    return Error{Code::kBusy, "as many adapters are loaded as a model can have; unload one"};
  }
  const off_t size = ::lseek(source_.fd, 0, SEEK_END);
  if (size < 0 || static_cast<std::uint64_t>(size) != wanted.bytes) {
    return Error{Code::kIo, "the memory for adapters does not hold the adapter"};
  }
  if (source_.is_gguf) {
    const auto header = gguf::read_header(source_.fd);
    if (!header) return Error(header.error()).with_context("cannot load the adapter");
  }
  return engine::Adapter::open(*source_.model, source_.fd);
}

ipc::AdapterReport AdapterShelf::load(const ipc::LoadAdapter& wanted) {
  ipc::AdapterReport report;
  report.adapter = wanted.adapter;
  if (!adapters_.contains(wanted.adapter)) {
    auto opened = open(wanted);
    if (!opened) {
      report.error = std::move(opened).error();
      return report;
    }
    adapters_[wanted.adapter].adapter = std::move(*opened);
  }
  Loaded& loaded = adapters_.at(wanted.adapter);
  ++loaded.loads;
  const aioss_adapter_facts facts = loaded.adapter->facts();
  report.loaded = true;
  report.bytes = facts.bytes;
  report.compute_bytes = facts.compute_bytes_per_token * source_.tokens_at_once;
  report.rank = facts.rank;
  report.name = facts.name != nullptr ? facts.name : "";
  return report;
}

bool AdapterShelf::in_use(const Digest& adapter) const {
  return std::any_of(sets_.begin(), sets_.end(), [&](const auto& entry) {
    const auto& all = entry.second.adapters;
    return std::find(all.begin(), all.end(), adapter) != all.end();
  });
}

ipc::AdapterReport AdapterShelf::unload(const Digest& adapter) {
  ipc::AdapterReport report;
  report.adapter = adapter;
  const auto found = adapters_.find(adapter);
  if (found == adapters_.end()) return report;
  if (found->second.loads > 1) {
    --found->second.loads;
    return report;
  }
  report.loaded = in_use(adapter);
  if (report.loaded) {
    report.error = Error{Code::kConflict, "the adapter is in use"};
  } else {
    adapters_.erase(found);
  }
  return report;
}

Result<const AdapterSet*> AdapterShelf::take(std::span<const ipc::AdapterUse> wanted) {
  std::vector<ipc::AdapterUse> felt;
  for (const ipc::AdapterUse& use : wanted) {
    if (!adapters_.contains(use.adapter)) {
      return Error{Code::kNotFound, "the adapter " + shown(use.adapter) + " is not loaded", "lora"};
    }
    if (use.scale != 0.0F) felt.push_back(use);
  }
  if (felt.empty()) {
    ++base_.requests;
    return &base_;
  }
  const std::uint64_t key = key_of(felt);
  AdapterSet& set = sets_[key];
  if (set.requests++ == 0) {
    set.key = key;
    for (const ipc::AdapterUse& use : felt) {
      set.uses.push_back({adapters_.at(use.adapter).adapter->handle(), use.scale, 0});
      set.adapters.push_back(use.adapter);
    }
  }
  return &set;
}

void AdapterShelf::give_back(const AdapterSet& set) {
  AdapterSet& own = set.key == 0 ? base_ : sets_.at(set.key);
  ASSERT(own.requests > 0);
  if (--own.requests == 0 && own.key != 0) sets_.erase(own.key);
}

}  // namespace aioss::worker
