#include "server/dialects/provider_access.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "common/json_slices.h"
#include "router/token_account.h"

namespace spillway {
namespace {

constexpr int64_t kBytesPerToken = 4;  // usual for English text

}  // namespace

std::string ModelNamedIn(std::string_view body) {
  const auto members = JsonSpelledMembers(body);
  if (!members) return "";
  for (auto member = members->rbegin(); member != members->rend(); ++member) {
    if (!JsonNameIs(member->name, "model")) continue;
    const nlohmann::json value =
        nlohmann::json::parse(member->value, nullptr, /*allow_exceptions=*/false);
    return value.is_string() ? value.get<std::string>() : "";
  }
  return "";
}

bool MustStayHere(const HttpRequest& request) {
  const auto value = request.Header("X-Spillway-Spill");
  return value && absl::EqualsIgnoreCase(absl::string_view(value->data(), value->size()), "never");
}

GenerateError MustStayError() {
  return {.status = absl::PermissionDeniedError(
              "this model is not served here but by a provider, and the header X-Spillway-Spill: "
              "never forbids to send the request there"),
          .reason = "spill_forbidden"};
}

TokenDemand DemandOf(ProviderRequestKind kind, std::string_view body) {
  TokenDemand demand = {.prompt_tokens = static_cast<int64_t>(body.size()) / kBytesPerToken};
  if (kind == ProviderRequestKind::kEmbeddings) return demand;
  GenerateRequest request;
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    const std::optional<std::string_view> said = JsonMemberValue(body, name);
    int32_t tokens = 0;
    if (said && absl::SimpleAtoi(absl::string_view(said->data(), said->size()), &tokens)) {
      request.new_tokens_max = std::max(request.new_tokens_max, tokens);
    }
  }
  return DemandOf(request, demand.prompt_tokens);
}

ProviderClient ClientOf(const HttpRequest& request) {
  return {.request_id = request.request_id,
          .token_id = request.account == nullptr ? "" : request.account->id(),
          .token_name = request.token_name,
          .traceparent = request.traceparent,
          .budgets =
              request.account == nullptr ? std::vector<MoneyLimit>() : request.account->Budgets()};
}

std::string_view PromptParam(ProviderRequestKind kind) {
  switch (kind) {
    case ProviderRequestKind::kChat:
      return "messages";
    case ProviderRequestKind::kCompletion:
      return "prompt";
    case ProviderRequestKind::kEmbeddings:
      return "input";
  }
  return "";
}

}  // namespace spillway
