#include "router/providers/request_rewrite.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "router/providers/json_object_edit.h"

namespace spillway {
namespace {

constexpr std::string_view kOutputTokens = "max_tokens";
constexpr std::string_view kOtherOutputTokens = "max_completion_tokens";
constexpr std::string_view kThinkingTokens = "thinking_budget";
constexpr int64_t kChoicesMax = 128;
constexpr double kCountMax = 1e15;  // beyond it a number of tokens is none

absl::Status CheckIsObject(std::string_view body) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  // simdjson would copy from where there is nothing.
  const auto error =
      body.empty() ? simdjson::EMPTY : parser.parse(body.data(), body.size()).get(root);
  if (error != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body is not valid JSON: ", simdjson::error_message(error)));
  }
  if (!root.is_object()) return absl::InvalidArgumentError("the body must be a JSON object");
  return absl::OkStatus();
}

// Nothing: it is no number.
std::optional<double> NumberOf(std::string_view json) {
  double number = 0;
  const auto [end, error] = std::from_chars(json.data(), json.data() + json.size(), number);
  if (error != std::errc() || end != json.data() + json.size()) return std::nullopt;
  return number;
}

// The boolean at `name`, which each member of that name says from now on; nothing where there is
// none, or null. INVALID_ARGUMENT: anything else.
absl::StatusOr<std::optional<bool>> BoolAt(JsonObjectEdit& edit, std::string_view name) {
  const auto found = edit.Find(name);
  if (!found) return std::optional<bool>();
  const std::string value(*found);
  if (value != "true" && value != "false" && value != "null") {
    return absl::InvalidArgumentError(absl::StrCat(std::string(name), " must be true or false"));
  }
  edit.Set(name, value);
  return value == "null" ? std::nullopt : std::optional(value == "true");
}

void ApplyParameters(const ProviderRow& provider, JsonObjectEdit& edit) {
  for (const ParameterRow& row : provider.parameters) {
    if (!row.rename_to.empty()) {
      const auto there = edit.Find(row.rename_to);
      if (!edit.Find(row.name)) continue;
      if (there && *there != "null") {
        edit.Remove(row.name);
      } else {
        edit.Remove(row.rename_to);
        edit.Rename(row.name, row.rename_to);
      }
      continue;
    }
    edit.ChangeEach(row.name, [&row](std::string_view value) -> std::optional<std::string> {
      const std::optional<double> number = NumberOf(value);
      if (!number) return std::nullopt;
      if (*number < row.min) return std::string(row.below_min);
      if (*number > row.max) return std::string(row.above_max);
      return std::nullopt;
    });
  }
}

// Of both what is known and least.
std::optional<int64_t> Least(int64_t of_model, std::optional<int64_t> of_budget) {
  if (of_model == 0) return of_budget;
  return std::min(of_model, of_budget.value_or(of_model));
}

// Brings each `name` down to `max`. `strict`: what limits nothing (null, -1, a string) becomes
// `max`, too. Returns the most that is said in the end.
std::optional<int64_t> Limit(JsonObjectEdit& edit, std::string_view name,
                             std::optional<int64_t> max, bool strict) {
  std::optional<int64_t> most;
  edit.ChangeEach(name, [&](std::string_view value) -> std::optional<std::string> {
    const std::optional<double> number = NumberOf(value);
    const bool limits = number && *number >= 0;
    if (max && ((limits && *number > static_cast<double>(*max)) || (strict && !limits))) {
      most = *max;
      return std::to_string(*max);
    }
    if (limits && *number <= kCountMax) {
      most = std::max(most.value_or(0), static_cast<int64_t>(*number));
    }
    return std::nullopt;
  });
  return most;
}

// The same for a limit that must be said under a budget: `name`, or `other_name` where that is
// used.
std::optional<int64_t> LimitTokens(JsonObjectEdit& edit, std::string_view name,
                                   std::string_view other_name, int64_t of_model,
                                   std::optional<int64_t> of_budget) {
  const std::optional<int64_t> max = Least(of_model, of_budget);
  const std::optional<int64_t> said = Limit(edit, name, max, of_budget.has_value());
  std::optional<int64_t> also;
  if (!other_name.empty()) also = Limit(edit, other_name, max, of_budget.has_value());
  if (said || also) return std::max(said.value_or(0), also.value_or(0));
  if (!of_budget) return std::nullopt;
  edit.Set(name, std::to_string(*max));
  return max;
}

// The largest of the members `name`; 1 where there is none. INVALID_ARGUMENT: it is no such number.
absl::StatusOr<int64_t> ChoicesAt(JsonObjectEdit& edit, std::string_view name) {
  int64_t most = 1;
  bool fit = true;
  edit.ChangeEach(name, [&](std::string_view value) -> std::optional<std::string> {
    const std::optional<double> number = NumberOf(value);
    if (value == "null") return std::nullopt;
    if (number && *number >= 1 && *number <= kChoicesMax) {
      most = std::max(most, static_cast<int64_t>(*number));
    } else {
      fit = false;
    }
    return std::nullopt;
  });
  if (fit) return most;
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(name), " must be a number from 1 to ", kChoicesMax));
}

