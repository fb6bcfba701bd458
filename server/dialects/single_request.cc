#include "server/dialects/single_request.h"

#include <optional>
#include <string>
#include <utility>

#include "router/error_table.h"
#include "router/service.h"
#include "router/token_account.h"
#include "server/dialects/chat_body.h"
#include "server/dialects/provider_access.h"
#include "server/dialects/request_origin.h"
#include "server/dialects/spill_plan.h"
#include "server/dialects/spilled_answer.h"

namespace spillway {
namespace {

// Of a model that is only there. Nothing: it isn't.
std::optional<std::unique_ptr<HttpOperation>> AnswerThere(
    const DialectContext& context, const HttpRequest& http, const GenerateRequest& request,
    bool stream, const MakeAnswerFormat& make_format, ResponseWriter& writer) {
  if (context.providers == nullptr) return std::nullopt;
  if (!http.service.empty() && !CheckModelOfService(http.service, request.model).ok()) {
    return std::nullopt;
  }
  std::string model = request.model;
  std::optional<GenerateError> refusal;
  if (http.account != nullptr) refusal = http.account->ResolveModel(model);
  if (!refusal && (context.router.Serves(model) || !context.providers->Takes(model))) {
    return std::nullopt;
  }
  if (!refusal && MustStayHere(http)) refusal = MustStayError();
  std::optional<std::string> body = ChatBodyOf(request, stream);
  if (!refusal && !body) {
    refusal = {.status = absl::InvalidArgumentError(
                   "this model is not served here but by a provider, which takes chats and no bare "
                   "prompts"),
               .reason = "invalid_request"};
  }
  ProviderClient client = ClientOf(http);
  if (!refusal && http.account != nullptr) {
    refusal = http.account->Reserve(DemandOf(ProviderRequestKind::kChat, *body), client.quota);
  }
  if (refusal) {
    const ErrorRow& row = FindErrorRow(refusal->status.code(), refusal->reason);
    ReportRefusal(http, row.http_status, context.observer);
    writer.Send(make_format()->ErrorResponse(*refusal));
    return nullptr;
  }
  auto operation = std::make_unique<ProviderOperation>(
      *context.providers,
      ProviderRequest{
          .body = *std::move(body), .model = std::move(model), .client_model = request.model},
      std::move(client), std::make_unique<SpilledAnswer>(make_format(), context.clock, writer),
      context.timings.keep_alive_every, writer);
  operation->Start();
  return operation;
}

}  // namespace

std::unique_ptr<HttpOperation> AnswerSingly(const DialectContext& context, HttpRequest& http,
                                            GenerateRequest request, bool stream,
                                            const MakeAnswerFormat& make_format,
                                            ResponseWriter& writer) {
  if (auto there = AnswerThere(context, http, request, stream, make_format, writer)) {
    return *std::move(there);
  }
  const std::string named =
      request.model.empty() ? DefaultModelName(http, context.router) : request.model;
  std::optional<SpillOperation::Parts> parts = PlanSpill(context.providers, http, named);
  std::optional<std::string> body;
  if (parts) body = ChatBodyOf(request, stream);
  if (!body) {
    return std::make_unique<SingleAnswer>(std::move(request), stream, make_format(),
                                          context.timings, context.shard, context.clock, writer);
  }
  parts->demand = DemandOf(ProviderRequestKind::kChat, *body);
  parts->request.body = *std::move(body);
  parts->keep_alive_every = context.timings.keep_alive_every;
  parts->answer = [make_format, &clock = context.clock, &writer] {
    return std::make_unique<SpilledAnswer>(make_format(), clock, writer);
  };
  request.spill_after = context.providers->policy().after;
  const auto kept = std::make_shared<const GenerateRequest>(std::move(request));
  parts->here = [kept, stream, make_format, &context, &writer](Spiller* spiller) {
    GenerateRequest again = *kept;
    if (spiller == nullptr) again.spill_after = absl::InfiniteDuration();
    return std::make_unique<SingleAnswer>(std::move(again), stream, make_format(), context.timings,
                                          context.shard, context.clock, writer, spiller);
  };
  auto operation = std::make_unique<SpillOperation>(*std::move(parts), *context.providers, writer);
  operation->Start();
  return operation;
}

}  // namespace spillway
