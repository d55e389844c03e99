#include "ledger/lookup.h"

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "ledger/format.h"
#include "ledger/segment_reader.h"
#include "ledger/walk.h"

namespace aioss::ledger {
namespace {

bool is_inference(std::uint16_t type) {
  const auto known = static_cast<RecordType>(type);
  return known == RecordType::kInferRequest || known == RecordType::kInferResult ||
         known == RecordType::kInferAbort;
}

// Called for each frame; false ends the segment.
using Visit = std::function<bool(const Frame&)>;

Status read_segment(os::FileSystem& fs, const std::string& path, const Visit& visit) {
  AIOSS_TRY(const auto file, fs.open(path, os::OpenMode::kRead));
  AIOSS_TRY(const os::FileInfo about, file->info());
  if (about.size < kSegmentHeaderBytes) return ok();
  SegmentReader reader(*file, about.size, kSegmentHeaderBytes);
  while (reader.offset() < reader.end()) {
    AIOSS_TRY(const ByteView window, reader.window());
    const ParsedFrame parsed = parse_frame(window);
    if (parsed.form != Form::kGood || !visit(parsed.frame)) return ok();
    reader.advance(parsed.frame.bytes);
  }
  return ok();
}

// The first records of the segments there are, oldest first.
Result<std::vector<std::uint64_t>> segments(os::FileSystem& fs, const std::string& directory) {
  AIOSS_TRY(const auto names, fs.list(directory + '/' + std::string(kSegmentFolder)));
  std::vector<std::uint64_t> firsts;
  for (const std::string& name : names) {
    if (const auto first = parse_segment_file_name(name)) firsts.push_back(*first);
  }
  return firsts;  // sorted by name, and so by index
}

std::string path_of(const std::string& directory, std::uint64_t first) {
  return directory + '/' + std::string(kSegmentFolder) + '/' + segment_file_name(first);
}

std::optional<Inference> inference_of(const Frame& frame) {
  if (!is_inference(frame.type)) return std::nullopt;
  const auto body = codec::decode_map(frame.body);
  if (!body) return std::nullopt;
  auto id = body->get_text(key::kRequestId, "request id");
  return Inference{frame.index, static_cast<RecordType>(frame.type),
                   id ? std::move(*id) : std::string()};
}

}  // namespace

Result<Inference> find_inference(os::FileSystem& fs, const std::string& directory,
                                 std::uint64_t index) {
  AIOSS_TRY(const auto firsts, segments(fs, directory));
  std::optional<Inference> found;
  for (auto first = firsts.rbegin(); first != firsts.rend(); ++first) {
    if (*first > index) continue;
    AIOSS_CHECK(read_segment(fs, path_of(directory, *first), [&](const Frame& frame) {
      if (frame.index == index) found = inference_of(frame);
      return frame.index < index;
    }));
    break;
  }
  if (found) return std::move(*found);
  return Error{Code::kNotFound,
               "record " + std::to_string(index) + " is no record of an inference, or not there"};
}

Result<Inference> find_inference(os::FileSystem& fs, const std::string& directory,
                                 std::string_view request_id) {
  AIOSS_TRY(const auto firsts, segments(fs, directory));
  std::optional<Inference> found;
  for (auto first = firsts.rbegin(); first != firsts.rend() && !found; ++first) {
    AIOSS_CHECK(read_segment(fs, path_of(directory, *first), [&](const Frame& frame) {
      auto inference = inference_of(frame);
      if (inference && inference->request_id == request_id) found = std::move(inference);
      return true;
    }));
  }
  if (found) return std::move(*found);
  return Error{Code::kNotFound, "the ledger has no request of that id"};
}

}  // namespace aioss::ledger
