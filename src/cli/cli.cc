#include "cli/cli.h"

#include <array>
#include <string_view>

#include "cli/args.h"
#include "cli/command_list.h"
#include "cli/cpu_check.h"
#include "cli/inspect_command.h"

namespace aioss::cli {
namespace {

// Whether a command computes with an engine, or judges a plugin's file by running it: then the
// processor is looked at first, for what it lacks would look like a fault of the file. Those that
// only show what there is (`engine inspect`, `devices`) do without.
enum class Needs { kNothing, kProcessor };

struct Handler {
  std::string_view name;
  int (*run)(const Services&, const Invocation&);
  Needs needs = Needs::kNothing;
  std::string_view unless = {};  // a flag with which it needs nothing
};

constexpr auto kHandlers = std::to_array<Handler>({
    {"serve", serve_command, Needs::kProcessor, "--print-config"},
    {"run", run_command, Needs::kProcessor},
    {"models", models_command},
    {"models add", models_add_command},
    {"models bundle", models_bundle_command},
    {"models rm", models_rm_command},
    {"models show", models_show_command},
    {"models verify", models_verify_command},
    {"top", top_command},
    {"plan", plan_command, Needs::kProcessor},
    {"devices", devices_command},
    {"tune", tune_command, Needs::kProcessor, "--show"},
    {"ps", ps_command},
    {"load", load_command},
    {"unload", unload_command},
    {"pin", pin_command},
    {"engine switch", engine_switch_command},
    {"engine pin", engine_pin_command},
    {"engine rollback", engine_rollback_command},
    {"update apply", update_apply_command, Needs::kProcessor},
    {"update rollback", update_rollback_command},
    {"inspect", inspect_command},
    {"engine list", engine_list_command},
    {"engine inspect", engine_inspect_command},
    {"engine check", engine_check_command, Needs::kProcessor},
    {"engine add", engine_add_command, Needs::kProcessor},
    {"engine remove", engine_remove_command},
    {"engine sign", engine_sign_command},
    {"verify", verify_command},
    {"ledger init", ledger_init_command},
    {"ledger tail", ledger_tail_command},
    {"ledger show", ledger_show_command},
    {"ledger status", ledger_status_command},
    {"ledger prove", ledger_prove_command},
    {"ledger export", ledger_export_command},
    {"ledger protect", ledger_protect_command},
    {"ledger rotate-key", ledger_rotate_key_command},
    {"ledger approve", ledger_approve_command},
    {"ledger backup", ledger_backup_command},
    {"ledger restore", ledger_restore_command},
    {"review", review_command},
    {"ledger subjects", ledger_subjects_command},
    {"ledger open", ledger_open_command},
    {"ledger hold", ledger_hold_command},
    {"ledger erase", ledger_erase_command},
    {"ledger drop", ledger_drop_command},
    {"key new", key_new_command},
    {"version", version_command},
    {"anchor export", anchor_export_command},
    {"anchor import", anchor_import_command},
    {"anchor list", anchor_list_command},
    {"witness init", witness_init_command},
    {"witness trust", witness_trust_command},
    {"witness sign", witness_sign_command},
    {"witness status", witness_status_command},
});

int run_handler(const Handler& handler, const Services& services, const Invocation& invocation) {
  const bool is_excused = !handler.unless.empty() && invocation.has(handler.unless);
  if (handler.needs == Needs::kProcessor && !is_excused) {
    if (const Status fits = check_cpu(services); !fits) return services.console.fail(fits.error());
  }
  return handler.run(services, invocation);
}

}  // namespace

int run(const Services& services, const std::vector<std::string>& arguments) {
  Console& console = services.console;
  const auto parsed = parse_arguments(arguments);
  if (!parsed) {
    const int code = console.fail(parsed.error());
    // The exit codes of `verify` are the verifier's: 1 is its usage.
    return !arguments.empty() && arguments[0] == "verify" ? 1 : code;
  }
  if (parsed->help) {
    std::string text = parsed->group.empty() ? overview_help() : group_help(parsed->group);
    if (parsed->command != nullptr) text = command_help(*parsed->command);
    return console.out(text) ? 0 : static_cast<int>(ExitCode::kFailure);
  }
  for (const Handler& handler : kHandlers) {
    if (handler.name == parsed->command->name) return run_handler(handler, services, *parsed);
  }
  return console.fail({Code::kInternal, "a command of the table has no handler; please report it"});
}

}  // namespace aioss::cli
