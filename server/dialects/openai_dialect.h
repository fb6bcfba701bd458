#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/clock.h"
#include "router/providers/request_rewrite.h"
#include "router/request_observer.h"
#include "router/router.h"
#include "server/dialects/dialect_limits.h"
#include "server/dialects/openai_chunk_writer.h"
#include "server/dialects/openai_generation.h"
#include "server/dialects/openai_request.h"
#include "server/http/http_types.h"
#include "server/http/id_generator.h"
#include "server/http/route_table.h"
#include "server/providers/provider_gateway.h"

namespace spillway {

struct OpenAiOptions {
  DialectLimits limits;
  StreamTimings timings;
  std::string fingerprint = "spillway";  // system_fingerprint
  uint64_t id_seed = 0;                  // of the ids of answers
  RequestObserver* observer = nullptr;   // hears of requests that never reach the router
  ProviderGateway* providers = nullptr;  // null: there are none
};

// OpenAI's API: chat, completions, embeddings and models. One per server thread; not thread-safe.
class OpenAiDialect {
 public:
  // All must outlive it; `shard` is this thread's.
  OpenAiDialect(OpenAiOptions options, const Router& router, RouterShard& shard,
                const Clock& clock);

  // The routes refer to this dialect, which must outlive the table.
  void AddRoutes(RouteTable& routes);

 private:
  std::unique_ptr<HttpOperation> Generate(OpenAiEndpoint endpoint, HttpRequest& request,
                                          ResponseWriter& writer);
  std::unique_ptr<HttpOperation> Embed(HttpRequest& request, ResponseWriter& writer);
  // By the workers here, or by a provider where they are exhausted.
  std::unique_ptr<HttpOperation> AnswerHereOrThere(ProviderRequestKind kind,
                                                   OpenAiIdentity identity, OpenAiRequest openai,
                                                   const HttpRequest& request,
                                                   ResponseWriter& writer);
  // Sends it to a provider if its model is there and not here; nothing: it isn't.
  std::optional<std::unique_ptr<HttpOperation>> AtProvider(ProviderRequestKind kind,
                                                           HttpRequest& request,
                                                           ResponseWriter& writer);

  const OpenAiOptions options_;
  const Router& router_;
  RouterShard& shard_;
  const Clock& clock_;
  IdGenerator ids_;
};

}  // namespace spillway
