#include "server/dialects/openai_dialect.h"

#include <utility>

#include "router/service.h"
#include "router/token_account.h"
#include "server/dialects/embedding_operation.h"
#include "server/dialects/openai_embeddings.h"
#include "server/dialects/openai_error.h"
#include "server/dialects/openai_models.h"
#include "server/dialects/openai_provider_answer.h"
#include "server/dialects/provider_access.h"
#include "server/dialects/request_origin.h"
#include "server/dialects/spill_plan.h"

namespace spillway {
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
                return ListOpenAiModels(request, router_, options_.providers, writer);
              }});
  routes.Add({"GET", "/v1/models/*", TokenRule::kAlways,
              [this](HttpRequest& request, ResponseWriter& writer) {
                return DescribeOpenAiModel(request, router_, options_.providers, writer);
              }});
}

std::unique_ptr<HttpOperation> OpenAiDialect::Generate(OpenAiEndpoint endpoint,
                                                       HttpRequest& request,
                                                       ResponseWriter& writer) {
  const bool chat = endpoint == OpenAiEndpoint::kChat;
  const auto kind = chat ? ProviderRequestKind::kChat : ProviderRequestKind::kCompletion;
  if (auto elsewhere = AtProvider(kind, request, writer)) return *std::move(elsewhere);
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
  return AnswerHereOrThere(kind, std::move(identity), std::move(openai), request, writer);
}

std::unique_ptr<HttpOperation> OpenAiDialect::AnswerHereOrThere(ProviderRequestKind kind,
                                                                OpenAiIdentity identity,
                                                                OpenAiRequest openai,
                                                                const HttpRequest& request,
                                                                ResponseWriter& writer) {
  std::optional<SpillOperation::Parts> parts =
      PlanSpill(options_.providers, request, identity.model);
  if (!parts) {
    return std::make_unique<OpenAiGeneration>(std::move(identity), std::move(openai),
                                              options_.timings, shard_, writer);
  }
  parts->request.kind = kind;
  parts->request.body = std::string(request.body);
  parts->demand = DemandOf(kind, request.body);
  parts->keep_alive_every = options_.timings.keep_alive_every;
  parts->answer = [kind, &writer] {
    return std::make_unique<OpenAiProviderAnswer>(PromptParam(kind), writer);
  };
  openai.generate.spill_after = options_.providers->policy().after;
  const auto kept = std::make_shared<const OpenAiRequest>(std::move(openai));
  parts->here = [this, kept, identity, &writer](Spiller* spiller) {
    OpenAiRequest again = *kept;
    if (spiller == nullptr) again.generate.spill_after = absl::InfiniteDuration();
    return std::make_unique<OpenAiGeneration>(identity, std::move(again), options_.timings, shard_,
                                              writer, spiller);
  };
  auto operation = std::make_unique<SpillOperation>(*std::move(parts), *options_.providers, writer);
  operation->Start();
  return operation;
}

std::unique_ptr<HttpOperation> OpenAiDialect::Embed(HttpRequest& request, ResponseWriter& writer) {
  if (auto elsewhere = AtProvider(ProviderRequestKind::kEmbeddings, request, writer)) {
    return *std::move(elsewhere);
  }
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

std::optional<std::unique_ptr<HttpOperation>> OpenAiDialect::AtProvider(ProviderRequestKind kind,
                                                                        HttpRequest& request,
                                                                        ResponseWriter& writer) {
  if (options_.providers == nullptr) return std::nullopt;
  std::string named = ModelNamedIn(request.body);
  if (named.empty()) named = request.service;
  if (!request.service.empty() && !CheckModelOfService(request.service, named).ok()) {
    return std::nullopt;
  }
  std::string model = named;
  std::optional<GenerateError> refusal;
  if (request.account != nullptr) refusal = request.account->ResolveModel(model);
  if (!refusal && (router_.Serves(model) || !options_.providers->Takes(model))) return std::nullopt;
  if (!refusal && MustStayHere(request)) refusal = MustStayError();
  ProviderClient client = ClientOf(request);
  if (!refusal && request.account != nullptr) {
    refusal = request.account->Reserve(DemandOf(kind, request.body), client.quota);
  }
  if (refusal) {
    const OpenAiError error = ToOpenAiError(*refusal, PromptParam(kind));
    ReportRefusal(request, error.status, options_.observer);
    writer.Send(ErrorResponse(error));
    return nullptr;
  }
  auto operation = std::make_unique<ProviderOperation>(
      *options_.providers,
      ProviderRequest{.kind = kind,
                      .body = std::string(request.body),
                      .model = std::move(model),
                      .client_model = named},
      std::move(client), std::make_unique<OpenAiProviderAnswer>(PromptParam(kind), writer),
      options_.timings.keep_alive_every, writer);
  operation->Start();
  return operation;
}

}  // namespace spillway
