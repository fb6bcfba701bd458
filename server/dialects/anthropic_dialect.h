#pragma once

#include <memory>

#include "server/dialects/dialect_context.h"
#include "server/http/http_types.h"
#include "server/http/id_generator.h"
#include "server/http/route_table.h"

namespace spillway {

// Anthropic's API: /v1/messages and /v1/messages/count_tokens. One per server thread; not
// thread-safe.
class AnthropicDialect {
 public:
  // All that `context` refers to must outlive it.
  explicit AnthropicDialect(const DialectContext& context)
      : context_(context), ids_(context.id_seed) {}

  // The routes refer to this dialect, which must outlive the table.
  void AddRoutes(RouteTable& routes);

 private:
  std::unique_ptr<HttpOperation> Generate(HttpRequest& request, ResponseWriter& writer);
  std::unique_ptr<HttpOperation> Count(HttpRequest& request, ResponseWriter& writer);
  void Refuse(const HttpRequest& request, std::string_view message, ResponseWriter& writer) const;

  const DialectContext context_;
  IdGenerator ids_;
};

}  // namespace spillway
