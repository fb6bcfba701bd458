#include "server/dialects/spill_operation.h"

#include <string>
#include <utility>

#include "router/error_table.h"

namespace spillway {

SpillOperation::SpillOperation(Parts parts, ProviderGateway& gateway, ResponseWriter& writer)
    : parts_(std::move(parts)), gateway_(gateway), writer_(writer) {}

void SpillOperation::Start() {
  if (parts_.prefer && GoThere(kPreferred)) return;
  here_ = parts_.here(this);
  current_ = here_.get();
}

bool SpillOperation::TakeOver(const GenerateError& why) {
  refusal_ = why;
  const std::string_view reason = why.reason == kWaitOverSpillAfter
                                      ? kWaitOverSpillAfter
                                      : KnownReason(why.status.code(), why.reason);
  return there_ == nullptr && GoThere(reason);
}

// False: there is nobody to go to.
bool SpillOperation::GoThere(std::string_view reason) {
  if (!gateway_.providers().MightTake(parts_.request.model, gateway_.clock().Now())) return false;
  ProviderClient client = std::move(parts_.client);
  if (parts_.account != nullptr && parts_.account->Reserve(parts_.demand, client.quota)) {
    parts_.client = std::move(client);
    return false;
  }
  reason_ = reason;
  client.spill_reason = reason;
  there_ = std::make_unique<ProviderOperation>(
      gateway_, std::move(parts_.request), std::move(client), parts_.answer(),
      parts_.keep_alive_every, writer_,
      [this](ProviderFailure& failure) { return OnThereFailed(failure); });
  current_ = there_.get();
  there_->Start();
  return true;
}

bool SpillOperation::OnThereFailed(ProviderFailure& failure) {
  if (failure.of_request) return false;
  if (StaysPossibleHere(reason_)) {
    // What was to wake the other side would make this one begin too early.
    writer_.WakeAfter(absl::InfiniteDuration());
    here_again_ = parts_.here(nullptr);
    current_ = here_again_.get();
    return true;
  }
  // What was wrong there is in the log; what the client can do about it is to wait for us.
  failure.error = *refusal_;
  return false;
}

}  // namespace spillway
