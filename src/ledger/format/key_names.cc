#include "ledger/format/key_names.h"

#include <array>
#include <span>

namespace aioss::ledger {
namespace {

struct OwnName {
  constexpr OwnName(RecordType of, std::uint64_t key, std::string_view text, As as = As::kPlain,
                    bool in_line = false)
      : type(of), name{key, text, as, in_line} {}
  RecordType type;
  KeyName name;
};

constexpr OwnName kOwnNames[] = {
    {RecordType::kGenesis, key::genesis::kOrigin, "origin", As::kPlain, true},
    {RecordType::kGenesis, key::genesis::kPublicKey, "public_key"},
    {RecordType::kGenesis, key::genesis::kFormatVersion, "format_version"},
    {RecordType::kGenesis, key::genesis::kProductVersion, "product_version", As::kPlain, true},
    {RecordType::kSegmentOpen, key::segment_open::kHeaderHash, "header_sha3"},
    {RecordType::kSegmentSeal, key::segment_seal::kSegmentRecords, "segment_records", As::kPlain,
     true},
    {RecordType::kSegmentSeal, key::segment_seal::kFileBytes, "file_bytes"},
    {RecordType::kSegmentSeal, key::segment_seal::kTreeSize, "tree_size"},
    {RecordType::kSegmentSeal, key::segment_seal::kRoot, "root"},
    {RecordType::kSegmentSeal, key::segment_seal::kFrontier, "frontier"},
    {RecordType::kSegmentSeal, key::segment_seal::kOldestOpen, "oldest_open"},
    {RecordType::kRecovery, key::recovery::kSegment, "segment", As::kPlain, true},
    {RecordType::kRecovery, key::recovery::kOffset, "offset", As::kPlain, true},
    {RecordType::kRecovery, key::recovery::kBytes, "bytes", As::kPlain, true},
    {RecordType::kRecovery, key::recovery::kQuarantineHash, "quarantine_sha3"},
    {RecordType::kRecovery, key::recovery::kCause, "cause", As::kPlain, true},
    {RecordType::kRecovery, key::recovery::kBackupSize, "backup_size"},
    {RecordType::kRecovery, key::recovery::kBackupRoot, "backup_root"},
    {RecordType::kKeyRotate, key::key_rotate::kOldKey, "old_key"},
    {RecordType::kKeyRotate, key::key_rotate::kNewKey, "new_key"},
    {RecordType::kKeyRotate, key::key_rotate::kOldSignature, "old_signature"},
    {RecordType::kKeyRotate, key::key_rotate::kNewSignature, "new_signature"},
    {RecordType::kKeyRotate, key::key_rotate::kReason, "reason", As::kPlain, true},
    {RecordType::kKeyRotate, key::key_rotate::kApprovals, "approvals"},
    {RecordType::kKeyRotate, key::key_rotate::kRoot, "root"},
    {RecordType::kAnchor, key::anchor::kKind, "kind", As::kPlain, true},
    {RecordType::kAnchor, key::anchor::kOrigin, "origin", As::kPlain, true},
    {RecordType::kAnchor, key::anchor::kSize, "size", As::kPlain, true},
    {RecordType::kAnchor, key::anchor::kRoot, "root"},
    {RecordType::kAnchor, key::anchor::kWitness, "witness", As::kPlain, true},
    {RecordType::kAnchor, key::anchor::kCosignature, "cosignature"},
    {RecordType::kAnchor, key::anchor::kTime, "time"},
    {RecordType::kClock, key::clock::kJumpNs, "jump_ns", As::kPlain, true},
    {RecordType::kClock, key::clock::kExpectedWallNs, "expected_wall_ns"},
    {RecordType::kClock, key::clock::kSource, "source", As::kPlain, true},
    {RecordType::kEngineStart, key::engine_start::kName, "engine", As::kPlain, true},
    {RecordType::kEngineStart, key::engine_start::kVersion, "version", As::kPlain, true},
    {RecordType::kEngineStart, key::engine_start::kBuildId, "build_id"},
    {RecordType::kEngineStart, key::engine_start::kCompiler, "compiler"},
    {RecordType::kEngineStart, key::engine_start::kCpuFeatures, "cpu_features"},
    {RecordType::kEngineStart, key::engine_start::kBinarySha3, "binary_sha3"},
    {RecordType::kEngineStart, key::engine_start::kProductVersion, "product_version"},
    {RecordType::kEngineStart, key::engine_start::kCpuModel, "cpu_model"},
    {RecordType::kEngineStart, key::engine_start::kProfile, "profile", As::kPlain, true},
    {RecordType::kEngineStart, key::engine_start::kConfinement, "confinement"},
    {RecordType::kEngineStart, key::engine_start::kFileSha256, "file_sha256"},
    {RecordType::kEngineStop, key::engine_stop::kReason, "reason", As::kPlain, true},
    {RecordType::kModelLoad, key::model_load::kName, "model", As::kPlain, true},
    {RecordType::kModelLoad, key::model_load::kSha256, "sha256"},
    {RecordType::kModelLoad, key::model_load::kHashSource, "hash_source"},
    {RecordType::kModelLoad, key::model_load::kFileBytes, "file_bytes"},
    {RecordType::kModelLoad, key::model_load::kArchitecture, "architecture"},
    {RecordType::kModelLoad, key::model_load::kChatTemplateSha3, "chat_template_sha3"},
    {RecordType::kModelLoad, key::model_load::kProfile, "profile", As::kPlain, true},
    {RecordType::kModelLoad, key::model_load::kStreams, "streams"},
    {RecordType::kModelLoad, key::model_load::kCellsPerStream, "cells_per_stream"},
    {RecordType::kModelLoad, key::model_load::kThreads, "threads"},
    {RecordType::kModelLoad, key::model_load::kEngineStartRef, "engine_start"},
    {RecordType::kModelLoad, key::model_load::kParameters, "parameters"},
    {RecordType::kModelLoad, key::model_load::kAdapterOf, "adapter_of", As::kPlain, true},
    {RecordType::kModelLoad, key::model_load::kRank, "rank"},
    {RecordType::kModelLoad, key::model_load::kDevice, "device", As::kPlain, true},
    {RecordType::kModelLoad, key::model_load::kGpuLayers, "gpu_layers"},
    {RecordType::kModelLoad, key::model_load::kCpuExpertLayers, "cpu_expert_layers"},
    {RecordType::kModelUnload, key::model_unload::kReason, "reason", As::kPlain, true},
    {RecordType::kConfigChange, key::config_change::kCommitment, "commitment"},
    {RecordType::kConfigChange, key::config_change::kChangedKeys, "changed_keys"},
    {RecordType::kConfigChange, key::config_change::kPreviousRef, "previous"},
    {RecordType::kConfigChange, key::config_change::kReason, "reason", As::kPlain, true},
    {RecordType::kConfigChange, key::config_change::kSalt, "salt"},
    {RecordType::kUpdate, key::update::kBinaryBefore, "binary_before"},
    {RecordType::kUpdate, key::update::kBinaryNow, "binary_now"},
    {RecordType::kUpdate, key::update::kVersionBefore, "version_before", As::kPlain, true},
    {RecordType::kUpdate, key::update::kVersionNow, "version_now", As::kPlain, true},
    {RecordType::kInferRequest, key::infer_request::kModelRef, "model_load", As::kPlain, true},
    {RecordType::kInferRequest, key::infer_request::kConfigRef, "config"},
    {RecordType::kInferRequest, key::infer_request::kEndpoint, "endpoint", As::kPlain, true},
    {RecordType::kInferRequest, key::infer_request::kPromptCommitment, "prompt_commitment"},
    {RecordType::kInferRequest, key::infer_request::kPromptBytes, "prompt_bytes"},
    {RecordType::kInferRequest, key::infer_request::kSeed, "seed"},
    {RecordType::kInferRequest, key::infer_request::kProfile, "profile"},
    {RecordType::kInferRequest, key::infer_request::kSampler, "sampler", As::kSampler},
    {RecordType::kInferRequest, key::infer_request::kChoices, "choices"},
    {RecordType::kInferRequest, key::infer_request::kMaxTokens, "max_tokens"},
    {RecordType::kInferRequest, key::infer_request::kPromptTokens, "prompt_tokens", As::kPlain,
     true},
    {RecordType::kInferRequest, key::infer_request::kStopCount, "stop_count"},
    {RecordType::kInferRequest, key::infer_request::kStopCommitment, "stop_commitment"},
    {RecordType::kInferRequest, key::infer_request::kStreaming, "streaming"},
    {RecordType::kInferRequest, key::infer_request::kPromptBlob, "prompt_blob"},
    {RecordType::kInferRequest, key::infer_request::kPromptBlobBytes, "prompt_blob_bytes"},
    {RecordType::kInferRequest, key::infer_request::kAdapters, "adapters", As::kAdapters},
    {RecordType::kInferResult, key::infer_result::kPromptTokens, "prompt_tokens", As::kPlain, true},
    {RecordType::kInferResult, key::infer_result::kChoices, "choices", As::kChoices},
    {RecordType::kInferAbort, key::infer_abort::kCause, "cause", As::kPlain, true},
    {RecordType::kInferAbort, key::infer_abort::kTokensSoFar, "tokens_so_far", As::kPlain, true},
    {RecordType::kDecision, key::decision::kKind, "kind", As::kPlain, true},
    {RecordType::kDecision, key::decision::kOutcome, "outcome", As::kPlain, true},
    {RecordType::kDecision, key::decision::kReason, "reason", As::kPlain, true},
    {RecordType::kDecision, key::decision::kCount, "count", As::kPlain, true},
    {RecordType::kDecision, key::decision::kModel, "model", As::kPlain, true},
    {RecordType::kDecision, key::decision::kFirstWallNs, "first_wall_ns"},
    {RecordType::kDecision, key::decision::kLastWallNs, "last_wall_ns"},
    {RecordType::kDecision, key::decision::kDetails, "details", As::kPlain, true},
    {RecordType::kHumanReview, key::human_review::kVerdict, "verdict", As::kPlain, true},
    {RecordType::kHumanReview, key::human_review::kCommentCommitment, "comment_commitment"},
    {RecordType::kHumanReview, key::human_review::kCommentBytes, "comment_bytes"},
    {RecordType::kAuth, key::auth::kReason, "reason", As::kPlain, true},
    {RecordType::kAuth, key::auth::kCount, "count", As::kPlain, true},
    {RecordType::kAuth, key::auth::kFirstWallNs, "first_wall_ns"},
    {RecordType::kAuth, key::auth::kLastWallNs, "last_wall_ns"},
    {RecordType::kAdminAction, key::admin_action::kAction, "action", As::kPlain, true},
    {RecordType::kAdminAction, key::admin_action::kOutcome, "outcome", As::kPlain, true},
    {RecordType::kAdminAction, key::admin_action::kDetails, "details", As::kPlain, true},
    {RecordType::kAdminAction, key::admin_action::kApprovals, "approvals"},
    {RecordType::kAccess, key::access::kWhat, "what", As::kPlain, true},
    {RecordType::kAccess, key::access::kFirstIndex, "first", As::kPlain, true},
    {RecordType::kAccess, key::access::kAfterIndex, "after", As::kPlain, true},
    {RecordType::kRedact, key::redact::kSubject, "subject", As::kPlain, true},
    {RecordType::kRedact, key::redact::kGround, "ground", As::kPlain, true},
    {RecordType::kRedact, key::redact::kMethod, "method"},
    {RecordType::kRedact, key::redact::kBlobs, "blobs", As::kPlain, true},
    {RecordType::kRedact, key::redact::kApprovals, "approvals"},
    {RecordType::kRetentionDrop, key::retention_drop::kFirstIndex, "first", As::kPlain, true},
    {RecordType::kRetentionDrop, key::retention_drop::kAfterIndex, "after", As::kPlain, true},
    {RecordType::kRetentionDrop, key::retention_drop::kSegments, "segments", As::kPlain, true},
    {RecordType::kRetentionDrop, key::retention_drop::kGround, "ground", As::kPlain, true},
    {RecordType::kLegalHold, key::legal_hold::kSubject, "subject", As::kPlain, true},
    {RecordType::kLegalHold, key::legal_hold::kOn, "on", As::kPlain, true},
    {RecordType::kLegalHold, key::legal_hold::kCase, "case", As::kPlain, true},
};

constexpr auto kActorNames = std::to_array<KeyName>({
    {key::actor::kKind, "kind"},
    {key::actor::kName, "name"},
    {key::actor::kSource, "source"},
    {key::actor::kTenant, "tenant"},
    {key::actor::kSubject, "subject"},
});

constexpr auto kSamplerNames = std::to_array<KeyName>({
    {key::sampler::kTemperature, "temperature", As::kFloat},
    {key::sampler::kTopK, "top_k"},
    {key::sampler::kTopP, "top_p", As::kFloat},
    {key::sampler::kMinP, "min_p", As::kFloat},
    {key::sampler::kRepetitionPenalty, "repetition_penalty", As::kFloat},
    {key::sampler::kFrequencyPenalty, "frequency_penalty", As::kFloat},
    {key::sampler::kPresencePenalty, "presence_penalty", As::kFloat},
    {key::sampler::kPenaltyWindow, "penalty_window"},
    {key::sampler::kLogitBias, "logit_bias_bits"},
    {key::sampler::kIgnoreEos, "ignore_eos"},
    {key::sampler::kTopLogprobs, "top_logprobs"},
});

constexpr auto kAdapterNames = std::to_array<KeyName>({
    {key::adapter::kSha256, "sha256"},
    {key::adapter::kScale, "scale", As::kFloat},
    {key::adapter::kName, "adapter"},
    {key::adapter::kLoadRef, "load"},
});

constexpr auto kChoiceNames = std::to_array<KeyName>({
    {key::choice::kOutputCommitment, "output_commitment"},
    {key::choice::kOutputBytes, "output_bytes"},
    {key::choice::kCompletionTokens, "completion_tokens"},
    {key::choice::kFinishReason, "finish_reason"},
    {key::choice::kQueueNs, "queue_ns"},
    {key::choice::kPrefillNs, "prefill_ns"},
    {key::choice::kDecodeNs, "decode_ns"},
    {key::choice::kOutputBlob, "output_blob"},
    {key::choice::kOutputBlobBytes, "output_blob_bytes"},
});

constexpr auto kCommonNames = std::to_array<KeyName>({
    {key::kWallNs, "wall_ns"},
    {key::kMonotonicNs, "monotonic_ns"},
    {key::kBootId, "boot_id"},
    {key::kInstanceId, "instance_id"},
    {key::kActor, "actor", As::kActor},
    {key::kRequestId, "request_id", As::kPlain, true},
    {key::kRefIndex, "ref", As::kPlain, true},
});

const KeyName* find(std::span<const KeyName> names, std::uint64_t key) {
  for (const KeyName& name : names) {
    if (name.key == key) return &name;
  }
  return nullptr;
}

}  // namespace

const KeyName* key_name(RecordType type, std::uint64_t number) {
  if (number < key::kOwnFirst) return find(kCommonNames, number);
  for (const OwnName& own : kOwnNames) {
    if (own.type == type && own.name.key == number) return &own.name;
  }
  return nullptr;
}

const KeyName* inner_key_name(As map, std::uint64_t key) {
  switch (map) {
    case As::kActor:
      return find(kActorNames, key);
    case As::kSampler:
      return find(kSamplerNames, key);
    case As::kChoices:
      return find(kChoiceNames, key);
    case As::kAdapters:
      return find(kAdapterNames, key);
    case As::kPlain:
    case As::kFloat:
      break;
  }
  return nullptr;
}

}  // namespace aioss::ledger
