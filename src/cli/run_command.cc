// `aioss run`: one answer, or a chat, from a gateway of its own. The same records are written as
// when a server answers.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/suggest.h"
#include "cli/chat.h"
#include "cli/command_list.h"
#include "cli/engine_setup.h"
#include "cli/generation.h"
#include "cli/ledger_session.h"
#include "cli/progress.h"
#include "cli/run_options.h"
#include "cli/term.h"
#include "os/environment.h"
#include "os/read_some.h"
#include "os/thread.h"
#include "runtime/calls/answer.h"

namespace aioss::cli {
namespace {

constexpr int kInput = 0;
// Standard input as a prompt: far more than any model reads; what a request body may hold.
constexpr std::size_t kInputBytesMax = 4 << 20;
constexpr std::chrono::milliseconds kDrain{2'000};  // the answer has ended already

Result<std::string> read_input(Interrupt& interrupt) {
  constexpr std::chrono::milliseconds kPoll{100};
  std::string text;
  std::vector<std::uint8_t> bytes(64 << 10);
  for (;;) {
    const auto count = os::read_some(kInput, bytes, kPoll);
    if (interrupt.take()) return Error(Code::kCancelled, "interrupted while reading the input");
    if (!count && count.error().code == Code::kTimeout) continue;
    if (!count) return count.error();
    if (*count == 0) return text;
    text += as_text(std::span(bytes).first(*count));
    if (text.size() > kInputBytesMax) {
      return Error(Code::kTooLarge, "standard input is over 4 MiB; give a shorter text");
    }
  }
}

// The prompt, if there is one: the argument, standard input, or the argument and then the input.
Result<std::optional<std::string>> find_prompt(const Services& services, const RunOptions& options,
                                               Interrupt& interrupt) {
  if (services.console.facts().input_is_terminal) return options.prompt;
  AIOSS_TRY(std::string input, read_input(interrupt));
  if (!options.prompt) {
    if (trim(input).empty()) {
      return Error(Code::kUsage, "no prompt: standard input is empty; give one as an argument");
    }
    return std::optional<std::string>(std::move(input));
  }
  if (input.empty()) return options.prompt;
  return std::optional<std::string>(*options.prompt + "\n\n" + input);
}

Result<runtime::GatewayOptions> run_gateway_options(const Services& services, const Config& config,
                                                    const RunOptions& options) {
  runtime::GatewayOptions out;
  if (options.is_file) {
    out.model_files = {options.model};
  } else {
    AIOSS_TRY(out.models_dir, models_directory(services, config));
  }
  for (const RunOptions::Adapter& adapter : options.adapters) {
    if (adapter.is_file) out.adapter_files.push_back(adapter.name);
  }
  out.fake_models = options.fake_models;
  add_model_settings(config, out);
  const bool fake = options.fake_models || options.model.ends_with(".fake");
  AIOSS_TRY(out.engines, engine_table(services, config, fake));
  out.devices = device_table(services, *out.engines);
  if (config.source(Key::kEngine) != Source::kDefault) out.engine = config.text(Key::kEngine);
  if (config.source(Key::kEngine) == Source::kFlag) out.engine_wish = out.engine;
  out.profile = ipc::profile_from_name(config.text(Key::kProfile)).value_or(ipc::Profile::kFast);
  out.speculation = config.text(Key::kSpeculation) != "off";
  out.kv_type = config.text(Key::kKvType);
  AIOSS_TRY(out.device, device_setting(config));
  out.tune = config.text(Key::kTune) == "auto";
  out.privacy =
      runtime::privacy_from_name(config.text(Key::kPrivacy)).value_or(runtime::Privacy::kCommit);
  out.parallel = 1;
  out.context_tokens = static_cast<std::uint32_t>(config.number(Key::kCtx));
  out.threads = static_cast<std::uint32_t>(config.number(Key::kThreads));
  out.state_dir = state_directory(services);
  return out;
}

// The name that the gateway gave to the file, or the name as given if the catalogue has it.
Result<std::string> model_name(const runtime::Gateway& gateway, const RunOptions& options) {
  const std::vector<runtime::ModelEntry> models = gateway.models();
  if (options.is_file) {
    if (models.empty()) return Error(Code::kNotFound, options.model + " is not a model");
    return models.front().name;
  }
  std::vector<std::string> names;
  const std::string real = gateway.resolve(options.model);
  for (const runtime::ModelEntry& model : models) {
    if (model.name == real) return model.name;
    names.push_back(model.name);
    names.insert(names.end(), model.aliases.begin(), model.aliases.end());
  }
  const std::string hint = did_you_mean(options.model, names);
  const std::string_view lists = "; 'aioss models' lists them, and a path must end in .gguf";
  return Error(Code::kNotFound, "no model '" + one_line(options.model) + "'" +
                                    (hint.empty() ? std::string(lists) : hint));
}

class Run {
 public:
  Run(const Services& services, const RunOptions& options, runtime::Gateway& gateway,
      Interrupt& interrupt)
      : services_(services),
        console_(services.console),
        options_(options),
        gateway_(gateway),
        interrupt_(interrupt) {}

  int operator()(std::optional<std::string> prompt) {
    const auto model = model_name(gateway_, options_);
    if (!model) return console_.fail(model.error());
    const auto loaded = load(*model);
    if (!loaded) return console_.fail(load_error(loaded.error(), *model));
    const bool chat_possible = !loaded->facts || loaded->facts->has_chat_template;
    if (!options_.raw && !chat_possible) {
      return console_.fail({Code::kUnsupported,
                            *model + " has no chat template, so it cannot chat; give --raw and a "
                                     "prompt, and it continues the text"});
    }
    if (prompt) return answer(*model, std::move(*prompt));
    Chat chat(gateway_, services_.clock, console_, interrupt_,
              {call_for(*model), options_.system, options_.stats});
    return chat.run();
  }

 private:
  // The load runs on a thread of its own, so that Ctrl-C ends it too.
  Result<runtime::ModelEntry> load(const std::string& model) {
    constexpr std::chrono::milliseconds kPoll{50};
    Progress progress(console_, services_.clock, "loading " + model);
    std::atomic<float> fraction{0};
    runtime::Answer<runtime::ModelEntry> answer;
    std::thread loader([&] {
      os::set_thread_name("loader");
      answer.give(gateway_.load(model, [&](float done) { fraction = done; }));
    });
    auto loaded = answer.wait_for(kPoll);
    bool cancelled = false;
    while (!loaded) {
      progress.update(fraction);
      if (!cancelled && interrupt_.take()) {
        cancelled = true;
        gateway_.shut_down(std::chrono::milliseconds(0));
      }
      loaded = answer.wait_for(kPoll);
    }
    loader.join();
    if (cancelled) return Error(Code::kCancelled, "interrupted while loading");
    return std::move(*loaded);
  }

  // Which file it was: with a name instead of a path, nobody has seen it yet.
  Error load_error(const Error& error, const std::string& model) const {
    const bool named = error.message.find(model) != std::string::npos;
    if (named || error.code == Code::kCancelled) return error;
    return Error(error).with_context(options_.is_file ? options_.model : model);
  }

  runtime::GenerateCall call_for(const std::string& model) const {
    runtime::GenerateCall call;
    call.principal.user = os::user_name();
    call.principal.role = runtime::Role::kOperator;
    call.principal.source = "local";
    call.model = model;
    call.request = options_.request;
    call.seed_given = options_.seed_given;
    for (const RunOptions::Adapter& adapter : options_.adapters) {
      call.adapters.push_back(
          {adapter.is_file ? runtime::adapter_name_of(adapter.name) : adapter.name, adapter.scale});
    }
    call.endpoint = "cli";
    call.streaming = !options_.json;
    return call;
  }

  int answer(const std::string& model, std::string prompt) {
    runtime::GenerateCall call = call_for(model);
    if (options_.raw) {
      call.request.prompt = std::move(prompt);
    } else {
      std::vector<ipc::ChatMessage> messages;
      if (!options_.system.empty()) messages.push_back({"system", options_.system, ""});
      messages.push_back({"user", std::move(prompt), ""});
      call.request.prompt = std::move(messages);
    }
    call.request.now_unix_s = services_.clock.wall_ns() / kNsPerSecond;
    const bool terminal = console_.facts().output_is_terminal;
    bool reader_gone = false;
    const auto show = [&](std::string_view text) {
      if (options_.json) return true;
      reader_gone = !console_.out(terminal ? safe_text(text, true) : std::string(text));
      return !reader_gone;
    };
    const GenerationResult result =
        generate(gateway_, services_.clock, interrupt_, std::move(call), show);
    return finish(result, model, reader_gone);
  }

  int finish(const GenerationResult& result, const std::string& model, bool reader_gone) {
    if (options_.json) {
      console_.out(as_json(result, model));
    } else if (!result.text.empty() && result.text.back() != '\n' && !reader_gone) {
      console_.out("\n");
    }
    if (options_.stats) console_.note("aioss: " + describe(result));
    if (reader_gone) return static_cast<int>(ExitCode::kOk);  // `| head` has what it wanted
    if (!result.error) return static_cast<int>(ExitCode::kOk);
    if (result.error->code == Code::kCancelled) return static_cast<int>(ExitCode::kInterrupted);
    return console_.fail(*result.error);
  }

  const Services& services_;
  Console& console_;
  const RunOptions& options_;
  runtime::Gateway& gateway_;
  Interrupt& interrupt_;
};

Result<int> run_all(const Services& services, const Config& config, const RunOptions& options,
                    Interrupt& interrupt) {
  const bool chat = services.console.facts().input_is_terminal && !options.prompt;
  if (chat && options.raw) {
    return Error(Code::kUsage, "--raw needs a prompt: a chat is what it does without");
  }
  if (chat && options.json) return Error(Code::kUsage, "--json needs a prompt");
  if (options.is_file) {  // before the ledger is touched: a slip of the finger leaves no trace
    const auto info = services.files.info(options.model);
    if (!info && info.error().code == Code::kNotFound) {
      return Error(Code::kNotFound, options.model +
                                        ": there is no such file; 'aioss models' lists the models "
                                        "that have a name");
    }
    if (!info) return Error(info.error()).with_context(options.model);
    if (!info->is_regular) return Error(Code::kUsage, options.model + " is not a file");
  }
  AIOSS_TRY(auto prompt, find_prompt(services, options, interrupt));
  AIOSS_TRY(const auto gateway_setup, run_gateway_options(services, config, options));
  AIOSS_TRY(const auto ledger, open_ledger(services, config));
  AIOSS_TRY(const auto custody, open_custody(services, config, config.text(Key::kLedger), *ledger));
  MetricRegistry metrics;
  auto gateway = runtime::Gateway::create(gateway_setup, services.files, services.clock,
                                          services.random, *ledger, *custody, metrics);
  int code = 0;
  if (gateway) {
    code = Run(services, options, **gateway, interrupt)(std::move(prompt));
    (*gateway)->shut_down(kDrain);
    const Status orderly = (*gateway)->left_behind();
    if (!orderly && code == 0) code = services.console.fail(orderly.error());
    std::move(gateway).value().reset();
  } else {
    code = services.console.fail(gateway.error());
  }
  AIOSS_CHECK(ledger->close());
  return code;
}

}  // namespace

int run_command(const Services& services, const Invocation& invocation) {
  // The answer is what the user wants to see; what the gateway logs is of interest if it goes
  // wrong.
  log::set_level(log::Level::kWarn);
  const auto options = parse_run_options(invocation);
  if (!options) return services.console.fail(options.error());
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return services.console.fail(config.error());
  const auto interrupt = Interrupt::create();
  if (!interrupt) return services.console.fail(interrupt.error());
  const auto code = run_all(services, *config, *options, **interrupt);
  return code ? *code : services.console.fail(code.error());
}

}  // namespace aioss::cli
