#include "cli/subject_names.h"

#include "cli/ledger_session.h"
#include "ledger/reading/walk.h"

namespace aioss::cli {
namespace {

// The decoder bounds the depth, and so the recursion.
void collect(const codec::Value& value, const std::map<std::string, std::string>& names,
             std::map<std::string, std::string>& out) {
  if (const std::string* text = value.if_text()) {
    // Approvals say "tenant/id".
    const std::string id = text->substr(text->rfind('/') + 1);  // npos + 1: all of it
    if (const auto found = names.find(id); found != names.end()) out.insert(*found);
  } else if (const codec::Map* map = value.if_map()) {
    for (const auto& [key, inner] : map->entries()) collect(inner, names, out);
  } else if (const codec::Array* array = value.if_array()) {
    for (const codec::Value& inner : *array) collect(inner, names, out);
  }
}

}  // namespace

Result<std::vector<ledger::SubjectPtr>> read_subjects(const Services& services,
                                                      const std::string& directory) {
  ledger::WalkOptions first{directory, std::nullopt, nullptr, nullptr};
  first.visit = [](const ledger::Record&) { return false; };
  const auto walked = ledger::walk(services.files, first);
  if (!walked) return explain_ledger_error(services.files, walked.error(), directory);
  ledger::VaultOptions options;
  options.directory = directory;
  options.ledger_id = walked->state.segment.header.ledger_id;
  options.master = master_key_file(services, {});
  auto subjects = ledger::read_vault(services.files, options);
  if (!subjects && subjects.error().code == Code::kNotFound) {
    return std::vector<ledger::SubjectPtr>();  // nobody has asked anything yet
  }
  if (!subjects) return std::move(subjects).error().with_context("ledger " + directory);
  return subjects;
}

SubjectNames SubjectNames::load(const Services& services, const std::string& directory) {
  SubjectNames out;
  const auto subjects = read_subjects(services, directory);
  if (!subjects) return out;
  for (const ledger::SubjectPtr& subject : *subjects) {
    out.names_.emplace(subject->id(), ledger::shown(subject->name()));
  }
  return out;
}

std::string SubjectNames::of(const std::string& id) const {
  const auto found = names_.find(id);
  return found == names_.end() ? std::string() : found->second;
}

std::map<std::string, std::string> SubjectNames::in(const ledger::Record& record) const {
  std::map<std::string, std::string> out;
  if (names_.empty()) return out;
  for (const auto& [key, value] : record.body.entries()) collect(value, names_, out);
  return out;
}

}  // namespace aioss::cli
