// `aioss models add`: files come into the models folder whole and checked, or not at all. Each is
// written under a hidden name, which the catalogue does not list, and gets its own at the end.
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "cli/bundle.h"
#include "cli/command_list.h"
#include "cli/inspect_command.h"
#include "cli/ledger_session.h"
#include "cli/model_store.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "os/links.h"
#include "runtime/catalogue/allow_list.h"
#include "runtime/catalogue/hash_cache.h"

namespace aioss::cli {
namespace {

enum class Way { kCopy, kMove, kLink };

struct AddedPart {
  std::string path;
  std::string target;  // file name in the models folder
  std::uint64_t bytes = 0;
  std::optional<Digest> digest;  // once it was read
};

struct Plan {
  std::string name;
  Way way = Way::kCopy;
  bool force = false;
  std::vector<AddedPart> sources;  // the parts, in order
  std::uint64_t bytes = 0;
};

std::string target_name(const std::string& model, std::size_t part, std::size_t parts) {
  if (parts == 1) return model + ".gguf";
  char suffix[64];
  std::snprintf(suffix, sizeof suffix, "-%05zu-of-%05zu.gguf", part + 1, parts);
  return model + suffix;
}

Result<Way> way_of(const Invocation& invocation) {
  const int given =
      int{invocation.has("--copy")} + int{invocation.has("--move")} + int{invocation.has("--link")};
  if (given > 1) return Error{Code::kUsage, "give one of --copy, --move and --link"};
  if (invocation.has("--move")) return Way::kMove;
  return invocation.has("--link") ? Way::kLink : Way::kCopy;
}

// What the file is and where it would go; nothing is written yet.
Result<Plan> make_plan(const Services& services, const ModelStore& store, const std::string& path,
                       const Invocation& invocation) {
  Plan plan;
  AIOSS_TRY(plan.way, way_of(invocation));
  plan.force = invocation.has("--force");
  runtime::CatalogueOptions only;
  only.model_files = {path};
  AIOSS_TRY(const runtime::Catalogue found, runtime::scan_catalogue(services.files, only));
  const runtime::CatalogueEntry& entry = found.models.begin()->second;
  plan.name = invocation.text("--name").value_or(entry.name);
  if (!runtime::is_model_name(plan.name)) {
    return Error{Code::kUsage,
                 "a model's name has letters, digits and . _ + - only; give another with --name"};
  }
  if (store.catalogue.models.contains(plan.name) && !plan.force) {
    return Error{Code::kConflict,
                 "there is a model '" + plan.name +
                     "' already; give another name with --name, or replace it with "
                     "--force"};
  }
  for (std::size_t i = 0; i < entry.paths.size(); ++i) {
    plan.sources.push_back({entry.paths[i], target_name(plan.name, i, entry.paths.size()),
                            entry.parts[i].size, std::nullopt});
    plan.bytes += entry.parts[i].size;
  }
  return plan;
}

Status inspect_all(const Services& services, const Plan& plan) {
  for (const AddedPart& source : plan.sources) {
    auto report = inspect_file(services, source.path);
    if (!report) return std::move(report).error().with_context(source.path);
    if (report->split_count == plan.sources.size()) continue;
    return Error{Code::kModelCorrupt,
                 source.path + " is one of " + std::to_string(report->split_count) +
                     " parts; keep their names, -00001-of-00003 and so on, and name the first"};
  }
  return ok();
}

// The descriptor that is hashed is the one that is copied.
Status take_file(const Services& services, const std::string& hidden, Way way, AddedPart& source,
                 FileReader& reader) {
  AIOSS_TRY(const auto from, services.files.open(source.path, os::OpenMode::kRead));
  std::unique_ptr<os::File> to;
  if (way == Way::kCopy) {
    (void)services.files.remove(hidden);  // of an earlier try that was cut short
    AIOSS_TRY(to, services.files.open(hidden, os::OpenMode::kCreateNew));
  }
  AIOSS_TRY(source.digest, reader.read(*from, to.get()));
  if (to) return to->sync_all();
  if (way == Way::kMove) return ok();
  (void)services.files.remove(hidden);
  AIOSS_TRY(const std::string real, os::resolved_path(source.path));
  return os::make_symbolic_link(real, hidden);
}

Status put_in_place(const std::string& from, const std::string& to, bool force) {
  return force ? os::rename_over(from, to) : os::rename_new(from, to);
}

class Adder {
 public:
  Adder(const Services& services, const ModelStore& store, Plan& plan)
      : services_(services), store_(store), plan_(plan) {}

