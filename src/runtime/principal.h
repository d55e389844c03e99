// Who asks. Resolved once per request, at the door, and passed to every layer and every record.
#pragma once

#include <string>

namespace aioss::runtime {

enum class Role { kUser, kOperator, kAuditor };

struct Principal {
  std::string tenant = "local";
  std::string user = "local";
  Role role = Role::kUser;
  std::string source;   // "local", "key:<id>", "unix:uid=1000"
  std::string address;  // of the peer
  // What records say instead of the name (runtime/salts.h); "": not known yet.
  std::string subject = {};
};

}  // namespace aioss::runtime
