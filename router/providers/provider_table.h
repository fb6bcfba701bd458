#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "absl/time/time.h"
#include "router/providers/provider_error.h"

namespace spillway {

// Whether a model thinks before it answers, where a request doesn't say.
enum class ThinkingMode : uint8_t { kNever, kOffByDefault, kOnByDefault, kAlways };

// What is known of some of a provider's models.
struct ProviderModelRow {
  std::string_view pattern;  // a name; or its beginning, with a * behind it
  ThinkingMode thinking;
  bool stream_only;             // refuses what is not streamed
  int64_t output_tokens_max;    // 0: not known
  int64_t thinking_tokens_max;  // 0: not known
};

// How one member of a request's JSON is changed before it is sent.
struct ParameterRow {
  std::string_view name;
  // The name that it gets. Where the request has a member of that name already, this one goes.
  std::string_view rename_to = {};
  // A number beyond these becomes this text, or goes where the text is empty.
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::string_view below_min = {};
  std::string_view above_max = {};
};

// All that is peculiar to one provider. A row is data; nothing else in the tree knows a provider's
// ways.
struct ProviderRow {
  std::string_view name;
  std::string_view base_url;      // of its OpenAI-compatible API; empty: must be configured
  std::string_view key_variable;  // of the environment
  std::span<const ProviderModelRow> models;  // the first that fits; the last fits all
  std::span<const ParameterRow> parameters;
  std::span<const ProviderErrorRow> errors;
  // It knows enable_thinking and thinking_budget.
  bool thinking_parameters;
  // What isn't streamed is given up by it after so long.
  absl::Duration whole_answer_max;
};

// "bailian", and "generic" for whatever else speaks OpenAI's dialect.
std::span<const ProviderRow> ProviderTable();

// nullptr: there is none of that name.
const ProviderRow* FindProvider(std::string_view name);

// Never fails: the last row of a provider's models fits all names. Case doesn't count.
const ProviderModelRow& FindModelRow(const ProviderRow& provider, std::string_view model);

}  // namespace spillway
