#include "server/engines_page.h"

#include <utility>

#include "codec/hex.h"
#include "codec/json.h"

namespace aioss::server {

std::string engines_page(const std::vector<std::shared_ptr<const plugins::EngineImage>>& engines) {
  codec::OrderedJson out;
  out["object"] = "list";
  out["data"] = codec::OrderedJson::array();
  for (const auto& engine : engines) {
    codec::OrderedJson one;
    one["name"] = engine->name;
    one["version"] = engine->version;
    one["origin"] = engine->origin;
    one["sha256"] = nullptr;
    if (!engine->is_linked) one["sha256"] = codec::to_hex(engine->sha256);
    out["data"].push_back(std::move(one));
  }
  return codec::dump_json(out);
}

}  // namespace aioss::server
