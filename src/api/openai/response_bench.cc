// What one streamed token costs in JSON: microseconds a chunk. Build and run `bench_openai`.
#include <algorithm>
#include <cstdio>
#include <string>

#include "api/openai/response.h"
#include "os/clock.h"

int main() {
  using namespace aioss;
  constexpr int kChunks = 1'000'000;
  const os::SystemClock clock;
  api::openai::AnswerFacts facts;
  facts.request_id = "req_0123456789abcdef";
  facts.model = "SmolLM2-135M-Instruct.Q4_1";
  facts.fingerprint = "aioss-0.1.0-llama-0123456789-fast";
  api::openai::ChunkWriter chunks(facts);
  runtime::StreamDelta delta;
  delta.text = " token\n";
  std::size_t bytes = 0;
  const std::int64_t begun = clock.monotonic_ns();
  for (int i = 0; i < kChunks; ++i) {
    std::string out;
    chunks.add(delta, out);
    bytes += out.size();
  }
  const double us = static_cast<double>(clock.monotonic_ns() - begun) / 1e3 / kChunks;
  std::printf("%.3f us a chunk of %zu bytes\n", us, bytes / kChunks);
}
