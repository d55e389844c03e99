#include "engine/abi.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace aioss::engine {

aioss_status fail(aioss_error* error, aioss_status status, std::string_view message) {
  if (error == nullptr) return status;
  std::size_t size = std::min(message.size(), sizeof error->message - 1);
  // Do not end inside a UTF-8 character.
  while (size > 0 && size < message.size() &&
         (static_cast<unsigned char>(message[size]) & 0xC0u) == 0x80u) {
    --size;
  }
  std::memcpy(error->message, message.data(), size);
  error->message[size] = '\0';
  for (std::size_t i = 0; i < size; ++i) {  // one line, whatever a library's message holds
    if (static_cast<unsigned char>(error->message[i]) < 0x20) error->message[i] = ' ';
  }
  return status;
}

aioss_status check_model_options(const aioss_model_options& options, aioss_error* error) {
  if (options.fds == nullptr || options.fd_count == 0) {
    return fail(error, AIOSS_E_INVALID, "a model needs a file descriptor");
  }
  if (options.fd_count > kPartsMax) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "a model may have at most " + std::to_string(kPartsMax) + " parts");
  }
  if ((options.flags & ~std::uint32_t{AIOSS_MODEL_DRY_RUN}) != 0) {
    return fail(error, AIOSS_E_INVALID, "unknown model flags");
  }
  if (options.profile > AIOSS_PROFILE_EVIDENCE) {
    return fail(error, AIOSS_E_INVALID, "unknown profile");
  }
  return AIOSS_OK;
}

aioss_status check_cells_total(std::uint32_t sequences, std::uint32_t cells_per_sequence,
                               aioss_error* error) {
  const std::uint64_t total = std::uint64_t{sequences} * cells_per_sequence;
  if (total <= kCellsTotalMax) return AIOSS_OK;
  return fail(error, AIOSS_E_INVALID,
              std::to_string(sequences) + " sequences of " + std::to_string(cells_per_sequence) +
                  " cells are " + std::to_string(total) + " cells; a session holds at most " +
                  std::to_string(kCellsTotalMax));
}

aioss_status check_session_options(aioss_session_options& options, aioss_error* error) {
  const auto refuse = [&](std::string_view name, std::uint32_t value, std::uint32_t max) {
    return fail(error, AIOSS_E_INVALID,
                std::string(name) + " is " + std::to_string(value) + "; it must be 1 to " +
                    std::to_string(max));
  };
  if (options.sequences_max == 0 || options.sequences_max > kSequencesMax) {
    return refuse("sequences_max", options.sequences_max, kSequencesMax);
  }
  if (options.cells_per_sequence == 0 || options.cells_per_sequence > kCellsPerSequenceMax) {
    return refuse("cells_per_sequence", options.cells_per_sequence, kCellsPerSequenceMax);
  }
  if (const auto s = check_cells_total(options.sequences_max, options.cells_per_sequence, error);
      s != AIOSS_OK) {
    return s;
  }
  if (options.batch_tokens_max == 0 || options.batch_tokens_max > kBatchTokensMax) {
    return refuse("batch_tokens_max", options.batch_tokens_max, kBatchTokensMax);
  }
  if (options.batch_tokens_max < options.sequences_max) {
    return fail(error, AIOSS_E_INVALID,
                "batch_tokens_max must hold one token of each of the sequences_max sequences");
  }
  if (options.micro_batch_tokens_max > options.batch_tokens_max) {
    options.micro_batch_tokens_max = options.batch_tokens_max;
  }
  if (options.outputs_max == 0) options.outputs_max = options.sequences_max;
  if (options.outputs_max > options.batch_tokens_max) {
    return refuse("outputs_max", options.outputs_max, options.batch_tokens_max);
  }
  if (options.threads > kThreadsMax) return refuse("threads", options.threads, kThreadsMax);
  if (options.threads_batch == 0) options.threads_batch = options.threads;
  if (options.threads_batch > kThreadsMax) {
    return refuse("threads_batch", options.threads_batch, kThreadsMax);
  }
  if ((options.flags & ~std::uint32_t{AIOSS_SESSION_COUNT_GRAPHS}) != 0) {
    return fail(error, AIOSS_E_INVALID, "session flags hold a bit that this engine does not know");
  }
  if (options.kv_type > AIOSS_KV_Q4_0) {
    return fail(error, AIOSS_E_INVALID, "kv_type is a number that this engine does not know");
  }
  if (options.flash_attention > AIOSS_FLASH_OFF) {
    return fail(error, AIOSS_E_INVALID,
                "flash_attention is a number that this engine does not know");
  }
  return AIOSS_OK;
}

