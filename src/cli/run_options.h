// What the flags of `aioss run` ask for, checked. Values and a pure function.
#pragma once

#include <optional>
#include <string>
#include <vector>

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
  // Of --lora, in their order; files by their paths, which the catalogue names.
  struct Adapter {
    std::string name;
    float scale = 1.0F;
    bool is_file = false;
  };
  std::vector<Adapter> adapters;
  bool seed_given = false;
  bool raw = false, json = false, stats = false, fake_models = false;
};

Result<RunOptions> parse_run_options(const Invocation& invocation);

}  // namespace aioss::cli
