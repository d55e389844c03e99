#include "cli/update_order.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "base/strings.h"
#include "cli/server_access.h"
#include "codec/hex.h"
#include "codec/json.h"

namespace aioss::cli {
namespace {

const std::string kModelsPage = "/v1/models", kEnginesPage = "/admin/engines",
                  kRescanOrder = "/admin/models/rescan";

// ---- what the server's pages say ----------------------------------------------------------------

// Of each model, how many switches it has had.
using SwitchCounts = std::map<std::string, std::uint64_t, std::less<>>;

struct SwitchesSeen {
  SwitchCounts counts;
  std::vector<std::string> under_way;
  // A model is being loaded, with the file from before perhaps: it switches thereafter.
  bool is_loading = false;
  std::vector<std::string> moved;  // models that are computed with one of these engines since
  std::string problem;             // of a model that did not take one
};

// What is new since `before`.
void look_at_model(const codec::Json& model, const std::vector<std::string>& engines,
                   const SwitchCounts& before, SwitchesSeen& seen) {
  if (!model.is_object() || !model.contains("aioss")) return;
  const codec::Json& aioss = model["aioss"];
  const auto found = aioss.find("engine_switch");
  const bool is_of =
      std::find(engines.begin(), engines.end(), text_of_page(aioss, "engine")) != engines.end();
  if (!is_of) return;
  const std::string id = text_of_page(model, "id");
  if (text_of_page(aioss, "state") == "loading") seen.is_loading = true;
  if (found == aioss.end() || !found->is_object()) return;
  const auto orders = found->find("orders");
  const bool is_number = orders != found->end() && orders->is_number_unsigned();
  const std::uint64_t count = is_number ? orders->get<std::uint64_t>() : 0;
  seen.counts[id] = count;
  const auto known = before.find(id);
  if (known != before.end() && known->second == count) return;
  const std::string step = text_of_page(*found, "step"), outcome = text_of_page(*found, "outcome");
  if (step == "loading" || step == "trying" || step == "moving") seen.under_way.push_back(id);
  if (outcome == "done") seen.moved.push_back(id);
  if (outcome == "failed" || outcome == "rolled_back") {
    seen.problem = "model '" + id + "': " + text_of_page(*found, "reason");
  }
}

// What such a page lists; nothing if it is none.
codec::Json listed_in(const std::string& page) {
  auto json = codec::parse_json(page);
  if (!json || !json->is_object() || !json->contains("data")) return codec::Json::array();
  return std::move((*json)["data"]);
}

SwitchesSeen look_at_models(const std::string& page, const std::vector<std::string>& engines,
                            const SwitchCounts& before) {
  SwitchesSeen seen;
  for (const codec::Json& model : listed_in(page)) look_at_model(model, engines, before, seen);
  return seen;
}

bool is_listed(const codec::Json& list, const plugins::Manifest& engine) {
  const std::string sha256 = codec::to_hex(engine.sha256);
  return std::any_of(list.begin(), list.end(), [&](const codec::Json& one) {
    return one.is_object() && text_of_page(one, "name") == engine.name &&
           text_of_page(one, "sha256") == sha256;
  });
}

// ---- asking and telling -------------------------------------------------------------------------

std::vector<std::string> engine_names(const std::vector<plugins::Manifest>& engines) {
  std::vector<std::string> names;
  for (const plugins::Manifest& engine : engines) names.push_back(engine.name);
  return names;
}

struct Asked {
  bool runs = false;
  SwitchesSeen models;
};

// Whether it would answer, and answer us, before anything is touched; and how its models stand.
Result<Asked> ask_first(const UpdateServer& server, const std::vector<std::string>& engines) {
  auto page = server.page(kEnginesPage);  // not for everybody, as the order
  if (page) page = server.page(kModelsPage);
  if (page) return Asked{true, look_at_models(*page, engines, {})};
  if (page.error().code == Code::kNotFound) return Asked();
  return std::move(page).error().with_context("nothing is changed");
}

// It may read another directory, or trust other publishers.
Status check_taken(const UpdateServer& server, const std::vector<plugins::Manifest>& engines) {
  AIOSS_TRY(const std::string page, server.page(kEnginesPage));
  const codec::Json list = listed_in(page);
  for (const plugins::Manifest& engine : engines) {
    if (is_listed(list, engine)) continue;
    return Error{Code::kConflict, "the server that runs does not have this engine '" + engine.name +
                                      "': it reads another directory, or has left the file out, "
                                      "and then its log says why"};
  }
  return ok();
}

enum class Outcome : std::uint8_t {
  kNoServer,
  kTaken,
  kOrderRefused,  // it has read nothing
  kModelRefused,  // and has gone back by itself
  kUnknown,
};

struct TakenUp {
  Outcome outcome = Outcome::kUnknown;
  std::vector<std::string> models;
  std::string problem;  // of a refusal
  Code code = Code::kEngineFailed;
};

TakenUp not_taken(Outcome outcome, Error why) {
  return {outcome, {}, std::move(why.message), why.code};
}

// Waits until its models have taken what is there. `was_loading`: one was, at the last look, and a
// switch may begin a moment after it is loaded.
TakenUp watch(const UpdateServer& server, const std::vector<plugins::Manifest>& engines,
              const SwitchCounts& before, bool was_loading) {
  const std::vector<std::string> names = engine_names(engines);
  for (;;) {
    auto page = server.page(kModelsPage);
    if (!page) return not_taken(Outcome::kUnknown, std::move(page).error());
    SwitchesSeen seen = look_at_models(*page, names, before);
    if (!seen.problem.empty()) {
      return not_taken(Outcome::kModelRefused, {Code::kEngineFailed, seen.problem});
    }
    const bool may_begin = std::exchange(was_loading, seen.is_loading) || seen.is_loading;
    if (seen.under_way.empty() && !may_begin) {
      Status has = check_taken(server, engines);
      if (!has) return not_taken(Outcome::kUnknown, std::move(has).error());
      return {Outcome::kTaken, std::move(seen.moved), ""};
    }
    if (server.pause()) {
      return not_taken(Outcome::kUnknown, {Code::kCancelled, "no longer waiting for the server"});
    }
  }
}

// Has it read the engine directory again first.
TakenUp tell_and_watch(const UpdateServer& server, const std::vector<plugins::Manifest>& engines,
                       const SwitchCounts& before, bool was_loading) {
  auto told = server.order(kRescanOrder);
  if (told) return watch(server, engines, before, was_loading);
  const Code code = told.error().code;
  const Outcome outcome = code == Code::kNotFound    ? Outcome::kNoServer
                          : code == Code::kForbidden ? Outcome::kOrderRefused
                                                     : Outcome::kUnknown;
  return not_taken(outcome, std::move(told).error());
}

// ---- what is said -------------------------------------------------------------------------------

bool is_good(const TakenUp& taken) {
  return taken.outcome == Outcome::kTaken || taken.outcome == Outcome::kNoServer;
}

std::string outcome_text(const TakenUp& taken) {
  if (taken.outcome == Outcome::kNoServer) {
    return "; no server runs there, and the next one to start has it\n";
  }
  if (taken.models.empty()) {
    return "; the server has it, and nothing was tried: no model that is loaded is computed with "
           "it\n";
  }
  return "; the server has taken it, for " + comma_separated(taken.models) + "\n";
}

Error error_that_stays(const TakenUp& taken, const std::vector<EngineBefore>& before) {
  std::vector<std::string> ways;
  for (const EngineBefore& engine : before) {
    ways.push_back((engine.had_one ? "'aioss update rollback " : "'aioss engine remove ") +
                   engine.name + "'");
  }
  return {taken.code, taken.problem +
                          "; the files are installed, and a server that reads this directory has "
                          "them from its next start on; " +
                          comma_separated(ways) + " would take them back"};
}

Error take_all_back(os::FileSystem& fs, const std::string& directory,
                    const std::vector<EngineBefore>& before, const UpdateServer& server,
                    const TakenUp& taken) {
  const Status back = take_back(fs, directory, before);
  Error why{taken.code, "the update is taken back: " + taken.problem};
  if (!back) {
    why.message = "the update failed: " + taken.problem +
                  "; and it cannot be taken back: " + back.error().message;
  }
  if (taken.outcome == Outcome::kOrderRefused) return why;
  // It has gone back by itself; its next start is to find the same.
  const auto told = server.order(kRescanOrder);
  if (!told && told.error().code != Code::kNotFound) {
    why.message += "; and the server could not be told so (" + told.error().message +
                   "): until its next rescan (SIGHUP) or start it may have some of these files";
  }
  return why;
}

// The files are what they are to be: a watch that was lost or given up goes on.
Result<std::string> order_again(os::FileSystem& fs, const std::string& directory,
                                const std::vector<EngineUpdate>& updates,
                                const std::vector<plugins::Manifest>& engines, const Asked& asked,
                                const UpdateServer& server) {
  const std::string said = "all of these engines are installed already";
  TakenUp taken{Outcome::kNoServer, {}, ""};
  if (!asked.runs) return said + outcome_text(taken);
  SwitchCounts over = asked.models.counts;
  for (const std::string& model : asked.models.under_way) over.erase(model);
  const Status has = check_taken(server, engines);
  const bool was_loading = asked.models.is_loading;
  if (has && asked.models.under_way.empty() && !was_loading) {
    return said + ", and the server has them\n";
  }
  if (!has && has.error().code != Code::kConflict) {
    return Error{has.error()}.with_context("nothing is changed");
  }
  taken = has ? watch(server, engines, over, was_loading)
              : tell_and_watch(server, engines, over, was_loading);
  if (is_good(taken)) return said + outcome_text(taken);
  return error_that_stays(taken, kept_before(fs, directory, updates));
}

}  // namespace

Result<std::string> order_updates(os::FileSystem& fs, const std::string& directory,
                                  const std::vector<EngineUpdate>& updates,
                                  const UpdateServer& server) {
  std::vector<plugins::Manifest> engines;
  std::vector<EngineUpdate> missing;
  std::vector<std::string> shown;
  for (const EngineUpdate& update : updates) {
    engines.push_back(update.manifest);
    if (is_installed(fs, directory, update)) continue;
    missing.push_back(update);
    shown.push_back(update.manifest.name + " " + update.manifest.version);
  }
  AIOSS_TRY(const Asked asked, ask_first(server, engine_names(engines)));
  if (missing.empty()) return order_again(fs, directory, updates, engines, asked, server);
  AIOSS_TRY(const std::vector<EngineBefore> before, install_all(fs, directory, missing));
  const TakenUp taken =
      tell_and_watch(server, engines, asked.models.counts, asked.models.is_loading);
  if (is_good(taken)) return "updated " + comma_separated(shown) + outcome_text(taken);
  // Nobody knows whether the server has it.
  if (taken.outcome == Outcome::kUnknown) return error_that_stays(taken, before);
  return take_all_back(fs, directory, before, server, taken);
}

Result<std::string> order_rollback(os::FileSystem& fs, const std::string& directory,
                                   const std::string& name, const UpdateServer& server) {
  AIOSS_TRY(const Asked asked, ask_first(server, {name}));
  AIOSS_CHECK(go_back(fs, directory, name));
  AIOSS_TRY(const plugins::Manifest now, installed_manifest(fs, directory, name));
  const TakenUp taken = tell_and_watch(server, {now}, asked.models.counts, asked.models.is_loading);
  if (is_good(taken)) return "engine " + name + " is what it was" + outcome_text(taken);
  return Error{taken.code, taken.problem +
                               "; the file from before is back, and a server that reads this "
                               "directory has it from its next start on"};
}

}  // namespace aioss::cli
