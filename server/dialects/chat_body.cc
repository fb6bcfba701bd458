#include "server/dialects/chat_body.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "server/dialects/json_escape.h"

namespace spillway {
namespace {

template <typename Number>
void AppendNumber(std::string_view name, const Number& value, std::string& out) {
  absl::StrAppend(&out, ",\"", std::string(name), "\":", value);
}

// The member that asks for it; empty: nothing is asked for. Nothing: OpenAI's API has no word for
// it.
std::optional<std::string> ResponseFormatOf(const GenerateRequest& request) {
  if (!request.constraint) return "";
  switch (request.constraint->kind) {
    case OutputConstraint::Kind::kJsonObject:
      return R"(,"response_format":{"type":"json_object"})";
    case OutputConstraint::Kind::kJsonSchema:
      return absl::StrCat(
          R"(,"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":)",
          request.constraint->text, "}}");
    case OutputConstraint::Kind::kRegex:
    case OutputConstraint::Kind::kChoice:
    case OutputConstraint::Kind::kGrammar:
    case OutputConstraint::Kind::kStructuralTag:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> ChatBodyOf(const GenerateRequest& request, bool stream) {
  const auto* chat = std::get_if<ChatPrompt>(&request.prompt);
  if (chat == nullptr || !chat->add_generation_prompt) return std::nullopt;
  const std::optional<std::string> format = ResponseFormatOf(request);
  if (!format) return std::nullopt;
  const SamplingOptions& sampling = request.sampling;
  std::string out = absl::StrCat("{\"model\":\"\",\"messages\":", chat->messages_json,
                                 ",\"stream\":", stream ? "true" : "false");
  if (!chat->tools_json.empty()) absl::StrAppend(&out, ",\"tools\":", chat->tools_json);
  if (sampling.temperature) AppendNumber("temperature", *sampling.temperature, out);
  if (sampling.top_p) AppendNumber("top_p", *sampling.top_p, out);
  if (sampling.top_k && *sampling.top_k > 0) AppendNumber("top_k", *sampling.top_k, out);
  if (sampling.presence_penalty != 0)
    AppendNumber("presence_penalty", sampling.presence_penalty, out);
  if (sampling.frequency_penalty != 0) {
    AppendNumber("frequency_penalty", sampling.frequency_penalty, out);
  }
  if (sampling.seed) AppendNumber("seed", *sampling.seed, out);
  if (request.new_tokens_max > 0) AppendNumber("max_tokens", request.new_tokens_max, out);
  if (!request.stop_strings.empty()) {
    out += ",\"stop\":[";
    for (const std::string& stop : request.stop_strings) {
      if (out.back() != '[') out += ',';
      AppendJsonString(out, stop);
    }
    out += ']';
  }
  return out + *format + "}";
}

}  // namespace spillway
