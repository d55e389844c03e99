#include "server/tenant_limits.h"

#include <array>
#include <cstdint>
#include <set>

#include "base/strings.h"

namespace aioss::server {
namespace {

constexpr std::string_view kBegin = "[tenant.";
constexpr std::uint64_t kRequestsMax = 65'536;
constexpr std::uint64_t kPromptBytesMax = std::uint64_t{4} << 20;  // of any request

struct Field {
  std::string_view name;
  std::uint64_t least, most;
};
constexpr std::array kFields{Field{"weight", 1, ipc::kWeightMax},
                             Field{"requests_max", 1, kRequestsMax},
                             Field{"prompt_tokens_max", 1, ipc::kPromptTokensMax},
                             Field{"prompt_bytes_max", 1, kPromptBytesMax}};

const Field* find_field(std::string_view name) {
  for (const Field& field : kFields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

void set(runtime::TenantLimits& limits, std::string_view name, std::uint64_t value) {
  const auto small = static_cast<std::uint32_t>(value);
  if (name == "weight") limits.weight = small;
  if (name == "requests_max") limits.requests_max = small;
  if (name == "prompt_tokens_max") limits.prompt_tokens_max = small;
  if (name == "prompt_bytes_max") limits.prompt_bytes_max = value;
}

// "weight=200"
Status read_word(std::string_view word, runtime::TenantLimits& limits,
                 std::set<std::string_view>& seen) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const Field* const field = find_field(name);
  if (field == nullptr || equals == std::string_view::npos) {
    return Error{Code::kUsage,
                 "a tenant has weight=, requests_max=, prompt_tokens_max= and prompt_bytes_max=, "
                 "without spaces, and not '" +
                     one_line(word) + "'"};
  }
  const auto value = parse_u64(word.substr(equals + 1));
  if (!value || *value < field->least || *value > field->most) {
    return Error{Code::kUsage, std::string(name) + " must be a whole number from " +
                                   std::to_string(field->least) + " to " +
                                   std::to_string(field->most)};
  }
  if (!seen.insert(field->name).second) {
    return Error{Code::kUsage, std::string(name) + " is given twice"};
  }
  set(limits, name, *value);
  return ok();
}

}  // namespace

bool is_tenant_line(std::string_view line) {
  return line.starts_with('[');
}

Result<TenantLine> parse_tenant_line(std::string_view line) {
  const std::size_t end = line.find(']');
  if (!line.starts_with(kBegin) || end == std::string_view::npos || end == kBegin.size()) {
    return Error{Code::kUsage, "a tenant's line begins with [tenant.NAME]"};
  }
  TenantLine out;
  out.tenant = line.substr(kBegin.size(), end - kBegin.size());
  std::set<std::string_view> seen;
  for (const std::string_view part : split(line.substr(end + 1), ' ')) {
    for (const std::string_view word : split(part, '\t')) {
      if (!trim(word).empty()) AIOSS_CHECK(read_word(trim(word), out.limits, seen));
    }
  }
  if (seen.empty()) return Error{Code::kUsage, "[tenant." + out.tenant + "] says nothing"};
  return out;
}

}  // namespace aioss::server
