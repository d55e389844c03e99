// Record types of the `.aioss` ledger and the keys of their bodies. The format, byte by byte, is in
// docs/formats/ledger.md; this header and that document must say the same. Constants and values
// only.
//
// A body is a canonical CBOR map. Keys 0–3 are set by the ledger, 4–6 by whoever has something to
// say there, a type's own keys start at 16. An absent key is absent, never null. Floats are stored
// as their IEEE-754 bits (codec::Value::float_bits). No key ever holds text of a prompt or of an
// output.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "codec/cbor.h"

namespace aioss::ledger {

enum class RecordType : std::uint16_t {
  kGenesis = 1,
  kSegmentOpen = 2,
  kSegmentSeal = 3,
  kCheckpoint = 4,
  kKeyRotate = 5,
  kRecovery = 6,
  kAnchor = 7,
  kClock = 8,
  kEngineStart = 10,
  kEngineStop = 11,
  kModelLoad = 12,
  kModelUnload = 13,
  kConfigChange = 14,
  kUpdate = 15,
  kSelfTest = 16,
  kInferRequest = 20,
  kInferResult = 21,
  kInferAbort = 22,
  kInferPart = 23,
  kToolCall = 24,
  kToolResult = 25,
  kRetrieval = 26,
  kEmbed = 27,
  kDecision = 30,
  kHumanReview = 31,
  kIncident = 32,
  kAuth = 40,
  kAdminAction = 41,
  kAccess = 42,
  kRedact = 50,
  kRetentionDrop = 51,
  kLegalHold = 52,
  kReplayResult = 60,
};
std::optional<std::string_view> name(RecordType type);  // "GENESIS", …; nothing if unknown
// All of them, in order of their numbers.
std::span<const std::pair<RecordType, std::string_view>> record_types();

// Types from here on are for others' use: their bytes are verified, their meaning is not known to
// us.
inline constexpr std::uint16_t kFirstPrivateType = 0x8000;

namespace key {

// Common to every body.
inline constexpr std::uint64_t
    kWallNs = 0,       // uint: the ledger's clock when the record was chained; since 1970 UTC
    kMonotonicNs = 1,  // uint: never goes back within one instance
    kBootId = 2,       // bytes[16]: of the kernel; absent where there is none
    kInstanceId = 3,   // bytes[16]: random, one for each opening of the ledger
    kActor = 4,        // map, keys in `actor`: on whose behalf
    kRequestId = 5,    // text: "req_…"
    kRefIndex = 6;     // uint: index of the record that this one answers
inline constexpr std::uint64_t kOwnFirst = 16;

namespace actor {
inline constexpr std::uint64_t kKind = 0,  // uint, ActorKind
    kName = 1,  // text: subject id (ledger/format/subject.h), or "local"; absent if it is not known
    kSource = 2,   // text: "local", "key:<id>", "unix"
    kTenant = 3,   // text
    kSubject = 4;  // text: subject id, where the name is "local"
}  // namespace actor

namespace genesis {
inline constexpr std::uint64_t kOrigin = 16,  // text: the ledger's name in checkpoints
    kPublicKey = 17,                          // bytes[32]: Ed25519
    kFormatVersion = 18,                      // uint: ver_major · 65536 + ver_minor
    kProductVersion = 19;                     // text: of the program that made it
}  // namespace genesis

namespace segment_open {
inline constexpr std::uint64_t kHeaderHash =
    16;  // bytes[32]: SHA3-256 of the 128 bytes of this segment's header
}  // namespace segment_open

namespace segment_seal {
inline constexpr std::uint64_t kSegmentRecords =
                                   16,  // uint: records of this segment before the seal
    kFileBytes = 17,                    // uint: bytes of the file before the seal's frame
    kTreeSize = 18,    // uint: records of the ledger before the seal = index of the seal
    kRoot = 19,        // bytes[32]: of the tree over them
    kFrontier = 20,    // bytes[32·n]: roots of its full subtrees, largest first
    kOldestOpen = 21;  // uint: oldest INFER_REQUEST without an end; absent if there is none
}  // namespace segment_seal

namespace recovery {
inline constexpr std::uint64_t kSegment = 16,  // uint: number of the segment that was cut
    kOffset = 17,                              // uint: of the first byte taken away
    kBytes = 18,                               // uint: how many
    kQuarantineHash = 19,  // bytes[32]: SHA3-256 of them; they are kept in quarantine/
    kCause = 20,           // text: "torn_tail", "torn_segment", "interrupted_recovery", "restored"
    kBackupSize = 21,      // uint: of the checkpoint of the backup; 21, 22 with "restored" only
    kBackupRoot = 22;      // bytes[32]: likewise. "restored" has no 16-19: nothing was cut
}  // namespace recovery

namespace key_rotate {
inline constexpr std::uint64_t kOldKey = 16,  // bytes[32]: Ed25519, in force so far
    kNewKey = 17,                             // bytes[32]: in force behind this record
    kOldSignature = 18,                       // bytes[64]: by the old key
    kNewSignature = 19,                       // bytes[64]: by the new key, over the same
    kReason = 20,                             // text
    kApprovals = 21,                          // array of text; absent without dual control
    kRoot = 22;                               // bytes[32]: of the tree over the records before
}  // namespace key_rotate

namespace anchor {
inline constexpr std::uint64_t kKind = 16,  // uint, AnchorKind
    kOrigin = 17,                           // text: whose checkpoint
    kSize = 18,                             // uint: of the checkpoint
    kRoot = 19,                             // bytes[32]: of the checkpoint
    kWitness = 20,                          // text: name of the witness, or of the medium
    kCosignature = 21,                      // text: the cosignature's line; absent for kGivenOut
    kTime = 22;  // uint: of the cosignature, seconds; absent for kGivenOut
}  // namespace anchor

namespace clock {
inline constexpr std::uint64_t kJumpNs = 16,  // integer: wall time minus the expected one
    kExpectedWallNs = 17,  // uint: the wall time there would be had it run like the monotonic one
    kSource = 18;          // text: a name in `clock_source`
}  // namespace clock

namespace engine_start {
inline constexpr std::uint64_t kName = 16,  // text: "llama", "fake"
    kVersion = 17,                          // text
    kBuildId = 18,                          // text
    kCompiler = 19,                         // text
    kCpuFeatures = 20,                      // text: as the engine was built and found them
    kBinarySha3 = 21,                       // bytes[32]: SHA3-256 of the executable
    kProductVersion = 22,                   // text
    kCpuModel = 23,                         // text
    kProfile = 24,                          // text: "fast", "reproducible", "evidence"
    kConfinement = 25,                      // text: what confines the worker
    kFileSha256 = 26;  // bytes[32]: of a plugin's file; absent if the engine is in the executable
}  // namespace engine_start

namespace engine_stop {
inline constexpr std::uint64_t kReason =
    16;  // text: a name in `unload_reason`. kRefIndex = its ENGINE_START
}  // namespace engine_stop

namespace model_load {
inline constexpr std::uint64_t kName = 16,  // text: in the catalogue
    kSha256 = 17,                           // bytes[32]: of the file
    kHashSource = 18,                       // uint, HashSource
    kFileBytes = 19,                        // uint
    kArchitecture = 20,                     // text
    kChatTemplateSha3 = 21,                 // bytes[32]; absent without a template
    kProfile = 22,                          // text
    kStreams = 23,                          // uint
    kCellsPerStream = 24,                   // uint
    kThreads = 25,                          // uint
    kEngineStartRef = 26,                   // uint: index of ENGINE_START
    kParameters = 27,                       // uint
    // uint: index of the MODEL_LOAD of the model that it changes: an adapter, which has 16 to 19
    // and kRank beside it, and nothing else.
    kAdapterOf = 28,
                               kRank = 29,  // uint: of an adapter
    kDevice =
        30,  // text: where layers are: "cpu", or names of devices with commas, "cuda:0,cuda:1"
    kGpuLayers = 31,        // uint: how many of them; absent: all, or with "cpu" none
    kCpuExpertLayers = 32;  // uint: of so many, the first ones, experts are with the CPU; absent: 0
}  // namespace model_load

namespace model_unload {
inline constexpr std::uint64_t kReason =
    16;  // text: begins with a name in `unload_reason`. kRefIndex = its MODEL_LOAD
}  // namespace model_unload

namespace config_change {
inline constexpr std::uint64_t kCommitment = 16,  // bytes[32]: to the full effective configuration
    kChangedKeys = 17,  // array of text: names of the keys that changed, never their values
    kPreviousRef = 18,  // uint: index of the CONFIG_CHANGE before; absent on the first
    kReason = 19,       // text: why; absent on the first
    kSalt = 20;         // bytes[32]: of the commitment; who has the configuration can check it
}  // namespace config_change

namespace update {
inline constexpr std::uint64_t kBinaryBefore = 16,  // bytes[32]: SHA3-256 of the executable
    kBinaryNow = 17,                                // bytes[32]
    kVersionBefore = 18,                            // text: of the product
    kVersionNow = 19;                               // text
}  // namespace update

namespace infer_request {
inline constexpr std::uint64_t kModelRef = 16,  // uint: index of MODEL_LOAD
    kConfigRef = 17,                            // uint: index of CONFIG_CHANGE
    kEndpoint = 18,                             // text: "/v1/chat/completions", "cli"
    kPromptCommitment = 19,                     // bytes[32]
    kPromptBytes = 20,                          // uint: length of what was committed to
    kSeed = 21,                                 // uint: resolved
    kProfile = 22,                              // text
    kSampler = 23,                              // map, keys in `sampler`
    kChoices = 24,                              // uint
    kMaxTokens = 25,                            // uint; absent: the rest of the stream's cells
    kPromptTokens = 26,                         // uint; absent if not known yet
    kStopCount = 27,                            // uint: number of stop strings
    kStopCommitment = 28,                       // bytes[32]; absent without stop strings
    kStreaming = 29,                            // bool
    kPromptBlob = 30,       // bytes[32]: SHA3-256 of the sealed prompt; absent unless sealed
    kPromptBlobBytes = 31,  // uint: its size
    kAdapters = 32;         // array of maps, keys in `adapter`, in their order; absent if none
}  // namespace infer_request

namespace adapter {
inline constexpr std::uint64_t kSha256 = 0,  // bytes[32]: of the file
    kScale = 1,                              // float bits
    kName = 2,                               // text: in the catalogue
    kLoadRef = 3;                            // uint: index of its MODEL_LOAD
}  // namespace adapter

namespace sampler {
inline constexpr std::uint64_t kTemperature = 0,  // float bits; 0: greedy
    kTopK = 1,                                    // uint; 0: off
    kTopP = 2,                                    // float bits
    kMinP = 3,                                    // float bits
    kRepetitionPenalty = 4,                       // float bits
    kFrequencyPenalty = 5,                        // float bits
    kPresencePenalty = 6,                         // float bits
    kPenaltyWindow = 7,                           // uint
    kLogitBias = 8,     // array of uint, in pairs: token, float bits; absent if empty
    kIgnoreEos = 9,     // bool
    kTopLogprobs = 10;  // uint; absent: none asked for
}  // namespace sampler

namespace infer_result {                            // kRefIndex = its INFER_REQUEST
inline constexpr std::uint64_t kPromptTokens = 16,  // uint
    kChoices = 17;  // array of maps, keys in `choice`, in order of the choices
}  // namespace infer_result

namespace choice {
inline constexpr std::uint64_t kOutputCommitment = 0,  // bytes[32]
    kOutputBytes = 1,                                  // uint
    kCompletionTokens = 2,                             // uint
    kFinishReason = 3,                                 // text: "stop", "length"
    kQueueNs = 4,                                      // uint
    kPrefillNs = 5,                                    // uint
    kDecodeNs = 6,                                     // uint
    kOutputBlob = 7,       // bytes[32]: SHA3-256 of the sealed output; absent unless sealed
    kOutputBlobBytes = 8;  // uint: its size
}  // namespace choice

namespace infer_abort {  // kRefIndex = its INFER_REQUEST
inline constexpr std::uint64_t
    kCause = 16,        // text: a name in `abort_cause`, or the stable name of a base::Code
    kTokensSoFar = 17;  // uint: completion tokens of all choices; absent if not known
}  // namespace infer_abort

namespace decision {                        // of one second, one kind, outcome, reason and model
inline constexpr std::uint64_t kKind = 16,  // text: a name in `decision_kind`
    kOutcome = 17,                          // text: a name in `decision_outcome`
    kReason = 18,                           // text: the stable name of a base::Code, or a word
    kCount = 19,                            // uint: how many
    kModel = 20,                            // text: name in the catalogue; absent if there is none
    kFirstWallNs = 21,                      // uint: of the first of them
    kLastWallNs = 22,                       // uint: of the last of them
    kDetails = 23;  // array of text: of an eviction the candidates, best first; absent if none
}  // namespace decision

namespace human_review {
inline constexpr std::uint64_t kVerdict = 16,  // text: a name in `review_verdict`
    kCommentCommitment = 17,                   // bytes[32]; absent without a comment
    kCommentBytes = 18;                        // uint; absent without a comment
}  // namespace human_review

namespace auth {
inline constexpr std::uint64_t kReason = 16,  // text: a name in `auth_reason`
    kCount = 17,                              // uint: how many were refused
    kFirstWallNs = 18,                        // uint: when the first of them was
    kLastWallNs = 19;                         // uint: when the last of them was
}  // namespace auth

namespace admin_action {
inline constexpr std::uint64_t kAction = 16,  // text: a name in `admin_action_name`, or another
    kOutcome = 17,                            // text: "done", "ordered", or the name of a Code
    kDetails = 18,                            // array of text
    kApprovals = 19;                          // array of text; absent without dual control
}  // namespace admin_action

namespace access {
inline constexpr std::uint64_t kWhat = 16,  // text: "open", "export", "receipt"
    kFirstIndex = 17,                       // uint: of a range; absent for one record
    kAfterIndex = 18;                       // uint: behind its last record
}  // namespace access

namespace redact {
inline constexpr std::uint64_t kSubject = 16,  // text: subject id
    kGround = 17,                              // text: why
    kMethod = 18,                              // text: how
    kBlobs = 19,                               // uint: destroyed
    kApprovals = 20;                           // array of text; absent without dual control
}  // namespace redact

namespace retention_drop {
inline constexpr std::uint64_t kFirstIndex = 16,  // uint
    kAfterIndex = 17,                             // uint
    kSegments = 18,                               // uint
    kGround = 19;                                 // text
}  // namespace retention_drop

namespace legal_hold {
inline constexpr std::uint64_t kSubject = 16,  // text: subject id, or "*"
    kOn = 17,                                  // bool
    kCase = 18;                                // text
}  // namespace legal_hold

}  // namespace key

enum class ActorKind : std::uint8_t { kProgram = 0, kUser = 1, kOperator = 2, kAuditor = 3 };

// How a model's SHA-256 was obtained. All but the second were read from the disk at the time of a
// load.
enum class HashSource : std::uint8_t {
  kComputed = 0,  // for this load, or for another under way over an equal file
  kCached = 1,    // by an earlier load; equal: device, inode, size and modification time
  kSealed = 2,  // for this load, over the very bytes that the worker got: a sealed copy, or a file
                // with fs-verity
};

namespace abort_cause {
inline constexpr std::string_view kCancelled = "cancelled", kWorkerDied = "worker_died",
                                  kCrash = "crash",  // the gateway ended without writing an end
    kShutdown = "shutdown", kRejected = "rejected", kTimeout = "timeout",
                                  kEngineFailed = "engine_failed";
}  // namespace abort_cause

enum class AnchorKind : std::uint8_t {
  kCosigned = 0,   // a witness cosigned a checkpoint of this ledger
  kGivenOut = 1,   // a checkpoint of this ledger was given out on a medium
  kWitnessed = 2,  // this ledger's owner, as a witness, cosigned another ledger's checkpoint
};

namespace unload_reason {  // of MODEL_UNLOAD and ENGINE_STOP
inline constexpr std::string_view kShutdown = "shutdown",
                                  kReplaced = "replaced",  // another model needed its place
    kPressure = "pressure",                                // the machine was short of memory
    kExpired = "expired",                                  // its time after its last use is over
    kUnpinned = "unpinned",       // that was over before, but it was pinned
    kByOrder = "by_order",        // an operator wanted it to go
    kRemoved = "removed",         // its file left the models folder
    kNewFile = "new_file",        // another file or other settings took its place
    kChanged = "changed",         // its file was written to while loaded
    kLoadFailed = "load_failed",  // after its MODEL_LOAD was written
    kUnhealthy = "unhealthy",     // it was killed because it did not do what it must; why follows
    kWorkerDied = "worker_died",  // ": " and how it ended follow
    kCrash = "crash";             // the gateway ended without writing it
}  // namespace unload_reason

namespace clock_source {
inline constexpr std::string_view kRunning = "running",  // seen between two groups of one instance
    kOpening = "opening";  // the wall clock was behind the last record when the ledger was opened
}  // namespace clock_source

namespace decision_kind {
inline constexpr std::string_view kAdmission =
                                      "admission",  // a known caller's request was not taken
    kRouting = "routing",             // which worker got a request, where there was a choice
    kEviction = "eviction",           // a model had to make room
    kBudget = "budget",               // a tenant was over its budget of records
    kLoad = "load",                   // a model was to be loaded
    kReplacement = "replacement",     // another file or other settings were to take a model's place
    kEngineSwitch = "engine_switch",  // another engine was to compute a model
    kTuning = "tuning",               // it was measured how a model is computed fastest
    kDevice = "device";               // a GPU failed, and is used no more
}  // namespace decision_kind

namespace decision_outcome {
inline constexpr std::string_view kRefused = "refused", kChosen = "chosen", kUnloaded = "unloaded",
                                  kFailed = "failed",
                                  kParked = "parked",  // it keeps its weights and nothing else
    kWoken = "woken",                                  // and it was taken back from there
    kGivenBack = "given_back";                         // what had failed was not at fault
}  // namespace decision_outcome

namespace replacement_reason {                         // of a DECISION `replacement` `chosen`
inline constexpr std::string_view kBeside = "beside",  // the old one served until the new one could
    kInTurn = "in_turn";  // there was no room for both: the old one had to go first
}  // namespace replacement_reason

namespace tuning_reason {                              // of a DECISION `tuning` `chosen`
inline constexpr std::string_view kFaster = "faster",  // another way to compute it
    kKept = "kept",                                    // as without tuning
    kStored = "stored",  // measured before this server's start, and in force with its first load
    kTakenBack = "taken_back";  // what had been chosen failed, and is not used any more
}  // namespace tuning_reason

namespace engine_switch_reason {  // of a DECISION `engine_switch` `chosen`; the details say whence
inline constexpr std::string_view kOrdered = "ordered", kPinned = "pinned",
                                  kCanaryPassed = "canary_passed",
                                  kTakenInTurn = "in_turn",  // loaded alone, without a canary
    kRolledBack = "rolled_back",                             // by itself: it failed or crashed
    kUnpinned = "unpinned",                                  // by an order, or one to roll back
    kMoved = "engine_switch";  // of a DECISION `routing`: a request went on with another engine
}  // namespace engine_switch_reason

namespace review_verdict {
inline constexpr std::string_view kApproved = "approved", kRejected = "rejected",
                                  kOverridden = "overridden", kEscalated = "escalated";
}  // namespace review_verdict

namespace auth_reason {
inline constexpr std::string_view kNoKey = "no_key",  // a key is needed, and there was none
    kUnknownKey = "unknown_key",                      // one that the key file does not know
    kRole = "role",                                   // a known caller who may not do this
    kOrigin = "origin";                               // brought by a web page of another origin
}  // namespace auth_reason

namespace admin_action_name {
inline constexpr std::string_view kKeysChanged = "keys_changed", kRescan = "rescan",
                                  kRequestErase = "request_erase",
                                  kRequestRotate = "request_rotate", kApprove = "approve",
                                  kBackup = "backup", kRestore = "restore";
// Of models: the details name which.
inline constexpr std::string_view kLoad = "load", kUnload = "unload", kPin = "pin",
                                  kUnpin = "unpin";
// Of their engines, likewise.
inline constexpr std::string_view kEngineSwitch = "engine_switch", kEnginePin = "engine_pin",
                                  kEngineUnpin = "engine_unpin",
                                  kEngineRollback = "engine_rollback",
                                  kEnginesChanged = "engines_changed";
}  // namespace admin_action_name

namespace admin_action_outcome {
inline constexpr std::string_view kOrdered = "ordered";  // a DECISION says what became of it
}  // namespace admin_action_outcome

struct Record {  // as read back
  std::uint64_t index = 0;
  RecordType type{};
  std::uint16_t flags = 0;
  Digest leaf{}, chain{};
  codec::Map body;
};

}  // namespace aioss::ledger
