// What the flags of `aioss run` ask for, checked. Values and a pure function.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "cli/args.h"
#include "ipc/messages.h"

namespace aioss::cli {

struct RunOptions {
  std::string model;  // a name of the catalogue, or a path
  bool is_file = false;
  std::optional<std::string> prompt;
  std::string system;
  ipc::Submit request;  // sampling, tokens_max, stop; the prompt comes later
  bool seed_given = false;
  bool raw = false, json = false, stats = false, fake_models = false;
};

Result<RunOptions> parse_run_options(const Invocation& invocation);

}  // namespace aioss::cli