  Status run(const runtime::AllowList* listed) {
    AIOSS_CHECK(inspect_all(services_, plan_));
    AIOSS_CHECK(services_.files.make_directories(store_.directory));
    if (plan_.way == Way::kMove && !same_file_system()) {
      plan_.way = Way::kCopy;
      remove_after_ = true;
    }
    AIOSS_CHECK(check_room());
    Status taken = take_all();
    if (taken) taken = check_lists(listed);
    if (taken) taken = place_all();
    if (!taken) clean_up();
    return taken;
  }

 private:
  std::string hidden(const AddedPart& source) const {
    return store_.directory + "/." + source.target + ".adding";
  }
  std::string placed(const AddedPart& source) const {
    return store_.directory + "/" + source.target;
  }

  bool same_file_system() const {
    const auto here = services_.files.info(store_.directory);
    for (const AddedPart& source : plan_.sources) {
      const auto there = services_.files.info(source.path);
      if (!here || !there || here->device != there->device) return false;
    }
    return true;
  }

  Status check_room() const {
    if (plan_.way != Way::kCopy) return ok();
    const auto free = services_.files.bytes_available(store_.directory);
    if (!free || *free >= plan_.bytes) return ok();
    return Error{Code::kIo, "the model has " + human_bytes(plan_.bytes) + " and " +
                                store_.directory + " has room for " + human_bytes(*free)};
  }

  Status take_all() {
    const bool copies = plan_.way == Way::kCopy;
    FileReader reader(services_, copies ? "copying" : "hashing", plan_.bytes);
    for (AddedPart& source : plan_.sources) {
      AIOSS_CHECK(take_file(services_, hidden(source), plan_.way, source, reader));
    }
    return ok();
  }

  // The bundle's list names the files as they are, the list of allowed models as they will be.
  Status check_lists(const runtime::AllowList* listed) const {
    std::vector<std::string> sources, targets;
    std::vector<Digest> digests;
    for (const AddedPart& source : plan_.sources) {
      sources.push_back(source.path);
      targets.push_back(source.target);
      digests.push_back(*source.digest);
    }
    if (listed != nullptr && !listed->check(sources, digests)) {
      return Error{Code::kModelCorrupt, "the SHA-256 of " + sources.front() +
                                            (sources.size() > 1 ? " or of another part" : "") +
                                            " is not the one in the list"};
    }
    if (!store_.catalogue.allowed) return ok();
    Status fit = store_.catalogue.allowed->check(targets, digests);
    if (fit) return ok();
    return std::move(fit).error().with_context("not added");
  }

  Status place_all() {
    for (const AddedPart& source : plan_.sources) {
      const bool moved = plan_.way == Way::kMove;
      AIOSS_CHECK(put_in_place(moved ? source.path : hidden(source), placed(source), plan_.force));
    }
    AIOSS_CHECK(remove_replaced());
    AIOSS_CHECK(services_.files.sync_directory(store_.directory));
    for (const AddedPart& source : plan_.sources) {
      if (remove_after_) AIOSS_CHECK(services_.files.remove(source.path));
    }
    return ok();
  }

  // Of a model that had another number of parts.
  Status remove_replaced() {
    const auto before = store_.catalogue.models.find(plan_.name);
    if (before == store_.catalogue.models.end()) return ok();
    for (const std::string& path : before->second.paths) {
      bool stays = false;
      for (const AddedPart& source : plan_.sources) stays = stays || placed(source) == path;
      if (!stays) AIOSS_CHECK(services_.files.remove(path));
    }
    return ok();
  }

