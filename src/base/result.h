// Result<T>: a T or an Error, with the surface of std::expected that g++ 12 lacks in C++20. Values,
// not exceptions, carry expected failures; see error.h. Propagate with AIOSS_TRY, plain statements
// that are safe in coroutines (GNU statement expressions are not, gcc PR 115851).
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "base/error.h"

namespace aioss {

template <typename T>
class [[nodiscard]] Result {
  static_assert(!std::is_same_v<T, Error> && !std::is_reference_v<T>);

 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit
  // For `return std::make_unique<Derived>(…)` and the like.
  template <typename U>
    requires(std::is_convertible_v<U, T> && !std::is_same_v<std::decay_t<U>, T> &&
             !std::is_same_v<std::decay_t<U>, Error> && !std::is_same_v<std::decay_t<U>, Result>)
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}  // NOLINT

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    ASSERT(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() & {
    ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }
  const Error& error() const& {
    ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    ASSERT(!has_value());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  void value() const { ASSERT(has_value()); }
  Error& error() & {
    ASSERT(!has_value());
    return *error_;
  }
  const Error& error() const& {
    ASSERT(!has_value());
    return *error_;
  }
  Error&& error() && {
    ASSERT(!has_value());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;
inline Status ok() {
  return {};
}

}  // namespace aioss

#define AIOSS_CONCAT_INNER(a, b) a##b
#define AIOSS_CONCAT(a, b) AIOSS_CONCAT_INNER(a, b)
#define AIOSS_TRY_IMPL(temporary, declaration, expression)         \
  auto temporary = (expression);                                   \
  if (!temporary.has_value()) return std::move(temporary).error(); \
  declaration = std::move(temporary).value()

// AIOSS_TRY(auto file, open(path));  — declares `file`, or returns the error from this function.
#define AIOSS_TRY(declaration, expression) \
  AIOSS_TRY_IMPL(AIOSS_CONCAT(aioss_try_, __LINE__), declaration, expression)

// AIOSS_CHECK(write(fd, bytes));  — for Status.
#define AIOSS_CHECK(expression)                                    \
  do {                                                             \
    if (auto aioss_check = (expression); !aioss_check.has_value()) \
      return std::move(aioss_check).error();                       \
  } while (false)
