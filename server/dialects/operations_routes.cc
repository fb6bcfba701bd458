#include "server/dialects/operations_routes.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

HttpResponse Text(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(body);
  return response;
}

HttpResponse Readiness(const Router& router, bool draining, bool no_model) {
  if (draining) return Text(503, "not ready: the server is shutting down\n");
  // Whether a provider answers is not asked here: nobody should take this server away because one
  // doesn't.
  if (no_model) return Text(200, "ready\n");
  std::string reasons;
  for (const ReplicaStatus& replica : router.Replicas()) {
    if (replica.ready) return Text(200, "ready\n");
    absl::StrAppend(&reasons, replica.name, ": ",
                    replica.reason.empty() ? "not ready" : replica.reason, "\n");
  }
  return Text(503, absl::StrCat("not ready: no worker is ready\n",
                                reasons.empty() ? "there are no workers\n" : reasons));
}

}  // namespace

void AddOperationsRoutes(RouteTable& routes, const Router& router, const MetricRegistry& metrics,
                         const std::atomic<bool>& draining, bool no_model,
                         std::function<StatusReport()> status) {
  routes.Add({"GET", "/", TokenRule::kNever, [](HttpRequest& request, ResponseWriter& writer) {
                // Ollama's clients look for these words.
                writer.Send(Text(200, request.listener.ollama
                                          ? "Ollama is running"
                                          : "This is Spillway, a server of language models.\n"
                                            "Chat: POST /v1/chat/completions (OpenAI's API), "
                                            "/v1/messages (Anthropic's), /api/chat (Ollama's)\n"
                                            "Models: GET /v1/models\n"));
                return nullptr;
              }});
  routes.Add({"GET", "/healthz", TokenRule::kNever, [](HttpRequest&, ResponseWriter& writer) {
                writer.Send(Text(200, "ok\n"));
                return nullptr;
              }});
  routes.Add({"GET", "/readyz", TokenRule::kNever,
              [&router, &draining, no_model](HttpRequest&, ResponseWriter& writer) {
                writer.Send(Readiness(router, draining.load(), no_model));
                return nullptr;
              }});
  routes.Add({"GET", "/metrics", TokenRule::kUnlessLoopback,
              [&metrics](HttpRequest&, ResponseWriter& writer) {
                HttpResponse response = Text(200, metrics.Scrape());
                response.content_type = "text/plain; version=0.0.4; charset=utf-8";
                writer.Send(std::move(response));
                return nullptr;
              }});
  routes.Add({"GET", "/status", TokenRule::kUnlessLoopback,
              [status = std::move(status)](HttpRequest&, ResponseWriter& writer) {
                HttpResponse response;
                response.body = StatusJson(status());
                writer.Send(std::move(response));
                return nullptr;
              }});
}

}  // namespace spillway