  void clean_up() {
    if (plan_.way == Way::kMove) return;
    for (const AddedPart& source : plan_.sources) (void)services_.files.remove(hidden(source));
  }

  const Services& services_;
  const ModelStore& store_;
  Plan& plan_;
  bool remove_after_ = false;
};

// So that the first load need not read a moved or linked file again.
void remember(const Services& services, const ModelStore& store, const Plan& plan) {
  runtime::HashCache cache(services.files, state_directory(services));
  for (const AddedPart& source : plan.sources) {
    const auto info = services.files.info(store.directory + "/" + source.target);
    if (info) cache.put(*info, *source.digest, services.clock.wall_ns());
  }
}

codec::OrderedJson adding_json(const ModelStore& store, const Plan& plan) {
  codec::OrderedJson out;
  out["name"] = plan.name;
  out["bytes"] = plan.bytes;
  codec::OrderedJson files = codec::OrderedJson::array();
  for (const AddedPart& source : plan.sources) {
    files.push_back({{"path", store.directory + "/" + source.target},
                     {"bytes", source.bytes},
                     {"sha256", codec::to_hex(*source.digest)}});
  }
  out["files"] = std::move(files);
  return out;
}

std::string adding_text(const Plan& plan) {
  std::string out = "added " + plan.name + ", " + human_bytes(plan.bytes) + "\n";
  for (const AddedPart& source : plan.sources) {
    out += codec::to_hex(*source.digest) + "  " + source.target + "\n";
  }
  return out;
}

// The first parts and single files of a list; the other parts come with them.
Result<std::vector<std::string>> bundle_files(const Services& services, const std::string& path,
                                              const runtime::AllowList& listed) {
  const std::size_t slash = path.rfind('/');
  runtime::CatalogueOptions beside;
  beside.models_dir = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  AIOSS_TRY(const runtime::Catalogue found, runtime::scan_catalogue(services.files, beside));
  std::vector<std::string> files;
  for (const auto& [name, entry] : found.models) {
    if (!listed.check_names(entry.paths) || entry.paths.empty()) continue;
    if (entry.problem) return Error(*entry.problem).with_context(name);
    files.push_back(entry.paths.front());
  }
  for (const auto& [name, adapter] : found.adapters) {
    if (listed.check_names({adapter.path})) files.push_back(adapter.path);
  }
  if (files.empty()) {
    return Error{Code::kNotFound, "no .gguf file beside " + path + " is in that list"};
  }
  return files;
}

Result<std::string> add(const Services& services, const Config& config,
                        const Invocation& invocation) {
  std::vector<std::string> files = {invocation.operand(0)};
  std::optional<runtime::AllowList> listed;
  if (invocation.has("--from-bundle")) {
    if (invocation.has("--name")) {
      return Error{Code::kUsage, "--name is for one model, and a bundle may hold several"};
    }
    AIOSS_TRY(listed, open_bundle(services, config, invocation, files.front()));
    AIOSS_TRY(files, bundle_files(services, files.front(), *listed));
  } else if (invocation.has("--unsigned")) {
    return Error{Code::kUsage, "--unsigned is for bundles, with --from-bundle"};
  }
  codec::OrderedJson models = codec::OrderedJson::array();
  std::string text;
  for (const std::string& file : files) {
    AIOSS_TRY(const ModelStore store, open_store(services, config));
    AIOSS_TRY(Plan plan, make_plan(services, store, file, invocation));
    AIOSS_CHECK(Adder(services, store, plan).run(listed ? &*listed : nullptr));
    remember(services, store, plan);
    models.push_back(adding_json(store, plan));
    text += adding_text(plan);
  }
  if (!invocation.has("--json")) return text;
  codec::OrderedJson out;
  out["added"] = std::move(models);
  return codec::dump_json(out) + "\n";
}

}  // namespace

int models_add_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return console.fail(config.error());
  const auto added = add(services, *config, invocation);
  return console.print(added);
}

}  // namespace aioss::cli
