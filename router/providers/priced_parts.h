#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "router/providers/request_rewrite.h"

namespace spillway {

// What of a body counts for its price beside its bytes and max_tokens.
struct PricedParts {
  int64_t prompts = 1;  // of a completion with a list of them: each is answered
  // What in it may cost more than a token for each byte, as a name for people: "a part of type
  // image_url". Empty: nothing.
  std::string unbounded;
};

// Looks at all members, also at those that stand there twice. Unbounded is what isn't text (images,
// audio, files, also by "fileid://…"), tools that the provider runs, searches, audio answers,
// predicted outputs, other tiers of service, and marks that change what input costs
// (cache_control). A body that is no JSON object has nothing of it. Pure.
PricedParts FindPricedParts(ProviderRequestKind kind, std::string_view body);

}  // namespace spillway
