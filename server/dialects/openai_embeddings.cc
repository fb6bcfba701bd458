#include "server/dialects/openai_embeddings.h"

#include <bit>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/dialects/embedding_operation.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/json_fields.h"
#include "server/dialects/text_inputs.h"

namespace spillway {
namespace {

using nlohmann::json;

constexpr int64_t kDimensionsMax = 1 << 20;

// SDKs ask for it by default: a third of the bytes that digits take.
void AppendBase64(const std::vector<float>& numbers, std::string& out) {
  static_assert(std::endian::native == std::endian::little);
  const absl::string_view bytes(reinterpret_cast<const char*>(numbers.data()),
                                numbers.size() * sizeof(float));
  out += '"';
  out += absl::Base64Escape(bytes);
  out += '"';
}

}  // namespace

std::variant<OpenAiEmbeddingRequest, OpenAiError> ParseEmbeddingRequest(
    std::string_view body, const DialectLimits& limits) {
  const absl::StatusOr<json> parsed = ParseJsonObject(body);
  if (!parsed.ok()) return InvalidRequest(std::string(parsed.status().message()));
  FieldReader reader(*parsed);
  OpenAiEmbeddingRequest request;
  request.embed.model = reader.String("model").value_or("");
  request.embed.timeout = limits.request_time;
  request.embed.inputs = ReadTextInputs(reader, "input", limits.embedding_inputs_max, limits);
  const std::string format = reader.String("encoding_format").value_or("float");
  request.base64 = format == "base64";
  if (format != "float" && format != "base64") {
    reader.Fail("encoding_format",
                absl::StrCat("encoding_format must be \"float\" or \"base64\", not ",
                             ShowJson(json(format))));
  }
  if (const auto dimensions = reader.Integer("dimensions", 1, kDimensionsMax)) {
    request.dimensions = static_cast<int32_t>(*dimensions);
  }
  if (reader.error()) return InvalidRequest(reader.error()->message, reader.error()->param);
  return request;
}

HttpResponse OpenAiEmbeddingResponse(const EmbeddingAnswer& answer, std::string_view model,
                                     bool base64, std::optional<int32_t> dimensions) {
  const size_t size = answer.vectors.front().size();
  if (dimensions && static_cast<size_t>(*dimensions) != size) {
    return ErrorResponse(InvalidRequest(
        absl::StrCat("dimensions is ", *dimensions, ", but the vectors of model \"", answer.service,
                     "\" have ", size, " numbers and can't be shortened; leave it out"),
        "dimensions"));
  }
  HttpResponse response;
  std::string& out = response.body;
  out = "{\"object\":\"list\",\"data\":[";
  for (size_t i = 0; i < answer.vectors.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ",", "{\"object\":\"embedding\",\"index\":", i,
                    ",\"embedding\":");
    if (base64) {
      AppendBase64(answer.vectors[i], out);
    } else {
      AppendNumbers(answer.vectors[i], out);
    }
    out += '}';
  }
  out += "],\"model\":";
  AppendJsonString(out, model);
  absl::StrAppend(&out, ",\"usage\":{\"prompt_tokens\":", answer.prompt_tokens,
                  ",\"total_tokens\":", answer.prompt_tokens, "}}");
  return response;
}

}  // namespace spillway
