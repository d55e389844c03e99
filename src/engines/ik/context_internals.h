// What ik_llama.cpp's llama_context holds: no stable interface, but its tree is pinned by checksum.
// That header leaves it to its users to include what it needs.
#pragma once

#include <random>
#include <unordered_map>

#include "llama-context.h"
