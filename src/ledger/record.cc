#include "ledger/record.h"

namespace aioss::ledger {

std::optional<std::string_view> name(RecordType type) {
  switch (type) {
    case RecordType::kGenesis:
      return "GENESIS";
    case RecordType::kSegmentOpen:
      return "SEGMENT_OPEN";
    case RecordType::kSegmentSeal:
      return "SEGMENT_SEAL";
    case RecordType::kCheckpoint:
      return "CHECKPOINT";
    case RecordType::kKeyRotate:
      return "KEY_ROTATE";
    case RecordType::kRecovery:
      return "RECOVERY";
    case RecordType::kAnchor:
      return "ANCHOR";
    case RecordType::kClock:
      return "CLOCK";
    case RecordType::kEngineStart:
      return "ENGINE_START";
    case RecordType::kEngineStop:
      return "ENGINE_STOP";
    case RecordType::kModelLoad:
      return "MODEL_LOAD";
    case RecordType::kModelUnload:
      return "MODEL_UNLOAD";
    case RecordType::kConfigChange:
      return "CONFIG_CHANGE";
    case RecordType::kUpdate:
      return "UPDATE";
    case RecordType::kSelfTest:
      return "SELF_TEST";
    case RecordType::kInferRequest:
      return "INFER_REQUEST";
    case RecordType::kInferResult:
      return "INFER_RESULT";
    case RecordType::kInferAbort:
      return "INFER_ABORT";
    case RecordType::kInferPart:
      return "INFER_PART";
    case RecordType::kAdminAction:
      return "ADMIN_ACTION";
  }
  return std::nullopt;
}

}  // namespace aioss::ledger
