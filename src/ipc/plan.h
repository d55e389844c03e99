// What a gateway asks a dry run (`aioss worker --plan`) and what that answers: one frame each way.
// The process has parsed a model file, so its answer is read as a stranger's. Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ipc/messages.h"
#include "memory/needs.h"

namespace aioss::ipc {

inline constexpr std::size_t kPlanOptionsMax = 8;
inline constexpr std::size_t kPlanDevicesMax = 16;
// A report of that many entries is some 4 KiB; a longer one ends the dry run.
inline constexpr std::size_t kPlanFrameBytesMax = std::size_t{64} << 10;

struct PlanAsk {
  std::string engine = "llama";
  Profile profile = Profile::kFast;
  std::uint32_t streams = 0, cells_per_stream = 0, threads = 0;  // 0: as a worker would choose
  std::uint32_t prefill_chunk_tokens_max = 0;                    // likewise
  std::string kv_type = "f16";
  bool speculation = true;  // rows of logits for drafts
  // If the model does not fit into so many bytes, options that do are looked for. 0: none are.
  std::uint64_t room_bytes = 0;
  // "cpu", or devices with commas (engine/device_names.h); and how much is free on each, in that
  // order: as many layers go there as fit. None: all of them go.
  std::string device = "cpu";
  std::vector<std::uint64_t> device_rooms = {};
  Digest engine_sha256 = {};  // of the engine's file; zeros: it is linked. For who keeps answers
  std::uint32_t threads_batch = 0, micro_batch_tokens_max = 0;  // as Configure's
  FlashAttention flash_attention = FlashAttention::kEngine;
  bool operator==(const PlanAsk&) const = default;
};

struct DeviceNeeds {  // on a device with a memory of its own
  std::string name;
  std::uint64_t weights = 0, kv = 0, compute = 0;
  std::uint64_t total() const { return weights + kv + compute; }
  bool operator==(const DeviceNeeds&) const = default;
};

struct PlannedSession {
  std::uint32_t streams = 0, cells_per_stream = 0;
  std::string kv_type;
  bool exact = false;
  memory::Needs needs;  // of the host; without prefixes and spill, which are the gateway's to set
  std::string device = "cpu";  // where layers are; "cpu" too if none fits elsewhere
  Layers layers = {};
  std::vector<DeviceNeeds> devices = {};
  bool operator==(const PlannedSession&) const = default;
};

struct PlanDevice {
  std::string name, description;
  std::uint64_t bytes_total = 0, bytes_free = 0;
  bool operator==(const PlanDevice&) const = default;
};

struct PlanReport {
  std::optional<Error> error;  // then nothing else counts
  PlannedSession asked;        // as resolved
  std::uint32_t context_tokens_train = 0;
  std::vector<PlannedSession> options;  // that fit, nearest first
  std::vector<PlanDevice> devices;      // the first computes
};

Bytes encode(const PlanAsk& ask);
Bytes encode(const PlanReport& report);
Result<PlanAsk> decode_plan_ask(ByteView frame);
Result<PlanReport> decode_plan_report(ByteView frame);

}  // namespace aioss::ipc