aioss_status check_batch(const aioss_batch& batch, const aioss_session_options& options,
                         std::uint32_t vocabulary_size, std::span<const std::int32_t> lengths,
                         aioss_error* error) {
  if (batch.tokens == nullptr || batch.positions == nullptr || batch.sequences == nullptr ||
      batch.outputs == nullptr) {
    return fail(error, AIOSS_E_INVALID, "a batch needs tokens, positions, sequences and outputs");
  }
  if (batch.token_count == 0 || batch.token_count > options.batch_tokens_max) {
    return fail(error, AIOSS_E_INVALID,
                "a batch holds 1 to " + std::to_string(options.batch_tokens_max) + " tokens, not " +
                    std::to_string(batch.token_count));
  }
  std::vector<std::int32_t> next(lengths.begin(), lengths.end());
  std::uint32_t outputs = 0;
  bool full = false;
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    const std::int32_t sequence = batch.sequences[i];
    if (sequence < 0 || static_cast<std::size_t>(sequence) >= next.size()) {
      return fail(error, AIOSS_E_INVALID, "there is no sequence " + std::to_string(sequence));
    }
    const std::int32_t token = batch.tokens[i];
    if (token < 0 || static_cast<std::uint32_t>(token) >= vocabulary_size) {
      return fail(error, AIOSS_E_INVALID, "there is no token " + std::to_string(token));
    }
    std::int32_t& expected = next[static_cast<std::size_t>(sequence)];
    if (batch.positions[i] != expected) {
      return fail(error, AIOSS_E_INVALID,
                  "sequence " + std::to_string(sequence) + " goes on at position " +
                      std::to_string(expected) + ", not " + std::to_string(batch.positions[i]));
    }
    ++expected;
    full = full || static_cast<std::uint32_t>(expected) > options.cells_per_sequence;
    if (batch.outputs[i] != 0) ++outputs;
  }
  if (outputs > options.outputs_max) {
    return fail(error, AIOSS_E_INVALID,
                std::to_string(outputs) + " outputs are more than outputs_max, " +
                    std::to_string(options.outputs_max));
  }
  if (full) {
    return fail(
        error, AIOSS_E_FULL,
        "a sequence would outgrow its " + std::to_string(options.cells_per_sequence) + " cells");
  }
  return AIOSS_OK;
}

aioss_status check_placement(const aioss_model_options& options, std::uint32_t known,
                             aioss_error* error) {
  if (options.device_count == 0) return AIOSS_OK;
  const auto refuse = [&](const std::string& why) { return fail(error, AIOSS_E_INVALID, why); };
  if (options.devices == nullptr || options.device_count > AIOSS_DEVICES_MAX) {
    return refuse("a model is put on 0 to " + std::to_string(AIOSS_DEVICES_MAX) + " devices, not " +
                  std::to_string(options.device_count));
  }
  if (options.gpu_layers < -1) return refuse("gpu_layers is a number of layers, or -1 for all");
  double shares = 0;
  for (std::uint32_t i = 0; i < options.device_count; ++i) {
    const std::uint32_t device = options.devices[i];
    if (device >= known) return refuse("there is no device " + std::to_string(device));
    if (std::find(options.devices, options.devices + i, device) != options.devices + i) {
      return refuse("a device is named twice");
    }
    if (options.splits == nullptr) continue;
    if (!std::isfinite(options.splits[i]) || options.splits[i] < 0) {
      return refuse("the share of a device is a number from 0 on");
    }
    shares += static_cast<double>(options.splits[i]);
  }
  if (options.splits != nullptr && shares <= 0) return refuse("no device has a share");
  return AIOSS_OK;
}

aioss_status check_adapters(const aioss_batch& batch, aioss_error* error) {
  if (batch.adapter_count == 0) return AIOSS_OK;
  if (batch.adapters == nullptr || batch.adapter_count > AIOSS_ADAPTERS_MAX) {
    return fail(error, AIOSS_E_INVALID,
                "a call has 0 to " + std::to_string(AIOSS_ADAPTERS_MAX) + " adapters, not " +
                    std::to_string(batch.adapter_count));
  }
  for (std::uint32_t i = 0; i < batch.adapter_count; ++i) {
    const aioss_adapter_use& use = batch.adapters[i];
    if (use.adapter == nullptr) return fail(error, AIOSS_E_INVALID, "there is no such adapter");
    if (!std::isfinite(use.scale) || std::fabs(use.scale) > AIOSS_ADAPTER_SCALE_MAX) {
      return fail(error, AIOSS_E_INVALID, "the scale of an adapter is at most 100 either way");
    }
    for (std::uint32_t k = 0; k < i; ++k) {
      if (batch.adapters[k].adapter != use.adapter) continue;
      return fail(error, AIOSS_E_INVALID, "an adapter is named twice");
    }
  }
  return AIOSS_OK;
}

}  // namespace aioss::engine
