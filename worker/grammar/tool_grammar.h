#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/grammar/grammar_source.h"
#include "worker/grammar/json_schema.h"
#include "worker/text/tool_call_format.h"

namespace spillway {

struct ToolGrammar {
  GrammarSource source;
  const ToolCallFormat* format = nullptr;  // in which the calls will be found
};

// Calls of tools and nothing else: of any of those in `tools_json` (OpenAI's shape), or of `name`
// if it isn't empty. In the model's own format where that is JSON and text; else as the generic
// one. The arguments are as the tool's parameters say. Where these hold what isn't supported, they
// are any object, unless the tool is `strict`.
//
// INVALID_ARGUMENT: there is no such tool, or a strict one is unfit; says why.
absl::StatusOr<ToolGrammar> MakeToolGrammar(std::string_view tools_json,
                                            const ToolCallFormat& format, std::string_view name,
                                            bool one_call, const JsonSchemaLimits& limits = {});

}  // namespace spillway
