// An update of engines (engine_update.h) with the server that runs: it is asked before anything is
// touched, told once the files are there, and watched. Each answer and each error says in what
// state things are left. Blocking; one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/engine_update.h"
#include "os/file.h"

namespace aioss::cli {

// How a server is spoken to. Of what it asks, kNotFound: none runs there.
struct UpdateServer {
  std::function<Result<std::string>(const std::string& path)> page, order;  // GET, POST
  std::function<bool()> pause;  // between two looks; true: whoever waits has had enough
};

// `updates`: at least one. If a model does not take one of them, or the server takes no order from
// us, all that were installed now are taken back. If all are installed already, a server that has
// not got them is told, and one that is still trying them is watched.
Result<std::string> order_updates(os::FileSystem& fs, const std::string& directory,
                                  const std::vector<EngineUpdate>& updates,
                                  const UpdateServer& server);
Result<std::string> order_rollback(os::FileSystem& fs, const std::string& directory,
                                   const std::string& name, const UpdateServer& server);

}  // namespace aioss::cli
