// What is measured of a model, and under which conditions what was found holds. Pure functions.
#pragma once

#include <string>

#include "ipc/tune.h"
#include "os/cpu.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/settings/gateway_options.h"
#include "runtime/tuning/tuning_search.h"
#include "runtime/tuning/tuning_store.h"

namespace aioss::runtime {

// What may be tried for this model: in the profile fast other engines for the same kind of file
// (none where it has adapters, which are made for one), flash attention, threads, micro-batches; in
// the others what changes no bits: threads (docs/tuning.md). Never what an operator has set.
TuningSpace space_of(const Catalogue& catalogue, const CatalogueEntry& entry,
                     const GatewayOptions& options, const os::CpuBudget& cpu);
ipc::TuneOpen tune_open_of(const CatalogueEntry& entry, const GatewayOptions& options);
TuningKey tuning_key_of(const Catalogue& catalogue, const CatalogueEntry& entry,
                        const GatewayOptions& options);
// Whether it is computed by the CPU, and there is anything to choose between. GPUs are not
// measured: which has room for a model decides there.
bool is_measured(const CatalogueEntry& entry, const GatewayOptions& options);
bool has_choice(const TuningSpace& space);

// What was found, for its record and for people: a line for each candidate, "llama flash=off:
// measured, decode_one 1.02, decode_many 0.97, prefill 0.61".
std::string text(const TuneMeasurement& measurement);

// Puts what was found of each model under what operators say of it.
void apply_tunings(const TuningStore& store, const GatewayOptions& options, Catalogue& catalogue);
void apply_tuning(const TuningStore& store, const GatewayOptions& options,
                  const Catalogue& catalogue, CatalogueEntry& entry);

}  // namespace aioss::runtime
