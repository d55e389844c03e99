#include "ledger/format/record.h"

#include <array>
#include <utility>

namespace aioss::ledger {
namespace {

constexpr auto kNames = std::to_array<std::pair<RecordType, std::string_view>>({
    {RecordType::kGenesis, "GENESIS"},
    {RecordType::kSegmentOpen, "SEGMENT_OPEN"},
    {RecordType::kSegmentSeal, "SEGMENT_SEAL"},
    {RecordType::kCheckpoint, "CHECKPOINT"},
    {RecordType::kKeyRotate, "KEY_ROTATE"},
    {RecordType::kRecovery, "RECOVERY"},
    {RecordType::kAnchor, "ANCHOR"},
    {RecordType::kClock, "CLOCK"},
    {RecordType::kEngineStart, "ENGINE_START"},
    {RecordType::kEngineStop, "ENGINE_STOP"},
    {RecordType::kModelLoad, "MODEL_LOAD"},
    {RecordType::kModelUnload, "MODEL_UNLOAD"},
    {RecordType::kConfigChange, "CONFIG_CHANGE"},
    {RecordType::kUpdate, "UPDATE"},
    {RecordType::kSelfTest, "SELF_TEST"},
    {RecordType::kInferRequest, "INFER_REQUEST"},
    {RecordType::kInferResult, "INFER_RESULT"},
    {RecordType::kInferAbort, "INFER_ABORT"},
    {RecordType::kInferPart, "INFER_PART"},
    {RecordType::kToolCall, "TOOL_CALL"},
    {RecordType::kToolResult, "TOOL_RESULT"},
    {RecordType::kRetrieval, "RETRIEVAL"},
    {RecordType::kEmbed, "EMBED"},
    {RecordType::kDecision, "DECISION"},
    {RecordType::kHumanReview, "HUMAN_REVIEW"},
    {RecordType::kIncident, "INCIDENT"},
    {RecordType::kAuth, "AUTH"},
    {RecordType::kAdminAction, "ADMIN_ACTION"},
    {RecordType::kAccess, "ACCESS"},
    {RecordType::kRedact, "REDACT"},
    {RecordType::kRetentionDrop, "RETENTION_DROP"},
    {RecordType::kLegalHold, "LEGAL_HOLD"},
    {RecordType::kReplayResult, "REPLAY_RESULT"},
});

}  // namespace

std::optional<std::string_view> name(RecordType type) {
  for (const auto& [known, text] : kNames) {
    if (known == type) return text;
  }
  return std::nullopt;
}

std::span<const std::pair<RecordType, std::string_view>> record_types() {
  return kNames;
}

}  // namespace aioss::ledger
