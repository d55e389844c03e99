// The commands, one file each. Each returns its exit code, having said on the console what went
// wrong.
#pragma once

#include "cli/args.h"
#include "cli/services.h"

namespace aioss::cli {

int serve_command(const Services& services, const Invocation& invocation);
int run_command(const Services& services, const Invocation& invocation);
int models_command(const Services& services, const Invocation& invocation);
int plan_command(const Services& services, const Invocation& invocation);
int models_add_command(const Services& services, const Invocation& invocation);
int models_bundle_command(const Services& services, const Invocation& invocation);
int models_rm_command(const Services& services, const Invocation& invocation);
int models_show_command(const Services& services, const Invocation& invocation);
int models_verify_command(const Services& services, const Invocation& invocation);
int engine_list_command(const Services& services, const Invocation& invocation);
int engine_inspect_command(const Services& services, const Invocation& invocation);
int engine_check_command(const Services& services, const Invocation& invocation);
int engine_add_command(const Services& services, const Invocation& invocation);
int engine_remove_command(const Services& services, const Invocation& invocation);
int engine_sign_command(const Services& services, const Invocation& invocation);
int verify_command(const Services& services, const Invocation& invocation);
int ledger_init_command(const Services& services, const Invocation& invocation);
int ledger_tail_command(const Services& services, const Invocation& invocation);
int ledger_show_command(const Services& services, const Invocation& invocation);
int ledger_status_command(const Services& services, const Invocation& invocation);
int ledger_prove_command(const Services& services, const Invocation& invocation);
int ledger_export_command(const Services& services, const Invocation& invocation);
int ledger_protect_command(const Services& services, const Invocation& invocation);
int ledger_rotate_key_command(const Services& services, const Invocation& invocation);
int ledger_approve_command(const Services& services, const Invocation& invocation);
int ledger_backup_command(const Services& services, const Invocation& invocation);
int ledger_restore_command(const Services& services, const Invocation& invocation);
int review_command(const Services& services, const Invocation& invocation);
int ledger_subjects_command(const Services& services, const Invocation& invocation);
int ledger_open_command(const Services& services, const Invocation& invocation);
int ledger_hold_command(const Services& services, const Invocation& invocation);
int ledger_erase_command(const Services& services, const Invocation& invocation);
int ledger_drop_command(const Services& services, const Invocation& invocation);
int anchor_export_command(const Services& services, const Invocation& invocation);
int anchor_import_command(const Services& services, const Invocation& invocation);
int anchor_list_command(const Services& services, const Invocation& invocation);
int witness_init_command(const Services& services, const Invocation& invocation);
int witness_trust_command(const Services& services, const Invocation& invocation);
int witness_sign_command(const Services& services, const Invocation& invocation);
int witness_status_command(const Services& services, const Invocation& invocation);
int key_new_command(const Services& services, const Invocation& invocation);
int top_command(const Services& services, const Invocation& invocation);
int ps_command(const Services& services, const Invocation& invocation);
int load_command(const Services& services, const Invocation& invocation);
int unload_command(const Services& services, const Invocation& invocation);
int pin_command(const Services& services, const Invocation& invocation);
int version_command(const Services& services, const Invocation& invocation);

}  // namespace aioss::cli
