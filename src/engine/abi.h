// What every engine written in C++ needs at the C edge: structs read and written by `struct_size`,
// errors as one line, exceptions that stop here, and the checks of a batch, so that all engines
// refuse the same things with the same words. Values and free functions; thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <span>
#include <string_view>

#include "aioss/engine.h"

namespace aioss::engine {

// Fills `error` (may be null) with one line, cut at a character boundary, and returns `status`.
aioss_status fail(aioss_error* error, aioss_status status, std::string_view message);

// The struct as this build knows it: absent tail fields are zero, unknown ones are not read. False
// if there is no struct or its size cannot even hold the size field.
template <typename T>
bool read_struct(const T* in, T& out) {
  out = T{};
  if (in == nullptr || in->struct_size < sizeof in->struct_size) return false;
  std::memcpy(&out, in, std::min<std::size_t>(in->struct_size, sizeof(T)));
  out.struct_size = sizeof(T);
  return true;
}

// Writes no more than the caller has room for and leaves in `struct_size` what was written.
template <typename T>
bool write_struct(T* out, T value) {
  if (out == nullptr || out->struct_size < sizeof out->struct_size) return false;
  const std::size_t size = std::min<std::size_t>(out->struct_size, sizeof(T));
  value.struct_size = static_cast<std::uint32_t>(size);
  std::memcpy(out, &value, size);
  return true;
}

// Runs `body` and turns what it throws into a status: no exception may cross the C ABI.
template <typename Body>
aioss_status guarded(aioss_error* error, Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(error, AIOSS_E_NO_MEMORY, "not enough memory");
  } catch (const std::exception& e) {
    return fail(error, AIOSS_E_FAILED, e.what());
  } catch (...) {
    return fail(error, AIOSS_E_FAILED, "an exception of unknown type");
  }
}

// The limits of aioss/engine.h. Every index stays in 31 bits; products of two need 64.
inline constexpr std::uint32_t kSequencesMax = AIOSS_SEQUENCES_MAX;
inline constexpr std::uint32_t kCellsPerSequenceMax = AIOSS_CELLS_PER_SEQUENCE_MAX;
inline constexpr std::uint32_t kCellsTotalMax = AIOSS_CELLS_TOTAL_MAX;
inline constexpr std::uint32_t kBatchTokensMax = AIOSS_BATCH_TOKENS_MAX;
inline constexpr std::uint32_t kThreadsMax = AIOSS_THREADS_MAX;
// Of a split model; each part is a descriptor.
inline constexpr std::uint32_t kPartsMax = 64;

// AIOSS_OK if a model's options obey the ABI, but for their placement (check_placement): files,
// flags, a profile that there is. `options` is a copy made by read_struct.
aioss_status check_model_options(const aioss_model_options& options, aioss_error* error);

// AIOSS_E_INVALID, with both numbers, if all sequences together would have more than
// kCellsTotalMax cells. For engines that round cells_per_sequence up: with the rounded number.
aioss_status check_cells_total(std::uint32_t sequences, std::uint32_t cells_per_sequence,
                               aioss_error* error);

// Refuses absurd options and fills in the defaults that do not depend on the engine (outputs_max,
// threads_batch). `options` is a copy made by read_struct.
aioss_status check_session_options(aioss_session_options& options, aioss_error* error);

// AIOSS_OK if the batch obeys the ABI: sizes, ranges, dense positions (`lengths[s]` tokens are in
// sequence s), outputs; AIOSS_E_FULL if a sequence would outgrow its cells; AIOSS_E_INVALID
// otherwise. Nothing has been changed when it fails. `batch` is a copy made by read_struct.
aioss_status check_batch(const aioss_batch& batch, const aioss_session_options& options,
                         std::uint32_t vocabulary_size, std::span<const std::int32_t> lengths,
                         aioss_error* error);

// AIOSS_OK if the placement in a model's options obeys the ABI: devices that there are (`known` of
// them), all different, shares that can be shared by, a number of layers. `options` is a copy made
// by read_struct.
aioss_status check_placement(const aioss_model_options& options, std::uint32_t known,
                             aioss_error* error);

// AIOSS_OK if the adapters of a batch obey the ABI: their number, scales, and that all differ.
aioss_status check_adapters(const aioss_batch& batch, aioss_error* error);

}  // namespace aioss::engine
