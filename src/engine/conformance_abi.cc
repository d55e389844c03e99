// The edges of the ABI: identity, sizes of structs, arguments out of range. An engine may refuse in
// its own words, but it must refuse, and it must live.
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "engine/conformance_harness.h"
#include "os/process.h"

namespace aioss::engine::conformance {
namespace {

// A session by the bare table, to pass it what the C++ handles would not.
class RawSession final {
 public:
  RawSession(Model& model, const aioss_session_options* options) : engine_(model.engine()) {
    status_ = engine_.session_create(model.handle(), options, &handle_, &error_);
  }
  ~RawSession() {
    if (handle_ != nullptr) engine_.session_close(handle_);
  }
  RawSession(const RawSession&) = delete;
  RawSession& operator=(const RawSession&) = delete;

  aioss_status status() const { return status_; }
  aioss_session* get() const { return handle_; }

 private:
  const aioss_engine& engine_;
  aioss_session* handle_ = nullptr;
  aioss_error error_ = {};
  aioss_status status_;
};

std::string describe(aioss_status status, const aioss_error& error) {
  const std::string_view text(error.message, strnlen(error.message, sizeof error.message));
  return std::string(status_name(status)) + ": " + std::string(text);
}

bool is_zero_terminated(const aioss_error& error) {
  return strnlen(error.message, sizeof error.message) < sizeof error.message;
}

int refuse_progress(float /*fraction*/, void* /*user*/) {
  return 0;
}

struct BadBatch {
  const char* name;
  aioss_batch batch;
};

// What bad batches point at.
struct BadNumbers {
  std::int32_t minus_one = -1;
  std::int32_t position = 5;
  std::int32_t huge = 0x7FFFFFFF;
  std::int32_t token_beyond = 0;
  std::int32_t sequence_beyond = 0;
};

// Batches that break one rule each; `good` is one token that would be fine. `numbers` outlives
// them.
std::vector<BadBatch> bad_batches(const aioss_batch& good, const aioss_session_options& options,
                                  const BadNumbers& numbers) {
  std::vector<BadBatch> out;
  const auto add = [&](const char* name, auto change) {
    out.push_back({name, good});
    change(out.back().batch);
  };
  add("no_size", [](aioss_batch& b) { b.struct_size = 0; });
  add("no_tokens", [](aioss_batch& b) { b.token_count = 0; });
  add("too_many", [&](aioss_batch& b) { b.token_count = options.batch_tokens_max + 1; });
  add("null_tokens", [](aioss_batch& b) { b.tokens = nullptr; });
  add("null_outputs", [](aioss_batch& b) { b.outputs = nullptr; });
  add("negative_token", [&](aioss_batch& b) { b.tokens = &numbers.minus_one; });
  add("token_beyond", [&](aioss_batch& b) { b.tokens = &numbers.token_beyond; });
  add("huge_token", [&](aioss_batch& b) { b.tokens = &numbers.huge; });
  add("gap_in_positions", [&](aioss_batch& b) { b.positions = &numbers.position; });
  add("negative_position", [&](aioss_batch& b) { b.positions = &numbers.minus_one; });
  add("negative_sequence", [&](aioss_batch& b) { b.sequences = &numbers.minus_one; });
  add("sequence_beyond", [&](aioss_batch& b) { b.sequences = &numbers.sequence_beyond; });
  return out;
}

void check_bad_batches(Harness& harness, Recorder& recorder) {
  const aioss_engine& engine = harness.model().engine();
  const aioss_session_options options = harness.session_options();
  RawSession session(harness.model(), &options);
  if (session.get() == nullptr) return recorder.expect("abi.session", false, "cannot be created");
  BatchBuilder one;
  one.add(harness.token(0, 0), 0, 0, true);
  BadNumbers numbers;
  numbers.token_beyond = static_cast<std::int32_t>(harness.vocabulary_size());
  numbers.sequence_beyond = static_cast<std::int32_t>(options.sequences_max);
  for (const BadBatch& bad : bad_batches(one.view(), options, numbers)) {
    aioss_error error = {};
    const aioss_status status = engine.decode(session.get(), &bad.batch, &error);
    recorder.expect(std::string("abi.bad_batch.") + bad.name,
                    status == AIOSS_E_INVALID && is_zero_terminated(error),
                    describe(status, error));
  }
  aioss_error error = {};
  recorder.expect("abi.bad_batch.null", engine.decode(session.get(), nullptr, &error) != AIOSS_OK,
                  "");
  BatchBuilder many;
  for (std::uint32_t i = 0; i <= options.outputs_max; ++i) {
    many.add(harness.token(0, i), static_cast<std::int32_t>(i), 0, true);
  }
  const aioss_batch batch = many.view();
  aioss_status status = engine.decode(session.get(), &batch, &error);
  recorder.expect("abi.too_many_outputs", status == AIOSS_E_INVALID, describe(status, error));
  // None of the above may have left a trace.
  const aioss_batch good = one.view();
  status = engine.decode(session.get(), &good, nullptr);
  recorder.expect("abi.goes_on_after_bad_batches", status == AIOSS_OK, "");
  recorder.expect("abi.logits_range",
                  engine.logits(session.get(), 0) != nullptr &&
                      engine.logits(session.get(), 1) == nullptr &&
                      engine.logits(session.get(), 0xFFFFFFFFu) == nullptr,
                  "one output, number 0");
}

void check_bad_sequences(Harness& harness, Recorder& recorder) {
  const aioss_engine& engine = harness.model().engine();
  const aioss_session_options options = harness.session_options();
  RawSession session(harness.model(), &options);
  if (session.get() == nullptr) return;
  const auto beyond = static_cast<std::int32_t>(options.sequences_max);
  std::size_t size = 0;
  std::uint8_t byte = 0;
  const auto refuses = [&](const char* name, aioss_status status) {
    recorder.expect(std::string("abi.bad_sequence.") + name, status == AIOSS_E_INVALID,
                    std::string(status_name(status)));
  };
  for (const std::int32_t sequence : {-1, beyond, 0x7FFFFFFF}) {
    const std::string suffix = "_" + std::to_string(sequence);
    const auto name = [&](const char* call) { return call + suffix; };
    refuses(name("remove").c_str(),
            engine.sequence_remove(session.get(), sequence, 0, -1, nullptr));
    refuses(name("copy_from").c_str(), engine.sequence_copy(session.get(), sequence, 1, nullptr));
    refuses(name("copy_to").c_str(), engine.sequence_copy(session.get(), 0, sequence, nullptr));
    refuses(name("size").c_str(),
            engine.sequence_state_size(session.get(), sequence, &size, nullptr));
    refuses(name("load").c_str(), engine.sequence_load(session.get(), sequence, &byte, 1, nullptr));
  }
  refuses("range", engine.sequence_remove(session.get(), 0, 5, 3, nullptr));
  refuses("copy_to_itself", engine.sequence_copy(session.get(), 0, 0, nullptr));
  size = 1;
  refuses("save_without_room", engine.sequence_save(session.get(), 0, &byte, &size, nullptr));
  refuses("load_garbage", engine.sequence_load(session.get(), 0, &byte, 1, nullptr));
  recorder.expect("abi.remove_from_empty",
                  engine.sequence_remove(session.get(), 0, 0, -1, nullptr) == AIOSS_OK, "");
}

void check_bad_options(Harness& harness, Recorder& recorder) {
  const auto refuses = [&](const char* name, auto change) {
    aioss_session_options options = harness.session_options();
    change(options);
    const RawSession session(harness.model(), &options);
    recorder.expect(std::string("abi.bad_options.") + name,
                    session.status() == AIOSS_E_INVALID && session.get() == nullptr,
                    std::string(status_name(session.status())));
  };
  refuses("no_size", [](auto& o) { o.struct_size = 0; });
  refuses("no_sequences", [](auto& o) { o.sequences_max = 0; });
  refuses("absurd_sequences", [](auto& o) { o.sequences_max = 0xFFFFFFFFu; });
  refuses("no_cells", [](auto& o) { o.cells_per_sequence = 0; });
  refuses("absurd_cells", [](auto& o) { o.cells_per_sequence = 0xFFFFFFFFu; });
  // Each is allowed; together they are 2^32 cells, which are none in 32 bits.
  refuses("absurd_product", [](auto& o) {
    o.sequences_max = AIOSS_SEQUENCES_MAX;
    o.cells_per_sequence = AIOSS_CELLS_PER_SEQUENCE_MAX;
  });
  refuses("no_batch", [](auto& o) { o.batch_tokens_max = 0; });
  refuses("absurd_outputs", [](auto& o) { o.outputs_max = 0xFFFFFFFFu; });
  refuses("absurd_threads", [](auto& o) { o.threads = 0xFFFFFFFFu; });
  refuses("unknown_flash_attention", [](auto& o) { o.flash_attention = 99; });
  refuses("unknown_flag", [](auto& o) { o.flags = 0x80000000u; });
  const RawSession none(harness.model(), nullptr);
  recorder.expect("abi.bad_options.null", none.status() != AIOSS_OK, "");
}

}  // namespace

void check_identity(const aioss_engine& engine, Recorder& recorder) {
  const Status table = validate(engine, AIOSS_PROFILE_FAST);
  recorder.expect("abi.table", table.has_value(), table ? "" : table.error().message);
  const Identity who = identity(engine);
  recorder.expect("abi.identity",
                  !who.name.empty() && !who.version.empty() && !who.build_id.empty(),
                  who.name + " " + who.version + " " + who.build_id);
  recorder.expect("abi.version", who.abi_version == AIOSS_ENGINE_ABI_VERSION,
                  std::to_string(who.abi_version));
  // Of no device the driver begins: others than those that are checked may be broken.
  const auto all = devices(engine, DeviceDetail::kNames);
  recorder.expect("abi.devices", all.has_value() && !all->empty(),
                  all ? std::to_string(all->size()) + " devices" : all.error().message);
  aioss_device beyond = {};
  beyond.struct_size = sizeof beyond;
  recorder.expect("abi.device_beyond",
                  engine.device(engine.device_count(), &beyond, nullptr) == AIOSS_E_INVALID, "");
  // A host that knows only the first fields: the engine must not write behind them.
  struct {
    aioss_engine_identity known;
    std::uint8_t after[16];
  } small = {};
  std::memset(&small, 0x5A, sizeof small);
  small.known.struct_size = offsetof(aioss_engine_identity, version);
  engine.identity(&small.known);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&small);
  bool untouched = true;
  for (std::size_t i = offsetof(aioss_engine_identity, version); i < sizeof small; ++i) {
    untouched = untouched && bytes[i] == 0x5A;
  }
  recorder.expect("abi.writes_only_what_fits", untouched, "");
  aioss_device named = {};
  named.struct_size = offsetof(aioss_device, bytes_total);
  const std::uint64_t sentinel = 0x5A5A'5A5A'5A5A'5A5A;
  named.bytes_total = named.bytes_free = sentinel;
  const aioss_status status = engine.device(0, &named, nullptr);
  recorder.expect("abi.device_without_memory",
                  status == AIOSS_OK && named.bytes_total == sentinel &&
                      named.bytes_free == sentinel &&
                      named.struct_size <= offsetof(aioss_device, bytes_total),
                  "");
}

