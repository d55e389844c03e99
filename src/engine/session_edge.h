// The C edge of a session that is a C++ object: structs are read by their size, null handles and
// places refused, exceptions stopped. An engine's table takes these functions as they are.
//
// An aioss_model* is a Model*, an aioss_session* a Session*, which session_close deletes.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "aioss/engine.h"
#include "engine/abi.h"

namespace aioss::engine {

// What such an object offers, with statuses and errors as in aioss/engine.h.
template <typename Session, typename Model>
concept SessionOf = requires(
    Model& model, const aioss_session_options& options, std::unique_ptr<Session>& out,
    Session& session, const Session& constant, const aioss_batch& batch, std::int32_t sequence,
    std::int32_t position, std::uint8_t* data, std::size_t& size, aioss_error* error) {
  { Session::create(model, options, out, error) } -> std::same_as<aioss_status>;
  { session.decode(batch, error) } -> std::same_as<aioss_status>;
  { session.logits(std::uint32_t{}) } -> std::same_as<const float*>;  // null: no such row
  { session.remove(sequence, position, position, error) } -> std::same_as<aioss_status>;
  { session.copy(sequence, sequence, error) } -> std::same_as<aioss_status>;
  { session.state_size(sequence, size, error) } -> std::same_as<aioss_status>;
  { session.save(sequence, data, size, error) } -> std::same_as<aioss_status>;
  { session.load(sequence, data, size, error) } -> std::same_as<aioss_status>;
  { constant.counters() } -> std::convertible_to<aioss_counters>;
};

template <typename Model, SessionOf<Model> Session>
struct SessionEdge {
  static aioss_status create(aioss_model* model, const aioss_session_options* options,
                             aioss_session** out, aioss_error* error) {
    return guarded(error, [&] {
      aioss_session_options copy;
      if (model == nullptr || out == nullptr || !read_struct(options, copy)) {
        return fail(error, AIOSS_E_INVALID, "no model, no options, or without struct_size");
      }
      *out = nullptr;
      std::unique_ptr<Session> session;
      const auto s = Session::create(*reinterpret_cast<Model*>(model), copy, session, error);
      *out = reinterpret_cast<aioss_session*>(session.release());
      return s;
    });
  }

  static void close(aioss_session* session) { delete reinterpret_cast<Session*>(session); }

  static aioss_status decode(aioss_session* session, const aioss_batch* batch, aioss_error* error) {
    return guarded(error, [&] {
      aioss_batch copy;
      if (!read_struct(batch, copy)) {
        return fail(error, AIOSS_E_INVALID, "no batch, or without struct_size");
      }
      return at(session).decode(copy, error);
    });
  }

  static const float* logits(aioss_session* session, std::uint32_t output) {
    const float* row = nullptr;
    guarded(nullptr, [&] {
      row = at(session).logits(output);
      return AIOSS_OK;
    });
    return row;
  }

  static aioss_status remove(aioss_session* session, std::int32_t sequence, std::int32_t from,
                             std::int32_t to, aioss_error* error) {
    return guarded(error, [&] { return at(session).remove(sequence, from, to, error); });
  }

  static aioss_status copy(aioss_session* session, std::int32_t source, std::int32_t target,
                           aioss_error* error) {
    return guarded(error, [&] { return at(session).copy(source, target, error); });
  }

  static aioss_status state_size(aioss_session* session, std::int32_t sequence, std::size_t* size,
                                 aioss_error* error) {
    return guarded(error, [&] {
      if (size == nullptr) return fail(error, AIOSS_E_INVALID, "no place for the size");
      return at(session).state_size(sequence, *size, error);
    });
  }

  static aioss_status save(aioss_session* session, std::int32_t sequence, std::uint8_t* data,
                           std::size_t* size, aioss_error* error) {
    return guarded(error, [&] {
      if (size == nullptr) return fail(error, AIOSS_E_INVALID, "no place for the size");
      return at(session).save(sequence, data, *size, error);
    });
  }

  static aioss_status load(aioss_session* session, std::int32_t sequence, const std::uint8_t* data,
                           std::size_t size, aioss_error* error) {
    return guarded(error, [&] { return at(session).load(sequence, data, size, error); });
  }

  static void counters(const aioss_session* session, aioss_counters* out) {
    write_struct(out, reinterpret_cast<const Session*>(session)->counters());
  }

 private:
  static Session& at(aioss_session* session) { return *reinterpret_cast<Session*>(session); }
};

}  // namespace aioss::engine
