// g++ 12 destroys some temporaries twice: those of a capturing-lambda or an aggregate type (no
// constructor of its own) inside a full expression that contains co_await (gcc bug 95599 and its
// family). The house rules therefore allow some shapes and forbid others: here they are.
#include <functional>
#include <optional>
#include <utility>

#include "coroutine_shapes.h"

namespace {

using namespace toolchain;

struct Aggregate {
  Counted counted;
  int number = 0;
};

struct WithConstructor {
  Counted counted;
  int number = 0;
  WithConstructor() = default;
  WithConstructor(Counted c, int n) : counted(std::move(c)), number(n) {}
};

// Functions that return something to await …
template <typename F>
Pause run(F&& f) {
  f();
  return {};
}
Pause take(Aggregate) {
  return {};
}
Pause look_at(const Aggregate&) {
  return {};
}
Pause take_class(WithConstructor) {
  return {};
}
Pause take_function(std::function<void()> f) {
  f();
  return {};
}
Pause take_pair(std::pair<Counted, int>) {
  return {};
}
Pause take_optional(std::optional<Counted>) {
  return {};
}
Pause take_counted(Counted) {
  return {};
}

// … and coroutines.
Task with_aggregate(Aggregate) {
  co_await Pause{};
}
Task with_reference(const Aggregate&) {
  co_await Pause{};
}
Task with_class(WithConstructor) {
  co_await Pause{};
}
Task with_counted(Counted) {
  co_await Pause{};
}
template <typename F>
Task with_callable(F f) {
  co_await Pause{};
  f();
}

// Allowed by the house rules.
Task no_temporary() {
  Counted counted;
  co_await Pause{};
}
Task named_lambda_passed() {
  Counted counted;
  auto f = [counted] {};
  co_await run(f);
}
Task named_lambda_moved() {
  Counted counted;
  auto f = [counted] {};
  co_await with_callable(std::move(f));
}
Task named_awaiter() {
  Counted counted;
  auto pause = run([counted] {});
  co_await pause;
}
Task lambda_by_reference() {
  Counted counted;
  co_await run([&counted] { (void)counted; });
}
Task named_aggregate_moved() {
  Aggregate aggregate;
  co_await take(std::move(aggregate));
}
Task named_aggregate_moved_to_coroutine() {
  Aggregate aggregate;
  co_await with_aggregate(std::move(aggregate));
}
Task named_task() {
  auto task = with_aggregate(Aggregate{Counted{}, 1});
  co_await task;
}
Task class_temporary() {
  co_await take_class(WithConstructor{Counted{}, 1});
}
Task class_temporary_to_coroutine() {
  co_await with_class(WithConstructor{Counted{}, 1});
}
Task plain_class_temporary() {
  co_await take_counted(Counted{});
}
Task plain_class_temporary_to_coroutine() {
  co_await with_counted(Counted{});
}
Task optional_temporary() {
  co_await take_optional(Counted{});
}
Task pair_temporary() {
  co_await take_pair({Counted{}, 1});
}

// Forbidden by the house rules.
Task temporary_lambda() {
  Counted counted;
  co_await run([counted] {});
}
Task temporary_lambda_to_coroutine() {
  Counted counted;
  co_await with_callable([counted] {});
}
Task function_of_temporary_lambda() {
  Counted counted;
  co_await take_function([counted] {});
}
Task temporary_aggregate() {
  co_await take(Aggregate{Counted{}, 1});
}
Task temporary_aggregate_by_reference() {
  co_await look_at(Aggregate{Counted{}, 1});
}
Task temporary_aggregate_to_coroutine() {
  co_await with_aggregate(Aggregate{Counted{}, 1});
}
Task temporary_aggregate_by_reference_to_coroutine() {
  co_await with_reference(Aggregate{Counted{}, 1});
}
Task braces_to_coroutine() {
  co_await with_aggregate({.counted = Counted{}, .number = 1});
}

constexpr Shape kShapes[] = {
    {true, "no temporary", no_temporary},
    {true, "named lambda, passed", named_lambda_passed},
    {true, "named lambda, moved into a coroutine", named_lambda_moved},
    {true, "named awaiter, lambda in its initializer", named_awaiter},
    {true, "temporary lambda that captures by reference", lambda_by_reference},
    {true, "named aggregate, moved", named_aggregate_moved},
    {true, "named aggregate, moved into a coroutine", named_aggregate_moved_to_coroutine},
    {true, "named task, aggregate in its initializer", named_task},
    {true, "temporary of a class with a constructor", class_temporary},
    {true, "the same, into a coroutine", class_temporary_to_coroutine},
    {true, "temporary of a plain class", plain_class_temporary},
    {true, "the same, into a coroutine", plain_class_temporary_to_coroutine},
    {true, "std::optional from a temporary", optional_temporary},
    {true, "std::pair in braces", pair_temporary},
    {false, "temporary lambda with a value capture", temporary_lambda},
    {false, "the same, into a coroutine", temporary_lambda_to_coroutine},
    {false, "std::function from a temporary lambda", function_of_temporary_lambda},
    {false, "temporary aggregate", temporary_aggregate},
    {false, "temporary aggregate, by reference", temporary_aggregate_by_reference},
    {false, "temporary aggregate, into a coroutine", temporary_aggregate_to_coroutine},
    {false, "the same, by reference", temporary_aggregate_by_reference_to_coroutine},
    {false, "aggregate in braces, into a coroutine", braces_to_coroutine},
};

}  // namespace

int main() {
  return run_shapes(kShapes);
}
