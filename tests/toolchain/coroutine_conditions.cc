// co_await in the condition of an if, a while, a switch or a ternary: `if (!co_await f()) co_return
// x;`. g++ 12 breaks it at every level of optimization if the outermost block of the coroutine
// declares no variable: the branch that leaves is taken with a frame that is not set up, and the
// process crashes, or worse. One variable more and it works, so that an innocent edit breaks what
// was fine. Of ternaries it breaks those of which one branch awaits an owner. The house rule is to
// name the result first; tools/tidy.py finds what does not.
#include <optional>
#include <utility>

#include "coroutine_shapes.h"

namespace {

using namespace toolchain;

// An awaitable that owns something, and whose result does too: what an operation of ours returns.
struct Owner {
  Counted counted;
  bool answer = false;
  Owner() = default;
  explicit Owner(bool a) : answer(a) {}
};

class Ask final {
 public:
  explicit Ask(bool answer) : owner_(answer) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { parked = handle; }
  bool await_resume() const { return owner_.answer; }

 private:
  Owner owner_;
};

class AskOwner final {
 public:
  explicit AskOwner(bool answer) : owner_(answer) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { parked = handle; }
  Owner await_resume() { return std::move(owner_); }

 private:
  Owner owner_;
};

Ask ask(bool answer) {
  return Ask(answer);
}
Ask ask_with(const Owner& owner) {
  return Ask(owner.answer);
}
AskOwner ask_owner(bool answer) {
  return AskOwner(answer);
}

// A coroutine with a result, as net::awaitable<T> is one; counts itself by what its frame owns.
template <typename T>
class Answer final {
 public:
  struct promise_type {
    std::coroutine_handle<> continuation = std::noop_coroutine();
    std::optional<T> value;
    Counted counted;

    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
        return ended.promise().continuation;
      }
      void await_resume() noexcept {}
    };
    Answer get_return_object() {
      return Answer(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    void return_value(T v) { value.emplace(std::move(v)); }
    // Like that of net::awaitable: by value, and it looks at the promise.
    template <typename Awaitable>
    Awaitable await_transform(Awaitable awaitable) {
      if (!counted.here()) std::terminate();
      return awaitable;
    }
    void unhandled_exception() { std::terminate(); }
  };

  Answer(Answer&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) {
    handle_.promise().continuation = awaiter;
    return handle_;
  }
  T await_resume() { return std::move(*handle_.promise().value); }

 private:
  explicit Answer(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

Answer<bool> answer(bool value) {
  co_await Pause{};
  co_return value;
}
Answer<Owner> answer_owner(bool value) {
  co_await Pause{};
  co_return Owner(value);
}

// Conditions. Each returns 1 if its answer is no, else 2; the frame owns something meanwhile.
Answer<int> condition_named(bool yes) {
  Counted counted;
  const bool said = co_await answer(yes);
  if (!said) co_return 1;
  co_return 2;
}
Answer<int> condition_named_owner(bool yes) {
  Counted counted;
  const Owner said = co_await answer_owner(yes);
  if (!said.answer) co_return 1;
  co_return 2;
}
Answer<int> await_in_the_branch(bool yes) {
  Counted counted;
  if (!yes) co_return co_await answer(yes) ? 2 : 1;
  co_return 2;
}
Answer<int> condition_named_first(bool yes) {
  const bool said = co_await answer(yes);
  if (!said) co_return 1;
  co_return 2;
}

// The outermost block declares nothing.
Answer<int> condition_first(bool yes) {
  if (!co_await answer(yes)) co_return 1;
  co_return 2;
}
Answer<int> condition_first_owner(bool yes) {
  if (!(co_await answer_owner(yes)).answer) co_return 1;
  co_return 2;
}
Answer<int> condition_first_while(bool yes) {
  while (!co_await answer(yes)) co_return 1;
  co_return 2;
}
Answer<int> condition_first_switch(bool yes) {
  switch (static_cast<int>(co_await answer(yes))) {
    case 0:
      co_return 1;
    default:
      co_return 2;
  }
}
Answer<int> condition_second(bool yes) {
  co_await Pause{};
  if (!co_await answer(yes)) co_return 1;
  co_return 2;
}
Answer<int> ternary_first(bool yes) {
  co_return co_await answer(yes) ? 2 : 1;
}

// The same in a member function, as our classes have it.
class Asker final {
 public:
  explicit Asker(bool yes) : owner_(yes) {}
  Answer<bool> says() {
    co_await Pause{};
    co_return owner_.answer;
  }
  Answer<int> named() {
    const bool said = co_await says();
    if (!said) co_return 1;
    co_return 2;
  }
  Answer<int> in_the_condition() {
    if (!co_await says()) co_return 1;
    co_return 2;
  }

 private:
  Owner owner_;
};
Answer<int> member_named(bool yes) {
  Asker asker(yes);
  const int got = co_await asker.named();
  co_return got;
}
Answer<int> member_condition(bool yes) {
  Asker asker(yes);
  const int got = co_await asker.in_the_condition();
  co_return got;
}

Answer<int> condition_coroutine(bool yes) {
  Counted counted;
  if (!co_await answer(yes)) co_return 1;
  co_return 2;
}
Answer<int> condition_awaitable(bool yes) {
  Counted counted;
  if (!co_await ask(yes)) co_return 1;
  co_return 2;
}
Answer<int> condition_argument(bool yes) {
  Counted counted;
  if (!co_await ask_with(Owner(yes))) co_return 1;
  co_return 2;
}
Answer<int> condition_owner(bool yes) {
  Counted counted;
  if (!(co_await answer_owner(yes)).answer) co_return 1;
  co_return 2;
}
Answer<int> condition_awaitable_owner(bool yes) {
  Counted counted;
  if (!(co_await ask_owner(yes)).answer) co_return 1;
  co_return 2;
}
Answer<int> condition_initializer(bool yes) {
  Counted counted;
  if (const Owner said = co_await answer_owner(yes); !said.answer) co_return 1;
  co_return 2;
}
Answer<int> condition_and(bool yes) {
  Counted counted;
  if (counted.here() && !co_await answer(yes)) co_return 1;
  co_return 2;
}
Answer<int> condition_both_branches(bool yes) {
  Counted counted;
  if (co_await answer(yes)) {
    co_return 2;
  } else {
    co_return 1;
  }
}
Answer<int> condition_while(bool yes) {
  Counted counted;
  while (!co_await answer(yes)) co_return 1;
  co_return 2;
}
Answer<int> condition_while_owner(bool yes) {
  Counted counted;
  while (!(co_await answer_owner(yes)).answer) co_return 1;
  co_return 2;
}
Answer<int> ternary_condition(bool yes) {
  Counted counted;
  co_return co_await answer(yes) ? 2 : 1;
}
Answer<int> ternary_condition_owner(bool yes) {
  Counted counted;
  co_return (co_await answer_owner(yes)).answer ? 2 : 1;
}
Answer<int> ternary_branches(bool yes) {
  Counted counted;
  const bool said = yes ? co_await answer(true) : co_await answer(false);
  co_return said ? 2 : 1;
}
Answer<int> ternary_branches_owner(bool yes) {
  Counted counted;
  const Owner said = yes ? co_await answer_owner(true) : Owner(false);
  co_return said.answer ? 2 : 1;
}

constexpr int kWrong = 1000;  // alive, if a condition went the wrong way

template <auto Condition>
Task both_ways() {
  for (const bool yes : {false, true}) {
    Answer<int> running = Condition(yes);
    const int got = co_await running;
    if (got != (yes ? 2 : 1)) alive += kWrong;
  }
}

constexpr Shape kShapes[] = {
    {true, "condition: the result has a name", both_ways<condition_named>},
    {true, "condition: the result owns and has a name", both_ways<condition_named_owner>},
    {true, "the same, no other variable", both_ways<condition_named_first>},
    {true, "the same, in a member function", both_ways<member_named>},
    {false, "if (!co_await coroutine) co_return, no variable", both_ways<condition_first>},
    {false, "the same, a member of an owning result", both_ways<condition_first_owner>},
    {false, "the same, in a member function", both_ways<member_condition>},
    {false, "while (!co_await coroutine) co_return, no variable", both_ways<condition_first_while>},
    {false, "switch (co_await coroutine), no variable", both_ways<condition_first_switch>},
    {false, "if (!co_await coroutine), after a statement", both_ways<condition_second>},
    {false, "a ternary, no variable", both_ways<ternary_first>},
    {false, "if (!co_await coroutine) co_return, a variable", both_ways<condition_coroutine>},
    {false, "if (!co_await awaitable) co_return", both_ways<condition_awaitable>},
    {false, "the same, with a temporary argument", both_ways<condition_argument>},
    {false, "the same, a member of an owning result", both_ways<condition_owner>},
    {false, "the same, from an awaitable", both_ways<condition_awaitable_owner>},
    {false, "if (x = co_await coroutine; !x) co_return", both_ways<condition_initializer>},
    {false, "if (a && !co_await coroutine) co_return", both_ways<condition_and>},
    {false, "if (co_await coroutine) co_return; else", both_ways<condition_both_branches>},
    {false, "while (!co_await coroutine) co_return", both_ways<condition_while>},
    {false, "the same, a member of an owning result", both_ways<condition_while_owner>},
    {false, "co_await before a ternary's ?", both_ways<ternary_condition>},
    {false, "the same, a member of an owning result", both_ways<ternary_condition_owner>},
    {false, "the same, in a branch of an if", both_ways<await_in_the_branch>},
    {false, "co_await in both branches of a ternary", both_ways<ternary_branches>},
    {false, "the same, in one, owning", both_ways<ternary_branches_owner>},
};

}  // namespace

int main() {
  return run_shapes(kShapes);
}