void check_bad_models(const aioss_engine& engine, Recorder& recorder) {
  const auto refuses = [&](const char* name, const aioss_model_options* options) {
    aioss_model* model = nullptr;
    aioss_error error = {};
    const aioss_status status = engine.model_open(options, &model, &error);
    recorder.expect(std::string("abi.bad_model.") + name,
                    status != AIOSS_OK && model == nullptr && is_zero_terminated(error),
                    describe(status, error));
    if (model != nullptr) engine.model_close(model);
  };
  const int closed = -1;
  aioss_model_options options = {};
  options.struct_size = sizeof options;
  refuses("no_fd", &options);
  refuses("null", nullptr);
  options.fds = &closed;
  options.fd_count = 1;
  refuses("closed_fd", &options);
  auto sockets = os::socket_pair();
  if (sockets) {
    const int socket = sockets->first.get();
    options.fds = &socket;
    refuses("not_a_file", &options);
    options.fds = &closed;
  }
  options.profile = 99;
  refuses("unknown_profile", &options);
}

void check_struct_sizes(Harness& harness, Recorder& recorder) {
  const aioss_engine& engine = harness.model().engine();
  // A newer host: fields at the end that this engine does not know.
  struct {
    aioss_session_options known;
    std::uint64_t unknown[4];
  } large = {harness.session_options(), {~0ull, ~0ull, ~0ull, ~0ull}};
  large.known.struct_size = sizeof large;
  const RawSession newer(harness.model(), &large.known);
  recorder.expect("abi.larger_options", newer.status() == AIOSS_OK, "");
  // An older host: what it does not know is zero.
  aioss_session_options small = harness.session_options();
  small.struct_size = offsetof(aioss_session_options, threads);
  small.flags = 0xFFFFFFFFu;
  small.threads = 0xFFFFFFFFu;
  small.flash_attention = 0xFFFFFFFFu;
  const RawSession older(harness.model(), &small);
  recorder.expect("abi.smaller_options", older.status() == AIOSS_OK, "");
  aioss_model_facts facts = {};
  facts.struct_size = offsetof(aioss_model_facts, embedding_size);
  engine.model_facts(harness.model().handle(), &facts);
  recorder.expect("abi.smaller_facts",
                  facts.vocabulary_size == harness.vocabulary_size() && facts.embedding_size == 0,
                  "");
  aioss_model_options cancelled = {};
  cancelled.struct_size = sizeof cancelled;
  cancelled.profile = static_cast<std::uint32_t>(harness.profile());
  cancelled.fds = harness.options().fds.data();
  cancelled.fd_count = static_cast<std::uint32_t>(harness.options().fds.size());
  cancelled.progress = refuse_progress;
  aioss_model* model = nullptr;
  aioss_error error = {};
  const aioss_status status = engine.model_open(&cancelled, &model, &error);
  recorder.expect("abi.load_can_be_cancelled", status == AIOSS_E_ABORTED && model == nullptr,
                  describe(status, error));
  if (model != nullptr) engine.model_close(model);
}

