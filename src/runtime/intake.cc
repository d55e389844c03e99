#include "runtime/intake.h"

#include <array>
#include <utility>

#include "codec/hex.h"
#include "runtime/calls/stopping.h"
#include "runtime/records/salts.h"
#include "runtime/requests/request_checks.h"
#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

constexpr std::size_t kRequestIdBytes = 12;

// Makes a new user known to the vault, then hands their request to the runtime thread. On the
// custodian's thread.
void introduce(ledger::Custody& custody, const std::shared_ptr<StreamState>& stream,
               std::size_t bytes, StreamDesk& desk) {
  auto subject = custody.obtain(subject_name(stream->principal()));
  if (subject) {
    stream->belongs_to(std::move(*subject));
    desk.post([stream, bytes](Supervisor& supervisor) { supervisor.submit(stream, bytes); });
    return;
  }
  const Error error{Code::kLedgerUnavailable,
                    "the ledger cannot record this request: " + subject.error().message};
  desk.post([stream, bytes, error](Supervisor& supervisor) {
    supervisor.turn_away(stream, bytes, error);
  });
}

}  // namespace

std::string Intake::make_request_id() {
  std::array<std::uint8_t, kRequestIdBytes> bytes{};
  parts_.random.fill(bytes);
  return "req_" + codec::to_hex(bytes);
}

// 63 bits, so that a client that reads it as a signed number sees the same.
std::uint64_t Intake::make_seed() {
  std::array<std::uint8_t, 8> bytes{};
  parts_.random.fill(bytes);
  std::uint64_t seed = 0;
  for (const std::uint8_t byte : bytes) seed = (seed << 8) | byte;
  return seed >> 1;
}

Result<std::shared_ptr<StreamState>> Intake::begin(GenerateCall call) {
  StreamDesk& desk = *parts_.desk;
  call.request.id = ++last_id_;
  call.request.credit_bytes = kCreditBytes;
  const std::string tenant = turn_name(call.principal);
  AIOSS_CHECK(check_limits(call));
  call.request.tenant = tenant_number(tenant);
  call.request.weight = call.principal.limits.weight;
  call.request.prompt_tokens_max = call.principal.limits.prompt_tokens_max;
  if (!call.seed_given) call.request.sampling.seed = make_seed();
  call.seed_given = true;
  if (!call.load_wait) call.load_wait = parts_.options.load_wait;
  AIOSS_TRY(const std::size_t bytes, check_frame(call.request));
  AIOSS_CHECK(take_place(call, bytes));
  StreamSetup setup{std::move(call),
                    make_request_id(),
                    parts_.options.profile,
                    parts_.config_record.load(),
                    parts_.options.privacy == Privacy::kSealed,
                    bytes,
                    desk.erasures()};
  auto stream = std::make_shared<StreamState>(std::move(setup), parts_.ledger, parts_.custodian,
                                              parts_.clock, parts_.desk);
  if (hand_on(stream, bytes)) return stream;
  desk.tenants().leave(tenant);
  desk.leave(bytes);
  return gateway_stopping();
}

// For its stream, until that ends.
Status Intake::take_place(const GenerateCall& call, std::size_t bytes) {
  StreamDesk& desk = *parts_.desk;
  const Principal& by = call.principal;
  const std::string tenant = turn_name(by);
  if (!desk.tenants().enter(tenant, by.limits.requests_max)) {
    const std::uint32_t requests = desk.tenants().requests_of(tenant);
    return Error{Code::kBusy, "the tenant '" + by.tenant + "' has " + std::to_string(requests) +
                                  " requests under way, as many as it may; try again later"}
        .with_backlog({requests, parts_.view.wait_seconds(call.model)});
  }
  if (desk.enter(bytes)) return ok();
  desk.tenants().leave(tenant);
  return Error{Code::kBusy, "too many requests are waiting; try again later"}.with_backlog(
      {desk.streams(), parts_.view.wait_seconds(call.model)});
}

// To the runtime thread; for a user who has never asked before, by way of the custodian.
bool Intake::hand_on(const std::shared_ptr<StreamState>& stream, std::size_t bytes) {
  if (ledger::SubjectPtr known = parts_.custody.find(subject_name(stream->principal()))) {
    stream->belongs_to(std::move(known));
    const auto pushed = parts_.desk->tasks().try_push(
        [stream, bytes](Supervisor& supervisor) { supervisor.submit(stream, bytes); });
    return pushed == TaskQueue::Push::kAccepted;
  }
  return parts_.custodian.post([stream, bytes, desk = parts_.desk](ledger::Custody& custody) {
    introduce(custody, stream, bytes, *desk);
  });
}

}  // namespace aioss::runtime
