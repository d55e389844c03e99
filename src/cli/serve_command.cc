// `aioss serve`: ledger, gateway and HTTP server, put together and taken apart in order.
//
// Threads here: the main one (start, SIGHUP, shutdown), "io" (every connection), "signals". The
// others belong to the ledger, the gateway and the API server.
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "cli/command_list.h"
#include "cli/engine_setup.h"
#include "cli/ledger_session.h"
#include "cli/residence_options.h"
#include "cli/term.h"
#include "codec/json.h"
#include "ledger/witness/anchors.h"
#include "os/environment.h"
#include "os/heaps.h"
#include "os/signals.h"
#include "os/thread.h"
#include "runtime/records/receipts.h"
#include "runtime/records/salts.h"
#include "server/api_server.h"

namespace aioss::cli {
namespace {

constexpr std::chrono::milliseconds kDrain{10'000};
// For the last bytes of answers whose clients still read, once every stream has ended.
constexpr std::chrono::milliseconds kLastBytes{2'000};
constexpr std::size_t kNamesShown = 8;

// What the signal thread tells the main thread.
class Orders final {
 public:
  // On the signal thread.
  void on_signal(int signal) {
    std::lock_guard lock(mutex_);
    if (signal == SIGHUP) {
      reload_ = true;
    } else if (stop_) {
      // A person, or a supervisor, that cannot wait. Every record that was promised is on the disk
      // already; the ledger recovers at the next start, and the workers end with this process.
      log::warn("stopped at once by a second signal; the ledger will recover at the next start");
      std::_Exit(static_cast<int>(ExitCode::kInterrupted));
    } else {
      stop_ = true;
    }
    changed_.notify_all();
  }
  void io_ended() {
    std::lock_guard lock(mutex_);
    io_ended_ = true;
    changed_.notify_all();
  }

  enum class Order { kReload, kStop };
  Order wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stop_ || reload_ || io_ended_; });
    if (stop_ || io_ended_) return Order::kStop;
    reload_ = false;
    return Order::kReload;
  }
  bool wait_for_io(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [&] { return io_ended_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false, reload_ = false, io_ended_ = false;  // guarded by mutex_
};

log::Format log_format(std::string_view name) {
  if (name == "json") return log::Format::kJson;
  return name == "pretty" ? log::Format::kText : log::Format::kAuto;
}

int print_config(Console& console, const Config& config, bool json) {
  if (!json) {
    Table table({{"KEY"}, {"VALUE"}, {"FROM"}});
    for (const Setting& setting : settings()) {
      table.add({std::string(setting.name), config.text(setting.key), config.origin(setting.key)});
    }
    const std::string text = table.render(console.table_columns(), console.facts().output_color);
    return console.print(text);
  }
  codec::OrderedJson out;
  for (const Setting& setting : settings()) {
    codec::OrderedJson& one = out[std::string(setting.name)];
    if (setting.type == SettingType::kNumber) {
      one["value"] = config.number(setting.key);
    } else {
      one["value"] = config.text(setting.key);
    }
    one["from"] = config.origin(setting.key);
  }
  return console.print(codec::dump_json(out) + "\n");
}

// Those who keep no texts keep nothing that was computed of them, unless they ask for it.
std::uint64_t prefix_disk_bytes(const Config& config, runtime::Privacy privacy) {
  const std::string mode = config.text(Key::kPrefixDisk);
  const bool on = mode == "on" || (mode == "auto" && privacy == runtime::Privacy::kSealed);
  return on ? config.number(Key::kPrefixDiskMib) << 20 : 0;
}

Result<runtime::GatewayOptions> gateway_options(const Services& services, const Config& config,
                                                bool fake_models) {
  runtime::GatewayOptions out;
  AIOSS_TRY(out.models_dir, models_directory(services, config));
  out.fake_models = fake_models;
  add_model_settings(config, out);
  out.watch_models = config.text(Key::kModelsWatch) == "on";
  out.profile = ipc::profile_from_name(config.text(Key::kProfile)).value_or(ipc::Profile::kFast);
  out.privacy =
      runtime::privacy_from_name(config.text(Key::kPrivacy)).value_or(runtime::Privacy::kCommit);
  out.parallel = static_cast<std::uint32_t>(config.number(Key::kParallel));
  out.context_tokens = static_cast<std::uint32_t>(config.number(Key::kCtx));
  out.threads = static_cast<std::uint32_t>(config.number(Key::kThreads));
  out.queue_requests_max = static_cast<std::uint32_t>(config.number(Key::kQueue));
  out.spill_bytes = config.number(Key::kSpillMib) << 20;
  out.prefix_bytes = config.number(Key::kPrefixMib) << 20;
  out.prefix_disk_bytes = prefix_disk_bytes(config, out.privacy);
  out.memory_max = config.number(Key::kMemoryMax);
  out.speculation = config.text(Key::kSpeculation) != "off";
  out.overcommit = config.text(Key::kOvercommit) == "on";
  out.kv_type = config.text(Key::kKvType);
  AIOSS_TRY(out.device, device_setting(config));
  out.tune = config.text(Key::kTune) == "auto";
  out.prefill_chunk_tokens_max = static_cast<std::uint32_t>(config.number(Key::kPrefillChunk));
  out.record_rate = static_cast<std::uint32_t>(config.number(Key::kRecordRate));
  out.record_burst = static_cast<std::uint32_t>(config.number(Key::kRecordBurst));
  AIOSS_TRY(out.engines, engine_table(services, config, fake_models));
  out.read_engines = [&services, config, engines = out.engines] {
    return installed_engines(services, config, *engines);
  };
  out.devices = device_table(services, *out.engines);
  if (config.source(Key::kEngine) != Source::kDefault) out.engine = config.text(Key::kEngine);
  AIOSS_CHECK(add_residence(config, out));
  for (const Setting& setting : settings()) {
    const bool number = setting.type == SettingType::kNumber;
    out.configuration.emplace_back(setting.name, number ? std::to_string(config.number(setting.key))
                                                        : config.text(setting.key));
  }
  for (const auto& [name, own] : config.models()) {
    out.configuration.emplace_back("models." + name, own.text());
  }
  out.state_dir = state_directory(services);
  return out;
}

server::ApiOptions api_options(const Config& config) {
  server::ApiOptions out;
  out.listen.host = config.text(Key::kHost);
  out.listen.port = static_cast<std::uint16_t>(config.number(Key::kPort));
  out.listen.unix_path = config.text(Key::kUnix);
  out.key_file = config.text(Key::kKeys);
  out.resume_seconds_max = static_cast<std::uint32_t>(config.number(Key::kResumeSecondsMax));
  out.operator_uids.push_back(os::user_id());
  return out;
}

// What an operator wants to see of a start, and what a log should keep of it.
void announce(const Services& services, const Config& config, const runtime::Gateway& gateway,
              const ledger::Ledger& ledger) {
  const std::vector<runtime::ModelEntry> models = gateway.models();
  std::string names;
  for (std::size_t i = 0; i < models.size() && i < kNamesShown; ++i) {
    names += (i > 0 ? ", " : "") + models[i].name;
  }
  if (models.size() > kNamesShown) names += ", …";
  log::info("aioss " AIOSS_VERSION, {{"engine_cpu_level", services.cpu_level},
                                     {"profile", config.text(Key::kProfile)},
                                     {"privacy", config.text(Key::kPrivacy)},
                                     {"pid", os::process_id()}});
  log::info("models",
            {{"dir", config.text(Key::kModelsDir)}, {"count", models.size()}, {"names", names}});
  if (models.empty()) log::warn("no models; add some with 'aioss models add FILE'");
  log::info("ledger", {{"dir", config.text(Key::kLedger)},
                       {"records", ledger.health().size},
                       {"vkey", ledger.identity().verifier_key}});
  log::info("confinement", {{"workers",
                             "no network, no file system, no exec: seccomp, "
                             "no_new_privs, Landlock where the kernel has it"}});
}

// Whoever may send this process a signal: the system does not say who it was.
runtime::Principal signal_principal() {
  runtime::Principal principal;
  principal.role = runtime::Role::kOperator;
  principal.source = runtime::kSignalSource;
  return principal;
}

// The HTTP server does not know what our flags are called.
Error explain(Error error) {
  if (error.code == Code::kConflict && error.message.find("--port") == std::string::npos) {
    error.message += "; choose another with --port, or --port 0 for a free one";
  }
  return error;
}

class Serving {
 public:
  Serving(const Services& services, const Config& config) : services_(services), config_(config) {}

  // Everything up to the line on standard output.
  Status start(bool fake_models) {
    server::ApiOptions api = api_options(config_);
    AIOSS_CHECK(server::check_options(api));  // before a ledger is made for it
    AIOSS_TRY(const auto setup, gateway_options(services_, config_, fake_models));
    AIOSS_TRY(ledger_, open_ledger(services_, config_));
    AIOSS_TRY(custody_, open_custody(services_, config_, config_.text(Key::kLedger), *ledger_));
    AIOSS_TRY(gateway_, runtime::Gateway::create(setup, services_.files, services_.clock,
                                                 services_.random, *ledger_, *custody_, metrics_));
    receipts_ = std::make_unique<runtime::Receipts>(*ledger_, runtime::secrets_in(*custody_));
    api.receipts = [this](const runtime::Principal& caller, const std::string& request) {
      return receipts_->receipt(caller, request);
    };
    anchors_ =
        std::make_unique<ledger::Anchors>(services_.files, *ledger_, config_.text(Key::kLedger));
    api.anchors = anchors_.get();
    auto server =
        server::ApiServer::create(io_, *gateway_, metrics_, services_.clock, services_.files, api);
    if (!server) return explain(std::move(server).error());
    server_ = std::move(server).value();
    announce(services_, config_, *gateway_, *ledger_);
    server_->start();
    io_thread_ = std::thread([this] { run_io(); });
    const std::string line = "aioss listening on http://" +
                             http::url_host(config_.text(Key::kHost)) + ":" +
                             std::to_string(server_->port()) + "\n";
    if (!services_.console.out(line)) log::warn("standard output is closed; serving all the same");
    return ok();
  }

  void serve(Orders& orders) {
    while (orders.wait() == Orders::Order::kReload) {
      if (const Status scanned = gateway_->rescan(signal_principal()); !scanned) {
        log::error("models folder not read again", {{"reason", scanned.error().message}});
      } else {
        log::info("models folder read again", {{"count", gateway_->models().size()}});
      }
    }
    log::info("stopping; answers under way get 10 s");
  }

  void set_orders(Orders& orders) { orders_ = &orders; }

  // In order: no new requests, no more streams, the last bytes, the checkpoint. An error if any of
  // it is left undone.
  Status stop() {
    if (io_thread_.joinable()) {
      http::net::post(io_, [this] { server_->stop(); });
      gateway_->shut_down(kDrain);
      if (!orders_->wait_for_io(kLastBytes)) io_.stop();
      io_thread_.join();
    } else if (gateway_) {
      gateway_->shut_down(std::chrono::milliseconds(0));
    }
    Status orderly = gateway_ ? gateway_->left_behind() : ok();
    server_.reset();
    anchors_.reset();
    gateway_.reset();
    receipts_.reset();
    custody_.reset();
    if (!ledger_) return orderly;
    AIOSS_CHECK(ledger_->close());
    log::info("stopped", {{"records", ledger_->health().size}});
    return orderly;
  }

 private:
  void run_io() {
    os::set_thread_name("io");
    // The edge of the thread: a library's exception must end as a clean stop, not as an abort.
    try {
      io_.run();
    } catch (const std::exception& error) {
      log::error("the io thread failed", {{"reason", error.what()}});
    }
    orders_->io_ended();
  }

  const Services& services_;
  const Config& config_;
  MetricRegistry metrics_;
  http::net::io_context io_{1};
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::Custody> custody_;
  std::unique_ptr<runtime::Gateway> gateway_;
  std::unique_ptr<runtime::Receipts> receipts_;
  std::unique_ptr<ledger::Anchors> anchors_;
  std::unique_ptr<server::ApiServer> server_;
  std::thread io_thread_;
  Orders* orders_ = nullptr;  // the caller's
};

Status serve_until_stopped(const Services& services, const Config& config, bool fake_models) {
  Orders orders;
  // Before any other thread: they inherit the mask.
  AIOSS_TRY(const auto watcher, os::SignalWatcher::for_termination(
                                    [&orders](int signal) { orders.on_signal(signal); }));
  Serving serving(services, config);
  serving.set_orders(orders);
  Status started = serving.start(fake_models);
  if (started) serving.serve(orders);
  Status stopped = serving.stop();
  return started ? std::move(stopped) : std::move(started);
}

}  // namespace

int serve_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return console.fail(config.error());
  if (invocation.has("--print-config")) {
    return print_config(console, *config, invocation.has("--json"));
  }
  log::Options log_options;
  log_options.format = log_format(config->text(Key::kLogFormat));
  log_options.level =
      log::level_from_name(config->text(Key::kLogLevel)).value_or(log::Level::kInfo);
  log_options.color = console.facts().error_color;
  log::configure(log_options);
  os::share_few_heaps();
  const Status served = serve_until_stopped(services, *config, invocation.has("--fake-models"));
  return served ? 0 : console.fail(served.error());
}

}  // namespace aioss::cli
