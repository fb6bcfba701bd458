// Clients' bodies on their way to a provider: what comes out is JSON, names the provider's model
// alone, keeps every member that no row speaks of byte for byte and in order, and under a budget
// has its limits.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/check.h"
#include "common/json_slices.h"
#include "router/providers/request_rewrite.h"

namespace {

using spillway::JsonMember;
using spillway::JsonNameIs;
using spillway::ProviderRequestKind;

constexpr std::array<std::string_view, 11> kMayChange = {"model",
                                                         "stream",
                                                         "stream_options",
                                                         "max_tokens",
                                                         "max_completion_tokens",
                                                         "temperature",
                                                         "top_p",
                                                         "top_k",
                                                         "thinking_budget",
                                                         "enable_thinking",
                                                         "n"};

std::vector<std::string> Untouched(std::string_view body) {
  std::vector<std::string> kept;
  const auto members = spillway::JsonSpelledMembers(body);
  CHECK(members.has_value());
  for (const JsonMember& member : *members) {
    const bool may_change =
        std::any_of(kMayChange.begin(), kMayChange.end(),
                    [&](std::string_view name) { return JsonNameIs(member.name, name); });
    if (!may_change) kept.push_back(std::string(member.name) + ":" + std::string(member.value));
  }
  return kept;
}

void CheckRewritten(std::string_view body, const spillway::RewrittenRequest& request,
                    ProviderRequestKind kind) {
  CHECK(nlohmann::json::accept(request.body));
  CHECK(Untouched(body) == Untouched(request.body));
  const auto members = spillway::JsonSpelledMembers(request.body);
  bool limited = false;
  for (const JsonMember& member : *members) {
    if (JsonNameIs(member.name, "model")) CHECK(member.value == "\"qwen3-32b\"");
    if (!JsonNameIs(member.name, "max_tokens")) continue;
    limited = true;
    const auto value = nlohmann::json::parse(member.value);
    if (kind != ProviderRequestKind::kEmbeddings) CHECK(value.is_number() && value <= 100);
  }
  CHECK(limited || kind == ProviderRequestKind::kEmbeddings);
  CHECK(request.streams || !request.assemble);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const auto kind : {ProviderRequestKind::kChat, ProviderRequestKind::kCompletion,
                          ProviderRequestKind::kEmbeddings}) {
    const auto request =
        RewriteRequest(*spillway::FindProvider("bailian"), kind, body,
                       {.model = "qwen3-32b", .output_tokens_max = 100, .thinking_tokens_max = 50});
    if (request.ok()) CheckRewritten(body, *request, kind);
  }
  return 0;
}
