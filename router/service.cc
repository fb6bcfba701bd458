#include "router/service.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"

namespace spillway {
namespace {

// A name in a message may come from a client: enough of it to recognise it, no more.
constexpr size_t kNameBytesShown = 100;

}  // namespace

std::string ServiceAlias(std::string_view model) {
  const size_t slash = model.rfind('/');
  if (slash != std::string_view::npos) model.remove_prefix(slash + 1);
  constexpr std::string_view kLatest = ":latest";
  if (model.ends_with(kLatest)) model.remove_suffix(kLatest.size());
  std::string alias(model);
  for (char& c : alias) c = c == ' ' || c == '_' ? '-' : absl::ascii_tolower(c);
  return alias;
}

absl::StatusOr<std::string> ResolveService(std::string_view model,
                                           std::span<const std::string> services) {
  CHECK(!services.empty());
  if (model.empty()) return services.front();
  if (std::find(services.begin(), services.end(), model) != services.end()) {
    return std::string(model);
  }
  const std::string alias = ServiceAlias(model);
  for (const std::string& service : services) {
    if (ServiceAlias(service) == alias) return service;
  }
  return absl::NotFoundError(
      absl::StrCat("model \"", std::string(model.substr(0, kNameBytesShown)),
                   "\" not found; this server has: ", absl::StrJoin(services, ", ")));
}

absl::Status CheckModelOfService(std::string_view model, std::string_view service) {
  if (model.empty() || ServiceAlias(model) == ServiceAlias(service)) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("model \"", std::string(model.substr(0, kNameBytesShown)),
                   "\" not found; this service has: ", std::string(service)));
}

}  // namespace spillway
