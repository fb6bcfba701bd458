#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "router/providers/provider_table.h"

namespace spillway {

// Which of OpenAI's requests a body is.
enum class ProviderRequestKind : uint8_t { kChat, kCompletion, kEmbeddings };

struct RewriteOptions {
  std::string model;  // what the provider calls it
  // Under a budget of money: no choice may be longer, whether the request says so or not.
  std::optional<int64_t> output_tokens_max;
  std::optional<int64_t> thinking_tokens_max;
};

struct RewrittenRequest {
  std::string body;
  bool streams = false;        // the provider will stream
  bool assemble = false;       // …and the client did not ask for that: make one answer of it
  bool usage_is_ours = false;  // the client did not ask for a stream's usage: it gets none
  bool thinks = false;         // it may think before it answers
  int64_t choices = 1;         // that are paid for
  std::optional<int64_t> output_tokens_max;  // of each choice, as it is sent
  std::optional<int64_t> thinking_tokens_max;
};

// Makes a client's request one for a provider. All that changes:
//
//   model                 the provider's name for it
//   the provider's parameters, as its row says: renamed, brought within a limit, left out
//   stream                true where the provider gives this answer in no other way: what thinks is
//                         refused unstreamed, and anything unstreamed ends after whole_answer_max
//   stream_options        include_usage is true: what isn't counted can't be charged for
//   max_tokens, thinking_budget    at most what the model's row or a budget allows
//
// Every other byte stays what it was: order, spaces, the spelling of numbers, images, fields that
// nobody here knows. Values of a type that is none of theirs are left for the provider to refuse,
// but where it has to be known what they mean.
//
// INVALID_ARGUMENT, with a message for people: it is no JSON object, or `stream`, `stream_options`,
// `enable_thinking`, `n` or `best_of` is no such thing. Pure.
absl::StatusOr<RewrittenRequest> RewriteRequest(const ProviderRow& provider,
                                                ProviderRequestKind kind, std::string_view body,
                                                const RewriteOptions& options);

}  // namespace spillway