// Whether the client itself asked for a stream's usage. INVALID_ARGUMENT: not to be told.
absl::StatusOr<bool> AskForUsage(JsonObjectEdit& edit) {
  const auto value = edit.Find("stream_options");
  if (!value || *value == "null") {
    edit.Set("stream_options", R"({"include_usage":true})");
    return false;
  }
  auto options = JsonObjectEdit::Of(*value);
  if (!options) return absl::InvalidArgumentError("stream_options must be an object");
  ASSIGN_OR_RETURN(const std::optional<bool> asked, BoolAt(*options, "include_usage"));
  options->Set("include_usage", "true");
  edit.Set("stream_options", options->Text());
  return asked.value_or(false);
}

bool MayThink(const ProviderModelRow& model, std::optional<bool> enabled) {
  switch (model.thinking) {
    case ThinkingMode::kNever:
      return false;
    case ThinkingMode::kAlways:
      return true;
    case ThinkingMode::kOffByDefault:
      return enabled.value_or(false);
    case ThinkingMode::kOnByDefault:
      return enabled.value_or(true);
  }
  return true;
}

absl::Status RewriteGeneration(const ProviderRow& provider, ProviderRequestKind kind,
                               const RewriteOptions& options, JsonObjectEdit& edit,
                               RewrittenRequest& out) {
  const ProviderModelRow& model = FindModelRow(provider, options.model);
  ApplyParameters(provider, edit);
  ASSIGN_OR_RETURN(const std::optional<bool> stream, BoolAt(edit, "stream"));
  out.streams = stream.value_or(false);
  if (kind == ProviderRequestKind::kChat && provider.thinking_parameters) {
    ASSIGN_OR_RETURN(const std::optional<bool> enabled, BoolAt(edit, "enable_thinking"));
    out.thinks = MayThink(model, enabled);
    out.assemble = !out.streams && (out.thinks || model.stream_only);
  }
  if (out.assemble) {
    edit.Set("stream", "true");
    out.streams = true;
  }
  if (out.streams) {
    ASSIGN_OR_RETURN(const bool asked, AskForUsage(edit));
    out.usage_is_ours = !asked && !out.assemble;
  }
  out.output_tokens_max = LimitTokens(edit, kOutputTokens, kOtherOutputTokens,
                                      model.output_tokens_max, options.output_tokens_max);
  if (provider.thinking_parameters && out.thinks) {
    out.thinking_tokens_max = LimitTokens(edit, kThinkingTokens, "", model.thinking_tokens_max,
                                          options.thinking_tokens_max);
  }
  // Each of them costs as much, those of `best_of` that nobody gets to see among them.
  ASSIGN_OR_RETURN(const int64_t choices, ChoicesAt(edit, "n"));
  ASSIGN_OR_RETURN(const int64_t candidates, ChoicesAt(edit, "best_of"));
  out.choices = std::max(choices, candidates);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RewrittenRequest> RewriteRequest(const ProviderRow& provider,
                                                ProviderRequestKind kind, std::string_view body,
                                                const RewriteOptions& options) {
  RETURN_IF_ERROR(CheckIsObject(body));
  auto edit = JsonObjectEdit::Of(body);
  if (!edit) return absl::InvalidArgumentError("the body must be a JSON object");
  RewrittenRequest out;
  edit->Set(
      "model",
      nlohmann::json(options.model).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (kind != ProviderRequestKind::kEmbeddings) {
    RETURN_IF_ERROR(RewriteGeneration(provider, kind, options, *edit, out));
  }
  out.body = edit->Text();
  return out;
}

}  // namespace spillway
