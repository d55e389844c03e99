// The gateway's HTTP face: identify → parse → submit → stream, and the pages beside it. Owns the
// HTTP server, the keys and the side threads. Everything but create() runs on the thread that runs
// `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "http/server.h"
#include "ledger/witness/anchors.h"
#include "os/file.h"
#include "runtime/gateway.h"

namespace aioss::server {

struct ApiOptions {
  http::Listen listen;
  http::Limits limits;
  std::string key_file;  // "": no keys, loopback and the Unix socket only
  // Users of the Unix socket who are operators: root, and whoever runs the server.
  std::vector<std::uint32_t> operator_uids{0};
  // A stream with nothing to say says so, before any proxy or client loses patience.
  std::chrono::milliseconds ping_interval{15'000};
  // Seconds that a streamed answer may be kept without its client (X-Aioss-Resume); 0: none is.
  std::uint32_t resume_seconds_max = 600;
  // The JSON of a request's receipt for that caller. Called on a thread of the server's own, one at
  // a time; what it refers to outlives the server. Empty: there are none.
  std::function<Result<std::string>(const runtime::Principal& caller, const std::string& request)>
      receipts = {};
  // For /admin/anchor, on a thread of the server's own; outlives the server. Null: such requests
  // are refused.
  ledger::Anchors* anchors = nullptr;
};

// What create() would refuse whatever the machine is like: kUsage for a listening address beyond
// loopback without a key file.
Status check_options(const ApiOptions& options);

class ApiServer final {
 public:
  // Binds. The references outlive the server, and `io` outlives the gateway's streams too. kUsage
  // for a broken key file, and for a listening address beyond loopback without one. The key file,
  // now and whenever it changes, is recorded by the gateway before its keys hold.
  static Result<std::unique_ptr<ApiServer>> create(http::net::io_context& io,
                                                   runtime::Gateway& gateway,
                                                   MetricRegistry& metrics, const Clock& clock,
                                                   os::FileSystem& fs, const ApiOptions& options);
  // Cuts what is still open. For a clean end: stop(), shut the gateway down, let `io` run out.
  ~ApiServer();

  void start();
  void stop();  // no new requests; answers under way are finished
  std::uint16_t port() const;

 private:
  class Impl;
  explicit ApiServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace aioss::server
