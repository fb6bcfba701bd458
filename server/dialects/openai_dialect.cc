#include "server/dialects/openai_dialect.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/dialects/embedding_operation.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/model_capabilities.h"
#include "server/dialects/openai_embeddings.h"
#include "server/dialects/openai_error.h"
#include "server/dialects/request_origin.h"

namespace spillway {
namespace {

std::string ModelJson(const ModelInfo& model) {
  std::string out = "{\"id\":";
  AppendJsonString(out, model.name);
  // max_model_len is vLLM's name for it, which benchmarks and agents read.
  absl::StrAppend(&out, ",\"object\":\"model\",\"created\":", absl::ToUnixSeconds(model.created),
                  ",\"owned_by\":\"spillway\",\"max_model_len\":", model.context_tokens_max,
                  ",\"numerics_ids\":[");
  for (const std::string& id : model.numerics_ids) {
    if (out.back() != '[') out += ',';
    AppendJsonString(out, id);
  }
  absl::StrAppend(&out, "],\"capabilities\":", std::string(CapabilitiesJson(model)));
  if (model.embedding_size > 0) {
    absl::StrAppend(&out, ",\"embedding_size\":", model.embedding_size);
  }
  out += '}';
  return out;
}

}  // namespace

OpenAiDialect::OpenAiDialect(OpenAiOptions options, const Router& router, RouterShard& shard,
                             const Clock& clock)
    : options_(std::move(options)),
      router_(router),
      shard_(shard),
      clock_(clock),
      ids_(options_.id_seed) {}

void OpenAiDialect::AddRoutes(RouteTable& routes) {
  routes.Add({"POST", "/v1/chat/completions", TokenRule::kAlways,
              [this](HttpRequest& request, ResponseWriter& writer) {
                return Generate(OpenAiEndpoint::kChat, request, writer);
              }});
  routes.Add({"POST", "/v1/completions", TokenRule::kAlways,
              [this](HttpRequest& request, ResponseWriter& writer) {
                return Generate(OpenAiEndpoint::kCompletions, request, writer);
              }});
  routes.Add(
      {"POST", "/v1/embeddings", TokenRule::kAlways,
       [this](HttpRequest& request, ResponseWriter& writer) { return Embed(request, writer); }});
  routes.Add({"GET", "/v1/models", TokenRule::kAlways,
              [this](HttpRequest& request, ResponseWriter& writer) {
                ListModels(request, writer);
                return nullptr;
              }});
  routes.Add({"GET", "/v1/models/*", TokenRule::kAlways,
              [this](HttpRequest& request, ResponseWriter& writer) {
                DescribeModel(request, writer);
                return nullptr;
              }});
}

std::unique_ptr<HttpOperation> OpenAiDialect::Generate(OpenAiEndpoint endpoint,
                                                       HttpRequest& request,
                                                       ResponseWriter& writer) {
  const bool chat = endpoint == OpenAiEndpoint::kChat;
  OpenAiParseResult parsed = chat ? ParseChatRequest(request.body, options_.limits)
                                  : ParseCompletionRequest(request.body, options_.limits);
  if (const auto* error = std::get_if<OpenAiError>(&parsed)) {
    ReportRefusal(request, error->status, options_.observer);
    writer.Send(ErrorResponse(*error));
    return nullptr;
  }
  OpenAiRequest& openai = std::get<OpenAiRequest>(parsed);
  SetOrigin(request, openai.generate);
  OpenAiIdentity identity;
  identity.endpoint = endpoint;
  identity.id = (chat ? "chatcmpl-" : "cmpl-") + ids_.Next();
  identity.created_s = absl::ToUnixSeconds(clock_.WallNow());
  identity.model = openai.generate.model;
  identity.fingerprint = options_.fingerprint;
  if (identity.model.empty()) identity.model = DefaultModelName(request, router_);
  return std::make_unique<OpenAiGeneration>(std::move(identity), std::move(openai),
                                            options_.timings, shard_, writer);
}

std::unique_ptr<HttpOperation> OpenAiDialect::Embed(HttpRequest& request, ResponseWriter& writer) {
  auto parsed = ParseEmbeddingRequest(request.body, options_.limits);
  if (const auto* error = std::get_if<OpenAiError>(&parsed)) {
    ReportRefusal(request, error->status, options_.observer);
    writer.Send(ErrorResponse(*error));
    return nullptr;
  }
  OpenAiEmbeddingRequest& openai = std::get<OpenAiEmbeddingRequest>(parsed);
  SetOrigin(request, openai.embed);
  EmbeddingOperation::Format format = {
      .answer =
          [model = openai.embed.model, base64 = openai.base64,
           dimensions = openai.dimensions](const EmbeddingAnswer& answer) {
            return OpenAiEmbeddingResponse(answer, model.empty() ? answer.service : model, base64,
                                           dimensions);
          },
      .error =
          [](const GenerateError& error) { return ErrorResponse(ToOpenAiError(error, "input")); }};
  return std::make_unique<EmbeddingOperation>(std::move(openai.embed), std::move(format), shard_,
                                              writer);
}

void OpenAiDialect::ListModels(const HttpRequest& request, ResponseWriter& writer) const {
  HttpResponse response;
  response.body = "{\"object\":\"list\",\"data\":[";
  std::string_view separator;
  for (const ModelInfo& model : ModelsFor(request, router_)) {
    response.body += separator;
    response.body += ModelJson(model);
    separator = ",";
  }
  response.body += "]}";
  writer.Send(std::move(response));
}

void OpenAiDialect::DescribeModel(const HttpRequest& request, ResponseWriter& writer) const {
  const std::string& name = request.path_rest;
  std::string known;
  for (const ModelInfo& model : ModelsFor(request, router_)) {
    if (model.name == name) {
      HttpResponse response;
      response.body = ModelJson(model);
      writer.Send(std::move(response));
      return;
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", model.name);
  }
  OpenAiError error = InvalidRequest(
      absl::StrCat("model \"", name,
                   "\" not found; this server has: ", known.empty() ? "none yet" : known),
      "model");
  error.status = 404;
  error.code = "model_not_found";
  writer.Send(ErrorResponse(error));
}

}  // namespace spillway
