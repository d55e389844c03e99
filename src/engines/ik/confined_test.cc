// The engine inside the sandbox that workers live in: opened between its stages, and at work, with
// threads that start then, where nothing may be opened.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "engine/conformance_harness.h"
#include "engine/plugin.h"
#include "engines/llama/test_models.h"
#include "os/sandbox.h"

namespace aioss::engines::ik {
namespace {

using llama::kGemma3;
using llama::kSmolLm2;
using llama::model_path;

int fail_with(const char* what, const Error& error) {
  std::fprintf(stderr, "%s: %s\n", what, error.message.c_str());
  return 1;
}

Status decode_together(engine::Session& session, std::int32_t position) {
  engine::conformance::BatchBuilder batch;
  for (const std::int32_t sequence : {0, 1}) batch.add(100 + position, position, sequence, true);
  return session.decode(batch.view());
}

int load_and_decode(int model_fd, int plugin_fd) {
  if (const auto stage = os::enter_stage_one(); !stage) return fail_with("one", stage.error());
  const auto table = engine::open_plugin(plugin_fd);
  if (!table) return fail_with("plugin", table.error());
  if (const auto stage = os::enter_stage_two(); !stage) return fail_with("two", stage.error());
  if (const auto all = engine::devices(**table); !all) return fail_with("devices", all.error());
  aioss_model_options open = {};
  open.struct_size = sizeof open;
  open.fds = &model_fd;
  open.fd_count = 1;
  aioss_session_options options = {};
  options.struct_size = sizeof options;
  options.sequences_max = 2;
  options.cells_per_sequence = 256;
  options.batch_tokens_max = 256;
  options.threads = 2;
  if (const auto plan = engine::plan(**table, open, options); !plan) {
    return fail_with("plan", plan.error());
  }
  const auto model = engine::Model::open(**table, open);
  if (!model) return fail_with("model", model.error());
  const auto session = engine::Session::create(**model, options);
  if (!session) return fail_with("session", session.error());
  for (std::int32_t position = 0; position < 8; ++position) {
    if (const Status status = decode_together(**session, position); !status) {
      return fail_with("decode", status.error());
    }
  }
  const auto state = (*session)->save(0);
  if (!state) return fail_with("save", state.error());
  if (const Status status = (*session)->load(1, *state); !status) {
    return fail_with("load", status.error());
  }
  std::fprintf(stderr, "decoded\n");
  return 0;
}

class IkConfinedDeathTest : public testing::TestWithParam<const char*> {};

TEST_P(IkConfinedDeathTest, LoadsAndDecodes) {
  AIOSS_REQUIRE_MODEL(GetParam());
  // In a process that runs this test alone: the sandbox wants a single thread.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const os::Fd model = llama::open_model_file(GetParam());
  const os::Fd plugin(open(AIOSS_IK_PLUGIN, O_RDONLY | O_CLOEXEC));
  EXPECT_EXIT(std::_Exit(load_and_decode(model.get(), plugin.get())), testing::ExitedWithCode(0),
              "decoded");
}

INSTANTIATE_TEST_SUITE_P(All, IkConfinedDeathTest, testing::Values(kSmolLm2, kGemma3),
                         [](const auto& test) {
                           return test.param[0] == 'S' ? "SmolLm2" : "Gemma3";
                         });

}  // namespace
}  // namespace aioss::engines::ik
