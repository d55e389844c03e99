// `aioss key new`: makes an API key. The key goes to standard output once; the file gets its
// digest.
#include <array>

#include "base/strings.h"
#include "cli/command_list.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "server/key_file.h"

namespace aioss::cli {
namespace {

constexpr unsigned kKeyFilePermissions = 0600;

// Adds a line to the key file, whole or not at all. A file that has a broken line is left alone.
Status add_line(os::FileSystem& files, const std::string& path, const std::string& line) {
  std::string text;
  auto bytes = os::read_file(files, path, server::kKeyFileBytesMax);
  if (!bytes && bytes.error().code != Code::kNotFound) return std::move(bytes).error();
  if (bytes) text = as_text(*bytes);
  const server::ParsedKeys parsed = server::parse_keys(text);
  if (!parsed.problems.empty()) {
    return Error(Code::kUsage, path + ": " + parsed.problems.front() + "; mend it first");
  }
  if (parsed.keys.size() >= server::kKeysMax) {
    return Error(Code::kUsage, path + " is full: " + std::to_string(server::kKeysMax) +
                                   " keys; take out those that are not used");
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  text += line + "\n";
  return os::replace_file(files, path, as_bytes(text), kKeyFilePermissions);
}

// Unlike any other, and short enough for a log line.
std::string make_id(crypto::Random& random) {
  std::array<std::uint8_t, 5> bytes{};
  random.fill(bytes);
  return "k" + codec::to_hex(bytes);
}

Result<server::NewKey> make(const Services& services, const Invocation& invocation,
                            const std::string& id) {
  const std::string tenant = invocation.text("--tenant").value_or("");
  const std::string user = invocation.text("--user").value_or("");
  if (tenant.empty() || user.empty()) {
    return Error(Code::kUsage, "--tenant and --user are needed: who is the key for?");
  }
  const std::string role_text = invocation.text("--role").value_or("user");
  const auto role = server::role_from_name(role_text);
  if (!role) {
    return Error(Code::kUsage, "--role: '" + role_text + "' is none of user, operator, auditor");
  }
  return server::make_key(services.random, id, tenant, user, *role);
}

}  // namespace

int key_new_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const std::string id = make_id(services.random);
  const auto made = make(services, invocation, id);
  if (!made) return console.fail(made.error());
  const std::string file = invocation.text("--file").value_or("");
  if (!file.empty()) {
    if (const Status added = add_line(services.files, file, made->line); !added) {
      return console.fail(added.error());
    }
  }
  std::string text;
  if (invocation.has("--json")) {
    codec::OrderedJson out;
    out["id"] = id;
    out["key"] = made->key;
    out["line"] = made->line;
    if (!file.empty()) out["file"] = file;
    text = codec::dump_json(out) + "\n";
  } else {
    text = made->key + "\n";
    if (file.empty()) {
      console.note("aioss: add this line to the server's key file:");
      console.note(made->line);
    } else {
      console.note("aioss: key " + id + " added to " + file + "; it is shown this once");
    }
  }
  return console.print(text);
}

}  // namespace aioss::cli
