#include "router/providers/provider_table.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace spillway {
namespace {

// ---- Bailian: Alibaba's Model Studio, DashScope ----

using enum ProviderAction;

// Both spellings of each: DashScope's own, and that of its compatible mode. From the error pages of
// Model Studio and Qwen Cloud; what is done about each is ours.
// clang-format off
constexpr std::array kBailianErrors = {
  //               code                                    http action          reason              alert
  ProviderErrorRow{"DataInspectionFailed",                  0,  kContentFilter, "content_filter",   false},
  ProviderErrorRow{"data_inspection_failed",                0,  kContentFilter, "content_filter",   false},
  ProviderErrorRow{"InternalError.Algo.DataInspectionFailed",0, kContentFilter, "content_filter",   false},
  ProviderErrorRow{"IPInfringementSuspect",                 0,  kContentFilter, "content_filter",   false},
  ProviderErrorRow{"CustomRoleBlocked",                     0,  kContentFilter, "content_filter",   false},
  ProviderErrorRow{"FaqRuleBlocked",                        0,  kContentFilter, "content_filter",   false},

  ProviderErrorRow{"InternalError.Algo.InvalidParameter",   0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"InvalidParameter",                      0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"InvalidParameter.*",                    0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"invalid_parameter_error",               0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"BadRequest.*",                          0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"UnsupportedOperation",                  0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"ClientDisconnect",                      0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"FlowNotPublished",                      0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"InvalidURL",                            0,  kPassOn,        "invalid_request",  false},

  ProviderErrorRow{"Arrearage",                             0,  kBlockKey,      "billing",          true},
  ProviderErrorRow{"PrepaidBillOverdue",                    0,  kBlockKey,      "billing",          true},
  ProviderErrorRow{"PostpaidBillOverdue",                   0,  kBlockKey,      "billing",          true},
  // Of one commodity: other models may have been bought.
  ProviderErrorRow{"CommodityNotPurchased",                 0,  kBlockModel,    "billing",          true},
  ProviderErrorRow{"AccessDenied.Unpurchased",              0,  kBlockModel,    "billing",          true},
  ProviderErrorRow{"AllocationQuota.FreeTierOnly",          0,  kBlockModel,    "billing",          true},
  // Of a free allowance that is spent. With 429 the same word is the minute's tokens.
  ProviderErrorRow{"insufficient_quota",                    403, kBlockModel,   "billing",          true},

  ProviderErrorRow{"InvalidApiKey",                         0,  kBlockKey,      "credentials",      true},
  ProviderErrorRow{"invalid_api_key",                       0,  kBlockKey,      "credentials",      true},
  ProviderErrorRow{"NOT AUTHORIZED",                        0,  kBlockKey,      "credentials",      true},
  ProviderErrorRow{"Workspace.AccessDenied",                0,  kBlockKey,      "credentials",      true},
  ProviderErrorRow{"WorkSpaceNotFound",                     0,  kBlockKey,      "credentials",      true},
  ProviderErrorRow{"AccessDenied",                          0,  kBlockModel,    "model_denied",     true},
  ProviderErrorRow{"access_denied",                         0,  kBlockModel,    "model_denied",     true},
  ProviderErrorRow{"Model.AccessDenied",                    0,  kBlockModel,    "model_denied",     true},
  ProviderErrorRow{"App.AccessDenied",                      0,  kBlockModel,    "model_denied",     true},
  ProviderErrorRow{"ModelNotFound",                         0,  kBlockModel,    "model_not_found",  true},
  ProviderErrorRow{"model_not_found",                       0,  kBlockModel,    "model_not_found",  true},
  ProviderErrorRow{"model_not_supported",                   0,  kBlockModel,    "model_not_found",  true},
  ProviderErrorRow{"NotFound",                              0,  kBlockModel,    "model_not_found",  true},

  ProviderErrorRow{"Throttling",                            0,  kBackOff,       "throttled",        false},
  ProviderErrorRow{"Throttling.*",                          0,  kBackOff,       "throttled",        false},
  ProviderErrorRow{"LimitRequests",                         0,  kBackOff,       "throttled",        false},
  ProviderErrorRow{"limit_requests",                        0,  kBackOff,       "throttled",        false},
  ProviderErrorRow{"limit_burst_rate",                      0,  kBackOff,       "throttled",        false},
  ProviderErrorRow{"insufficient_quota",                    0,  kBackOff,       "throttled",        false},
  ProviderErrorRow{"ModelServingError",                     0,  kBackOff,       "provider_busy",    false},
  ProviderErrorRow{"ModelUnavailable",                      0,  kBackOff,       "provider_busy",    false},

  // After 300 s of work that may be charged for.
  ProviderErrorRow{"RequestTimeOut",                        0,  kGiveUp,        "provider_timeout", false},

  ProviderErrorRow{"InternalError",                         0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"InternalError.*",                       0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"internal_error",                        0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"SystemError",                           0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"ModelServiceFailed",                    0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"ResponseTimeout",                       0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"InvokePluginFailed",                    0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"AppProcessFailed",                      0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"RewriteFailed",                         0,  kTryAgain,      "provider_failed",  false},
  ProviderErrorRow{"RetrievalFailed",                       0,  kTryAgain,      "provider_failed",  false},
};

// What Model Studio's pages on deep thinking and DeepSeek say of each. Where they say nothing a
// model is taken for one that may think only when asked to.
constexpr std::array kBailianModels = {
  //               pattern                     thinking                    stream  output  thinking
  ProviderModelRow{"deepseek-v3.2*",           ThinkingMode::kOffByDefault, false,  65536,  32768},
  ProviderModelRow{"deepseek-v3.1*",           ThinkingMode::kOffByDefault, false,  65536,  32768},
  ProviderModelRow{"deepseek-v3",              ThinkingMode::kNever,        false,      0,      0},
  ProviderModelRow{"deepseek-r1*",             ThinkingMode::kAlways,       false,      0,      0},
  ProviderModelRow{"qwq-*",                    ThinkingMode::kAlways,       true,       0,      0},
  ProviderModelRow{"qvq-*",                    ThinkingMode::kAlways,       true,       0,      0},
  // The open Qwen3 models think unless they are told not to; their commercial kin does not.
  ProviderModelRow{"qwen3-max*",               ThinkingMode::kOffByDefault, false,      0,      0},
  ProviderModelRow{"qwen3-coder*",             ThinkingMode::kNever,        false,      0,      0},
  ProviderModelRow{"qwen3-*",                  ThinkingMode::kOnByDefault,  false,      0,      0},
  ProviderModelRow{"*",                        ThinkingMode::kOffByDefault, false,      0,      0},
};

// temperature is in [0, 2) there and top_p in (0, 1]; -1 is what vLLM's clients send for no top_k.
// Higress keeps top_p off its ends likewise.
constexpr std::array kBailianParameters = {
  ParameterRow{.name = "max_completion_tokens", .rename_to = "max_tokens"},
  ParameterRow{.name = "temperature", .max = 1.99, .above_max = "1.99"},
  ParameterRow{.name = "top_p", .min = 1e-6, .below_min = "0.000001"},
  ParameterRow{.name = "top_k", .min = 0},
};

// ---- any other server with OpenAI's API ----

constexpr std::array kGenericErrors = {
  ProviderErrorRow{"content_filter",                        0,  kContentFilter, "content_filter",   false},
  ProviderErrorRow{"content_policy_violation",              0,  kContentFilter, "content_filter",   false},
  ProviderErrorRow{"context_length_exceeded",               0,  kPassOn,        "invalid_request",  false},
  ProviderErrorRow{"model_not_found",                       0,  kBlockModel,    "model_not_found",  true},
  ProviderErrorRow{"NotFoundError",                         0,  kBlockModel,    "model_not_found",  true},
  ProviderErrorRow{"invalid_api_key",                       0,  kBlockKey,      "credentials",      true},
  ProviderErrorRow{"account_deactivated",                   0,  kBlockKey,      "credentials",      true},
  // At OpenAI an account without money; a minute's tokens only at Bailian.
  ProviderErrorRow{"insufficient_quota",                    0,  kBlockKey,      "billing",          true},
  ProviderErrorRow{"billing_hard_limit_reached",            0,  kBlockKey,      "billing",          true},
  ProviderErrorRow{"rate_limit_exceeded",                   0,  kBackOff,       "throttled",        false},
  // Another Spillway's refusals.
  ProviderErrorRow{"queue_full",                            0,  kBackOff,       "provider_busy",    false},
  ProviderErrorRow{"predicted_wait_over_deadline",          0,  kBackOff,       "provider_busy",    false},
  ProviderErrorRow{"no_ready_replica",                      0,  kBackOff,       "provider_busy",    false},
  ProviderErrorRow{"draining",                              0,  kBackOff,       "provider_busy",    false},
  ProviderErrorRow{"deadline_exceeded",                     0,  kGiveUp,        "provider_timeout", false},
  ProviderErrorRow{"invalid_request_error",                 400, kPassOn,       "invalid_request",  false},
};

constexpr std::array kGenericModels = {
  ProviderModelRow{"*", ThinkingMode::kOffByDefault, false, 0, 0},
};

constexpr std::array kProviders = {
  ProviderRow{.name = "bailian",
              .base_url = "https://dashscope.aliyuncs.com/compatible-mode/v1",
              .key_variable = "DASHSCOPE_API_KEY",
              .models = kBailianModels,
              .parameters = kBailianParameters,
              .errors = kBailianErrors,
              .thinking_parameters = true,
              .whole_answer_max = absl::Seconds(300)},
  ProviderRow{.name = "generic",
              .base_url = "",
              .key_variable = "OPENAI_API_KEY",
              .models = kGenericModels,
              .parameters = {},
              .errors = kGenericErrors,
              .thinking_parameters = false,
              .whole_answer_max = absl::InfiniteDuration()},
};
// clang-format on

bool BeginsWithoutCase(std::string_view text, std::string_view begin) {
  return text.size() >= begin.size() &&
         std::equal(begin.begin(), begin.end(), text.begin(), [](unsigned char a, unsigned char b) {
           return std::tolower(a) == std::tolower(b);
         });
}

bool Fits(std::string_view pattern, std::string_view model) {
  if (pattern.ends_with('*'))
    return BeginsWithoutCase(model, pattern.substr(0, pattern.size() - 1));
  return model.size() == pattern.size() && BeginsWithoutCase(model, pattern);
}

}  // namespace

std::span<const ProviderRow> ProviderTable() { return kProviders; }

const ProviderRow* FindProvider(std::string_view name) {
  const auto row = std::find_if(kProviders.begin(), kProviders.end(),
                                [&](const ProviderRow& each) { return each.name == name; });
  return row == kProviders.end() ? nullptr : &*row;
}

const ProviderModelRow& FindModelRow(const ProviderRow& provider, std::string_view model) {
  const auto row =
      std::find_if(provider.models.begin(), provider.models.end(),
                   [&](const ProviderModelRow& each) { return Fits(each.pattern, model); });
  return row == provider.models.end() ? provider.models.back() : *row;
}

}  // namespace spillway
