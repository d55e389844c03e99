// Parts of the fake engine that have files of their own: reading files, states of sequences
// (fake_state.cc), adapters (fake_adapter.cc). Only this folder looks inside; thread rules are
// those of aioss/engine.h.
#pragma once

#include <string>
#include <string_view>

#include "aioss/engine.h"
#include "engines/fake/model.h"

namespace aioss::engines::fake {

// All of a small file.
aioss_status read_text(int fd, std::string& text, aioss_error* error);
// How a script wants a load to end.
aioss_status scripted_load_failure(const std::string& kind, aioss_error* error);

std::string state_of(const FakeSession& session, const Sequence& sequence);
// False: these bytes are not a state for this session.
bool load_state(const FakeSession& session, std::string_view state, Sequence& into);

// What the adapters of a batch do together.
aioss_status influence_of(FakeSession& session, const aioss_batch& batch, Influence& out,
                          aioss_error* error);
aioss_status adapter_open(aioss_model* model, const aioss_adapter_options* options,
                          aioss_adapter** out, aioss_error* error);
void adapter_facts(const aioss_adapter* adapter, aioss_adapter_facts* out);
void adapter_close(aioss_adapter* adapter);

}  // namespace aioss::engines::fake
