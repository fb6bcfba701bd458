#include "server/dialects/anthropic_dialect.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "server/dialects/anthropic_answer.h"
#include "server/dialects/anthropic_error.h"
#include "server/dialects/anthropic_request.h"
#include "server/dialects/request_origin.h"
#include "server/dialects/single_request.h"

namespace spillway {
namespace {

// Asks a worker how many tokens a prompt has: it says so as soon as it accepts the request, which
// is then taken back. Owned by the connection; destroying it cancels the request.
class TokenCount : public HttpOperation, private ResponseSink {
 public:
  TokenCount(GenerateRequest request, RouterShard& shard, ResponseWriter& writer)
      : shard_(shard), writer_(writer), request_(shard_.Submit(std::move(request), *this)) {}
  ~TokenCount() override {
    if (!ended_) shard_.Cancel(request_);
  }

 private:
  void OnAccepted(int32_t prompt_tokens) override {
    ended_ = true;
    shard_.Cancel(request_);
    writer_.Send({.body = absl::StrCat("{\"input_tokens\":", prompt_tokens, "}")});
  }
  void OnFailed(const GenerateError& error) override {
    ended_ = true;
    writer_.Send(ToAnthropicResponse(error));
  }
  // They come after OnAccepted() only.
  void OnStarted(int32_t) override {}
  void OnDelta(int32_t, const OutputDelta&, int32_t) override {}
  void OnFinished(int32_t, FinishReason, const Usage&) override {}
  void OnBatchEnd() override {}

  RouterShard& shard_;
  ResponseWriter& writer_;
  bool ended_ = false;
  const RequestId request_;
};

}  // namespace

void AnthropicDialect::AddRoutes(RouteTable& routes) {
  routes.Add(
      {"POST", "/v1/messages", TokenRule::kAlways,
       [this](HttpRequest& request, ResponseWriter& writer) { return Generate(request, writer); }});
  routes.Add(
      {"POST", "/v1/messages/count_tokens", TokenRule::kAlways,
       [this](HttpRequest& request, ResponseWriter& writer) { return Count(request, writer); }});
}

void AnthropicDialect::Refuse(const HttpRequest& request, std::string_view message,
                              ResponseWriter& writer) const {
  ReportRefusal(request, 400, context_.observer);
  writer.Send(FormatAnthropicError(400, "", message));
}

std::unique_ptr<HttpOperation> AnthropicDialect::Generate(HttpRequest& request,
                                                          ResponseWriter& writer) {
  AnthropicParseResult parsed = ParseAnthropicMessages(request.body, context_.limits);
  if (const auto* refusal = std::get_if<AnthropicRefusal>(&parsed)) {
    Refuse(request, refusal->message, writer);
    return nullptr;
  }
  AnthropicRequest& anthropic = std::get<AnthropicRequest>(parsed);
  SetOrigin(request, anthropic.generate);
  std::string model = anthropic.generate.model;
  if (model.empty()) model = DefaultModelName(request, context_.router);
  const auto make_format = [id = "msg_" + ids_.Next(), model, show = anthropic.show_thinking] {
    return MakeAnthropicFormat(id, model, show);
  };
  return AnswerSingly(context_, request, std::move(anthropic.generate), anthropic.stream,
                      make_format, writer);
}

std::unique_ptr<HttpOperation> AnthropicDialect::Count(HttpRequest& request,
                                                       ResponseWriter& writer) {
  AnthropicParseResult parsed = ParseAnthropicCount(request.body, context_.limits);
  if (const auto* refusal = std::get_if<AnthropicRefusal>(&parsed)) {
    Refuse(request, refusal->message, writer);
    return nullptr;
  }
  AnthropicRequest& anthropic = std::get<AnthropicRequest>(parsed);
  SetOrigin(request, anthropic.generate);
  return std::make_unique<TokenCount>(std::move(anthropic.generate), context_.shard, writer);
}

}  // namespace spillway
