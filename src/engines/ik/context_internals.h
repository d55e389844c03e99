// What ik_llama.cpp's llama_context and llama_model hold: no stable interface, but its tree is
// pinned by checksum. These headers leave it to their users to include what they need.
#pragma once

#include <random>
#include <unordered_map>

#include "llama-context.h"
#include "llama-model.h"
