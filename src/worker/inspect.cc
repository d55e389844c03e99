// `aioss worker --inspect`: what a GGUF file says of itself, as one JSON object, from a process
// that can do nothing but read that one file.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <map>
#include <new>
#include <string>

#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/hash.h"
#include "os/limits.h"
#include "os/sandbox.h"
#include "worker/gguf.h"
#include "worker/worker.h"

namespace aioss::worker {
namespace {

using codec::OrderedJson;

// The largest header that the reader accepts, its strings and their JSON, with the binary itself.
constexpr std::uint64_t kAddressSpaceMax = std::uint64_t{3} << 30;
constexpr std::uint64_t kHeaderCpuSecondsMax = 20;

OrderedJson number_or_null(const std::optional<std::uint64_t>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson text_or_null(const std::string* value) {
  return value != nullptr ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson tensors_by_type(const gguf::Header& header) {
  struct Sum {
    const gguf::TensorType* type = nullptr;
    std::uint64_t count = 0, elements = 0, bytes = 0;
  };
  std::map<std::uint32_t, Sum> sums;
  for (const gguf::Tensor& tensor : header.tensors) {
    Sum& sum = sums[tensor.type->id];
    sum.type = tensor.type;
    ++sum.count;
    sum.elements += tensor.elements;
    sum.bytes += tensor.bytes;
  }
  OrderedJson out = OrderedJson::array();
  for (const auto& [id, sum] : sums) {
    const double bits = 8.0 * static_cast<double>(sum.bytes) / static_cast<double>(sum.elements);
    out.push_back({{"type", sum.type->name},
                   {"tensors", sum.count},
                   {"parameters", sum.elements},
                   {"bytes", sum.bytes},
                   {"bits_per_weight", bits}});
  }
  return out;
}

OrderedJson vocabulary_size(const gguf::Header& header, const std::string& prefix) {
  const auto found = header.metadata.find("tokenizer.ggml.tokens");
  if (found != header.metadata.end()) {
    if (const auto* shape = std::get_if<gguf::ArrayShape>(&found->second)) return shape->count;
  }
  return number_or_null(header.number(prefix + "vocab_size"));
}

OrderedJson describe(const gguf::Header& header) {
  const std::string* architecture = header.text("general.architecture");
  const std::string prefix = (architecture != nullptr ? *architecture : "") + ".";
  const std::string* chat_template = header.text("tokenizer.chat_template");
  std::uint64_t tensor_bytes = 0;
  for (const gguf::Tensor& tensor : header.tensors) tensor_bytes += tensor.bytes;
  const std::uint64_t parameters = header.parameter_count();

  OrderedJson out;
  out["architecture"] = text_or_null(architecture);
  out["name"] = text_or_null(header.text("general.name"));
  out["parameters"] = parameters;
  out["context_length"] = number_or_null(header.number(prefix + "context_length"));
  out["embedding_length"] = number_or_null(header.number(prefix + "embedding_length"));
  out["layers"] = number_or_null(header.number(prefix + "block_count"));
  out["heads"] = number_or_null(header.number(prefix + "attention.head_count"));
  out["heads_kv"] = number_or_null(header.number(prefix + "attention.head_count_kv"));
  out["vocabulary_size"] = vocabulary_size(header, prefix);
  out["tokenizer"] = text_or_null(header.text("tokenizer.ggml.model"));
  out["quantization"] = tensors_by_type(header);
  out["tensors"] = header.tensors.size();
  out["tensor_bytes"] = tensor_bytes;
  out["bits_per_weight"] =
      parameters > 0
          ? OrderedJson(8.0 * static_cast<double>(tensor_bytes) / static_cast<double>(parameters))
          : OrderedJson(nullptr);
  out["chat_template"] = text_or_null(chat_template);
  out["chat_template_sha3"] =
      chat_template != nullptr
          ? OrderedJson(codec::to_hex(crypto::sha3_256(as_bytes(*chat_template))))
          : OrderedJson(nullptr);
  out["file_bytes"] = header.file_bytes;
  out["gguf_version"] = header.version;
  out["alignment"] = header.alignment;
  out["metadata_entries"] = header.metadata.size();
  out["split_count"] = header.number("split.count").value_or(1);
  return out;
}

Status limit_resources() {
  AIOSS_CHECK(os::limit_address_space(kAddressSpaceMax));
  AIOSS_CHECK(os::limit_cpu_time(kHeaderCpuSecondsMax));
  return ok();
}

Result<OrderedJson> inspect(int model_fd) {
  (void)crypto::sha3_256(ByteView{});  // libcrypto starts while it may still look around
  AIOSS_CHECK(limit_resources());
  AIOSS_CHECK(os::enter_stage_one());
  AIOSS_CHECK(os::enter_stage_two());
  AIOSS_TRY(const gguf::Header header, gguf::read_header(model_fd));
  return describe(header);
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

int run_inspect(int model_fd, int out_fd) {
  Result<OrderedJson> report = Error{Code::kInternal, "inspect did not run"};
  try {
    report = inspect(model_fd);
  } catch (const std::bad_alloc&) {
    report = Error{Code::kNoMemory, "the file's header takes too much memory"};
  } catch (const std::exception& e) {
    report = Error{Code::kInternal, e.what()};
  }
  OrderedJson out;
  ExitCode exit = ExitCode::kOk;
  if (report) {
    out = std::move(*report);
  } else {
    const Error& error = report.error();
    out["error"] = {{"code", info(error.code).name}, {"message", error.message}};
    exit = info(error.code).exit_code;
  }
  if (!write_all(out_fd, codec::dump_json(out) + "\n")) exit = ExitCode::kFailure;
  return static_cast<int>(exit);
}

}  // namespace aioss::worker
