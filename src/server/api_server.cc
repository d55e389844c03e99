#include "server/api_server.h"

#include <utility>

#include "codec/hex.h"
#include "server/api_core.h"
#include "server/replies.h"

namespace aioss::server {
namespace {

// Who may come in is part of the configuration: by its file's hash in CONFIG_CHANGE, and by the ids
// of the keys that came and went in ADMIN_ACTION.
KeyRing::Record record_in(runtime::Gateway& gateway) {
  return [&gateway](const KeyChange& change) {
    runtime::ConfigurationChange recorded;
    recorded.name = "key_file_sha3";
    recorded.value = codec::to_hex(change.file_sha3);
    recorded.reason = change.reason;
    recorded.action = ledger::admin_action_name::kKeysChanged;
    recorded.details = change.details;
    return gateway.change_configuration(recorded);
  };
}

}  // namespace

Status check_options(const ApiOptions& options) {
  if (!options.key_file.empty() || !options.listen.tcp ||
      http::host_is_loopback(http::url_host(options.listen.host)))
    return ok();
  return Error{Code::kUsage,
               "cannot listen on " + options.listen.host +
                   " without keys: everyone on the network could use the models. Give a key file, "
                   "or listen on 127.0.0.1"};
}

class ApiServer::Impl final {
 public:
  Impl(std::shared_ptr<ApiCore> core, std::unique_ptr<http::Server> server)
      : core_(std::move(core)), server_(std::move(server)) {
    core_->set_server(server_.get());
  }
  ~Impl() {
    core_->set_server(nullptr);
    core_->close_shelf();
    core_->stop_side_threads();  // they call into the gateway, which may go next
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  http::Server& server() { return *server_; }
  void stop() {
    server_->stop();
    core_->stop_keeping();
  }

 private:
  const std::shared_ptr<ApiCore> core_;  // also held by the handler, thus by every connection
  const std::unique_ptr<http::Server> server_;
};

Result<std::unique_ptr<ApiServer>> ApiServer::create(http::net::io_context& io,
                                                     runtime::Gateway& gateway,
                                                     MetricRegistry& metrics, const Clock& clock,
                                                     os::FileSystem& fs,
                                                     const ApiOptions& options) {
  AIOSS_CHECK(check_options(options));
  std::unique_ptr<KeyRing> keys;
  if (!options.key_file.empty()) {
    AIOSS_TRY(keys, KeyRing::create(fs, options.key_file, record_in(gateway)));
  }
  const ApiCore::Parts parts{io, gateway, metrics, clock};
  auto core = std::make_shared<ApiCore>(parts, std::move(keys), options);
  // No coroutine itself: a lambda's captures would die before its frame.
  auto handler = [core](http::Request request, http::ResponseWriter& writer) {
    return core->handle(std::move(request), writer);
  };
  AIOSS_TRY(auto server, http::Server::create(io, options.listen, options.limits,
                                              std::move(handler), error_response));
  return std::unique_ptr<ApiServer>(
      new ApiServer(std::make_unique<Impl>(std::move(core), std::move(server))));
}

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ApiServer::~ApiServer() = default;

void ApiServer::start() {
  impl_->server().start();
}
void ApiServer::stop() {
  impl_->stop();
}
std::uint16_t ApiServer::port() const {
  return impl_->server().port();
}

}  // namespace aioss::server
