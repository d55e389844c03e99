#include "runtime/dry_runs/machine_basis.h"

#include <utility>

#include "codec/cbor.h"
#include "crypto/hash.h"
#include "os/cpu.h"
#include "runtime/dry_runs/plan_store.h"

namespace aioss::runtime {

using codec::Value;

std::optional<Digest> machine_basis(os::FileSystem& fs, const std::string& executable) {
  const auto file = fs.info(executable);
  const auto cpu = os::cpu_info();
  if (!file || !cpu) return std::nullopt;
  codec::Array numbers;
  for (const std::int64_t number : identity_of({*file})) numbers.push_back(Value::integer(number));
  codec::Array features;
  for (const std::string& feature : cpu->features) features.push_back(Value::text(feature));
  codec::Map map;
  map.set(0, Value::array(std::move(numbers)))
      .set(1, Value::bytes(as_bytes(cpu->model)))
      .set(2, Value::array(std::move(features)))
      .set(3, Value::uint(os::cpu_budget().usable_cores()))
      .set(4, Value::text(AIOSS_VERSION));
  return crypto::sha256(codec::encode(std::move(map)));
}

}  // namespace aioss::runtime
