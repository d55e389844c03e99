// `aioss ps`, `load`, `unload`, `pin`: a running server's models, looked at and ordered about.
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/ps_view.h"
#include "cli/server_access.h"
#include "codec/json.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::cli {
namespace {

// Of GET /v1/models/{id}: what these commands wait for.
struct ModelState {
  std::string state, error;
  Code code = Code::kInternal;  // of the error
  float fraction = 0;
};

Result<ModelState> state_of(const std::string& page) {
  const auto json = codec::parse_json(page);
  const bool has = json && json->is_object() && json->contains("aioss");
  if (!has || !(*json)["aioss"].is_object()) {
    return Error{Code::kCorrupt, "the server's answer is not that of an aioss server"};
  }
  const codec::Json& aioss = (*json)["aioss"];
  ModelState out;
  out.state = text_of_page(aioss, "state");
  out.error = text_of_page(aioss, "error");
  out.code = code_from_name(text_of_page(aioss, "error_code")).value_or(Code::kInternal);
  const auto fraction = aioss.find("load_fraction");
  if (fraction != aioss.end() && fraction->is_number()) out.fraction = fraction->get<float>();
  return out;
}

// The name goes into a path.
Result<std::string> model_operand(const Invocation& invocation) {
  std::string model = invocation.operand(0);
  if (runtime::is_model_name(model)) return model;
  return Error{Code::kUsage,
               "'" + one_line(model) + "' is not the name of a model; see 'aioss models'"};
}

// Gives the order, and then looks until `is_done` says so. kCancelled: Ctrl-C.
class Order {
 public:
  Order(ServerAccess access, std::string model)
      : access_(std::move(access)), model_(std::move(model)) {}

  Status give(const std::string& order) {
    AIOSS_TRY(const std::string page, post_order(access_, "/admin/models/" + model_ + "/" + order));
    AIOSS_TRY(now_, state_of(page));
    return ok();
  }

  using IsDone = std::function<Result<bool>(const ModelState&)>;
  Status wait(const IsDone& is_done, Progress* progress) {
    AIOSS_TRY(const auto interrupt, Interrupt::create());
    for (;;) {
      AIOSS_TRY(const bool done, is_done(now_));
      if (done) return ok();
      if (progress != nullptr) progress->update(now_.fraction);
      if (interrupt->wait_for(kAskAgain)) {
        return Error{Code::kCancelled, "no longer waiting; the order stands"};
      }
      AIOSS_TRY(const std::string page, get_page(access_, "/v1/models/" + model_));
      AIOSS_TRY(now_, state_of(page));
    }
  }

 private:
  const ServerAccess access_;
  const std::string model_;
  ModelState now_;
};

Result<bool> is_loaded(const std::string& model, const ModelState& now) {
  if (now.state == "ready") return true;
  if (now.state == "loading") return false;
  if (now.state == "failed") return Error{now.code, "model '" + model + "': " + now.error};
  return Error{Code::kBusy, "model '" + model + "' was unloaded again; see 'aioss ps'"};
}

struct Given {
  std::string model;
  std::unique_ptr<Order> order;
};

Result<Given> prepare(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(std::string model, model_operand(invocation));
  AIOSS_TRY(ServerAccess access, server_access(services, invocation));
  auto order = std::make_unique<Order>(std::move(access), model);
  return Given{std::move(model), std::move(order)};
}

Status load(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Given given, prepare(services, invocation));
  AIOSS_CHECK(given.order->give("load"));
  if (invocation.has("--no-wait")) return ok();
  Progress progress(services.console, services.clock, "loading " + given.model);
  return given.order->wait([&](const ModelState& now) { return is_loaded(given.model, now); },
                           &progress);
}

Status unload(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Given given, prepare(services, invocation));
  AIOSS_CHECK(given.order->give(invocation.has("--force") ? "unload?force=1" : "unload"));
  if (invocation.has("--no-wait")) return ok();
  return given.order->wait(
      [](const ModelState& now) -> Result<bool> {
        return now.state == "cold" || now.state == "failed";
      },
      nullptr);
}

Status pin(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Given given, prepare(services, invocation));
  return given.order->give(invocation.has("--off") ? "unpin" : "pin");
}

int exit_code(Console& console, const Status& done) {
  return done ? 0 : console.fail(done.error());
}

Result<std::string> ps(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const ServerAccess access, server_access(services, invocation));
  AIOSS_TRY(const std::string page, get_page(access, "/admin/queue"));
  PsLook look;
  look.place = access.place.shown();
  look.now_unix_s = services.clock.wall_ns() / kNsPerSecond;
  look.columns_max = services.console.table_columns();
  look.color = services.console.facts().output_color;
  return invocation.has("--json") ? ps_json(page, look) : ps_table(page, look);
}

}  // namespace

int ps_command(const Services& services, const Invocation& invocation) {
  const auto shown = ps(services, invocation);
  return services.console.print(shown);
}

int load_command(const Services& services, const Invocation& invocation) {
  return exit_code(services.console, load(services, invocation));
}

int unload_command(const Services& services, const Invocation& invocation) {
  return exit_code(services.console, unload(services, invocation));
}

int pin_command(const Services& services, const Invocation& invocation) {
  return exit_code(services.console, pin(services, invocation));
}

}  // namespace aioss::cli
