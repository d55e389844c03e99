// An engine directory of its own, and plugins to bring into it: for tests of updates.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cli/engine_update.h"
#include "crypto/hash.h"
#include "plugins/engine_store.h"

namespace aioss::cli {

class EngineUpdateFixture : public testing::Test {
 protected:
  EngineUpdateFixture() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~EngineUpdateFixture() override { std::filesystem::remove_all(root_); }

  EngineUpdate update(const std::string& name, const std::string& bytes) {
    EngineUpdate out;
    out.path = root_ + "/" + name + "-" + bytes + ".so";
    std::ofstream(out.path, std::ios::binary) << bytes;
    out.manifest.name = name;
    out.manifest.version = bytes;
    out.manifest.sha256 = crypto::sha256(as_bytes(bytes));
    return out;
  }
  // "": none that could be used.
  std::string version(const std::string& name) {
    const auto found = plugins::read_engine(files_, directory_, name, nullptr);
    return found ? found->version : "";
  }

  const std::string root_ = testing::TempDir() + "engine_update_" + std::to_string(::getpid());
  const std::string directory_ = root_ + "/engines";
  os::RealFileSystem files_;
};

}  // namespace aioss::cli