// Devices that there are not, or the same one twice.
void check_bad_placement(Harness& harness, Recorder& recorder) {
  const aioss_engine& engine = harness.model().engine();
  const std::uint32_t beyond[] = {engine.device_count()};
  const std::uint32_t twice[] = {0, 0};
  const auto refuses = [&](const char* name, std::span<const std::uint32_t> devices) {
    aioss_model_options options = {};
    options.struct_size = sizeof options;
    options.profile = static_cast<std::uint32_t>(harness.profile());
    options.fds = harness.options().fds.data();
    options.fd_count = static_cast<std::uint32_t>(harness.options().fds.size());
    options.flags = AIOSS_MODEL_DRY_RUN;
    options.devices = devices.data();
    options.device_count = static_cast<std::uint32_t>(devices.size());
    options.gpu_layers = -1;
    aioss_model* model = nullptr;
    aioss_error error = {};
    const aioss_status status = engine.model_open(&options, &model, &error);
    recorder.expect(std::string("abi.bad_placement.") + name,
                    status == AIOSS_E_INVALID && model == nullptr && is_zero_terminated(error),
                    describe(status, error));
    if (model != nullptr) engine.model_close(model);
  };
  refuses("device_beyond", beyond);
  refuses("device_twice", twice);
}

void check_arguments(Harness& harness, Recorder& recorder) {
  check_bad_batches(harness, recorder);
  check_bad_sequences(harness, recorder);
  check_bad_options(harness, recorder);
  check_bad_placement(harness, recorder);
}

}  // namespace aioss::engine::conformance
