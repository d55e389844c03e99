// What the runtime writes into the ledger: bodies of records, made from runtime types. No text of a
// prompt or an output is in any of them, only salted commitments; what exactly is committed to is
// defined in docs/formats/commitments.md and built here. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/cbor.h"
#include "ipc/messages.h"
#include "ledger/format/commitment.h"
#include "ledger/reading/blob.h"
#include "ledger/writing/ledger.h"
#include "runtime/calls/adapter_wish.h"
#include "runtime/calls/generate_call.h"
#include "runtime/calls/principal.h"
#include "runtime/calls/stream.h"
#include "runtime/catalogue/hasher.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime::records {

// Canonical CBOR of a prompt: a map of 0 (kind: 0 text, 1 chat, 2 tokens) and 1 (the text; an array
// of messages {0 role, 1 content, 2 name, absent if ""}; an array of token ids). Texts are byte
// strings.
Bytes canonical_prompt(const ipc::Prompt& prompt);
// Canonical CBOR of the stop strings: an array of byte strings, in the order given.
Bytes canonical_stops(const std::vector<std::string>& stops);
// The effective configuration as "name=value\n" lines, sorted by name, with \n and \\ escaped.
struct Configuration {
  std::string text;
  std::vector<std::string> keys;
};
Configuration canonical_configuration(const GatewayOptions& options);

// Nobody's name but `local` is in it: `principal.subject` stands for the person, and if it is
// empty, nothing does.
codec::Map actor(const Principal& principal);

struct Request {
  const GenerateCall& call;
  std::string request_id;
  ipc::Profile profile = ipc::Profile::kFast;
  std::uint64_t model_ref = 0, config_ref = 0;
  Digest prompt_commitment{};
  std::uint64_t prompt_bytes = 0;
  std::optional<Digest> stop_commitment;
  std::span<const LoadedAdapter> adapters = {};
};
codec::Map infer_request(const Request& request);
// Names the sealed prompt.
void add_prompt_blob(codec::Map& infer_request, const ledger::BlobName& blob);

struct Choice {
  Digest output_commitment{};
  std::uint64_t output_bytes = 0;
  std::uint32_t completion_tokens = 0;
  ipc::FinishReason reason = ipc::FinishReason::kStop;
  ipc::Timings timings;
  std::optional<ledger::BlobName> blob = {};  // of the sealed output
};
// `owner` if outputs are sealed: then the record says itself whose they are.
codec::Map infer_result(const std::string& request_id, std::uint64_t request_ref,
                        std::uint32_t prompt_tokens, const std::vector<Choice>& choices,
                        const Principal* owner = nullptr);

// Without `request_ref`: the request ended before it was handed to a worker, so no INFER_REQUEST
// stands in the ledger; the actor is then named here.
struct Abort {
  const GenerateCall& call;
  std::string request_id;
  std::optional<std::uint64_t> request_ref;
  Error error;
  std::optional<std::uint64_t> tokens_so_far;
};
codec::Map infer_abort(const Abort& abort);

struct EngineStart {
  ipc::EngineFacts engine;
  ipc::Profile profile = ipc::Profile::kFast;
  Digest binary_sha3{};
  std::string cpu_model, confinement;
  Digest engine_sha256{};  // of the engine's file; zeros: it is part of the executable
};
codec::Map engine_start(const EngineStart& start);

// Where layers of a model are, as ipc::Configure has it.
struct Placement {
  std::string device = "cpu";
  ipc::Layers layers = {};
};

struct ModelLoad {
  const std::string& name;
  const ipc::Ready& ready;
  const ModelHash& hash;
  std::uint64_t file_bytes = 0;
  std::uint64_t engine_ref = 0;
  const Placement& placement;
};
codec::Map model_load(const ModelLoad& load);

// Of an adapter, for the model of the record `model_ref`.
struct AdapterLoad {
  std::string name;
  Digest sha256{};  // of the very bytes that the worker got
  std::uint64_t file_bytes = 0;
  std::uint32_t rank = 0;
  std::uint64_t model_ref = 0;
};
codec::Map adapter_load(const AdapterLoad& load);

// ENGINE_STOP and MODEL_UNLOAD: why, and the record that they end.
codec::Map engine_stop(std::uint64_t start_ref, std::string_view reason);
codec::Map model_unload(std::uint64_t load_ref, std::string_view reason);

// The first of an instance has neither `previous_ref` nor a reason.
struct ConfigChange {
  ledger::Commitment commitment;  // to all of the effective configuration
  std::vector<std::string> keys;
  std::optional<std::uint64_t> previous_ref;
  std::string reason;
};
codec::Map config_change(const ConfigChange& change);

// How many of a kind there were in a second or so, and when. Wall clock, nanoseconds.
struct Counted {
  std::uint64_t count = 0;
  std::int64_t first_wall_ns = 0, last_wall_ns = 0;
};
// `reason`: a name in ledger::auth_reason.
codec::Map auth(std::string_view reason, const Counted& counted);

inline constexpr std::size_t kDecisionDetailsMax = 32;
struct Decision {
  std::string kind, outcome;  // names in ledger::decision_kind, ledger::decision_outcome
  std::string reason;         // the stable name of a Code, or a word; never a caller's text
  std::string model;          // of the catalogue; "": none
  std::string tenant;         // whose budget it was; "": of no one tenant
  // Why: of an eviction the candidates, best first (memory/eviction.h). Beyond kDecisionDetailsMax
  // they are left out.
  std::vector<std::string> details = {};
  auto operator<=>(const Decision&) const = default;
};
codec::Map decision(const Decision& decision, const Counted& counted);

codec::Map update(const ledger::Program& before, const Digest& binary_sha3);

struct AdminAction {
  std::string action;   // a name in ledger::admin_action_name
  std::string outcome;  // "done", "ordered", or the name of a Code
  std::optional<Principal> by;
  std::optional<std::uint64_t> ref;  // of the record that goes with it
};
// As many records as the details need: of each at most kDetailsMax, in order.
inline constexpr std::size_t kDetailsMax = 256;
std::vector<codec::Map> admin_action(const AdminAction& action,
                                     const std::vector<std::string>& details);

struct Review {
  Principal by;
  std::string request_id;      // "" if the reviewed record has none
  std::uint64_t reviewed = 0;  // index of that record
  std::string verdict;         // a name in ledger::review_verdict
  std::optional<Digest> comment_commitment;
  std::uint64_t comment_bytes = 0;
};
codec::Map human_review(const Review& review);

}  // namespace aioss::runtime::records
