// `aioss engine switch`, `pin`, `rollback`: orders to a running server, and how far they are.
#include <chrono>
#include <string>
#include <utility>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/server_access.h"
#include "codec/json.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::cli {
namespace {

// Of a model's page.
struct SwitchState {
  std::uint64_t orders = 0;
  std::string engine, step, outcome, reason;
};

Result<SwitchState> switch_state_of(const std::string& page) {
  const auto json = codec::parse_json(page);
  const bool has = json && json->is_object() && json->contains("aioss");
  if (!has || !(*json)["aioss"].is_object()) {
    return Error{Code::kCorrupt, "the server's answer is not that of an aioss server"};
  }
  const codec::Json& aioss = (*json)["aioss"];
  SwitchState out;
  out.engine = text_of_page(aioss, "engine");
  const auto found = aioss.find("engine_switch");
  if (found == aioss.end() || !found->is_object()) return out;
  const auto orders = found->find("orders");
  const bool is_number = orders != found->end() && orders->is_number_unsigned();
  if (is_number) out.orders = orders->get<std::uint64_t>();
  out.step = text_of_page(*found, "step");
  out.outcome = text_of_page(*found, "outcome");
  out.reason = text_of_page(*found, "reason");
  return out;
}

// Shown by the bar: the steps that a switch takes, in their order.
float fraction_of(const std::string& step) {
  if (step == "trying") return 0.6F;
  if (step == "moving") return 0.8F;
  return 0.1F;
}

class Switch {
 public:
  Switch(const Services& services, ServerAccess access, std::string model)
      : services_(services), access_(std::move(access)), model_(std::move(model)) {}

  Status give(const codec::OrderedJson& order) {
    AIOSS_TRY(const std::string page,
              post_order(access_, "/admin/models/" + model_ + "/engine", codec::dump_json(order)));
    AIOSS_TRY(now_, switch_state_of(page));
    return ok();
  }

  // Until it has an outcome. kEngineFailed: it has failed, and why.
  Status wait() {
    AIOSS_TRY(const auto interrupt, Interrupt::create());
    Progress progress(services_.console, services_.clock, "switching " + model_);
    const std::uint64_t mine = now_.orders;
    while (now_.outcome.empty()) {
      if (now_.step == "waiting") return ok();
      progress.update(fraction_of(now_.step));
      if (interrupt->wait_for(kAskAgain)) {
        return Error{Code::kCancelled, "no longer waiting; the order stands"};
      }
      AIOSS_TRY(const std::string page, get_page(access_, "/v1/models/" + model_));
      AIOSS_TRY(now_, switch_state_of(page));
      if (now_.orders != mine) {
        return Error{Code::kConflict, "somebody has given another order since"};
      }
    }
    progress.clear();
    if (now_.outcome == "done") return ok();
    return Error{Code::kEngineFailed,
                 "model '" + model_ + "' stays with engine '" + now_.engine + "': " + now_.reason};
  }

  void tell() const {
    Console& console = services_.console;
    if (now_.step == "waiting") {
      console.note("aioss: model '" + model_ + "' is not loaded; it is computed by '" +
                   now_.engine + "' from its next load on");
    } else if (now_.outcome == "done") {
      console.note("aioss: model '" + model_ + "' is computed by '" + now_.engine + "' (" +
                   now_.reason + ")");
    }
  }

 private:
  const Services& services_;
  const ServerAccess access_;
  const std::string model_;
  SwitchState now_;
};

// Names go into a path and into messages.
Status check_name(const std::string& name, const char* what) {
  if (runtime::is_model_name(name)) return ok();
  return Error{Code::kUsage, "'" + one_line(name) + "' is not the name of " + what};
}

Status give_order(const Services& services, const Invocation& invocation,
                  const codec::OrderedJson& order, bool waits) {
  const std::string model = invocation.operand(0);
  AIOSS_CHECK(check_name(model, "a model; see 'aioss models'"));
  AIOSS_TRY(ServerAccess access, server_access(services, invocation));
  Switch one(services, std::move(access), model);
  AIOSS_CHECK(one.give(order));
  if (!waits || invocation.has("--no-wait")) return ok();
  AIOSS_CHECK(one.wait());
  one.tell();
  return ok();
}

Status switch_to(const Services& services, const Invocation& invocation) {
  const std::string engine = invocation.operand(1);
  AIOSS_CHECK(check_name(engine, "an engine"));
  codec::OrderedJson order;
  order["engine"] = engine;
  return give_order(services, invocation, order, true);
}

Status pin(const Services& services, const Invocation& invocation) {
  const std::string engine = invocation.operand(1);
  const bool off = invocation.has("--off");
  if (off != engine.empty()) {
    return Error{Code::kUsage, "name either the engine to pin, or --off to take the pin away"};
  }
  codec::OrderedJson order;
  order["pin"] = !off;
  if (off) return give_order(services, invocation, order, false);
  AIOSS_CHECK(check_name(engine, "an engine"));
  order["engine"] = engine;
  return give_order(services, invocation, order, true);
}

int exit_code(Console& console, const Status& done) {
  return done ? 0 : console.fail(done.error());
}

}  // namespace

int engine_switch_command(const Services& services, const Invocation& invocation) {
  return exit_code(services.console, switch_to(services, invocation));
}

int engine_pin_command(const Services& services, const Invocation& invocation) {
  return exit_code(services.console, pin(services, invocation));
}

int engine_rollback_command(const Services& services, const Invocation& invocation) {
  codec::OrderedJson order;
  order["rollback"] = true;
  const Status done = give_order(services, invocation, order, true);
  return exit_code(services.console, done);
}

}  // namespace aioss::cli
