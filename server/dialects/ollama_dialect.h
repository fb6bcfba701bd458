#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/dialects/dialect_context.h"
#include "server/dialects/ollama_answer.h"
#include "server/dialects/ollama_request.h"
#include "server/http/http_types.h"
#include "server/http/route_table.h"

namespace spillway {

// Bytes of the models' files, by name, where they are known: /api/tags tells them.
using ModelSizes = std::map<std::string, int64_t>;

// Ollama's API under /api. What changes Ollama's own store of models (pull, push, create, copy,
// delete, blobs) is refused with 501: this server has the models that it was started with. One per
// server thread; not thread-safe.
class OllamaDialect {
 public:
  // All that `context` refers to must outlive it.
  OllamaDialect(DialectContext context, ModelSizes sizes)
      : context_(context), sizes_(std::move(sizes)) {}

  // The routes refer to this dialect, which must outlive the table.
  void AddRoutes(RouteTable& routes);

 private:
  std::unique_ptr<HttpOperation> Generate(OllamaEndpoint endpoint, HttpRequest& request,
                                          ResponseWriter& writer);
  // `batch`: /api/embed, else /api/embeddings.
  std::unique_ptr<HttpOperation> Embed(bool batch, HttpRequest& request, ResponseWriter& writer);
  void ListModels(const HttpRequest& request, ResponseWriter& writer) const;
  void ListRunning(const HttpRequest& request, ResponseWriter& writer) const;
  void Show(HttpRequest& request, ResponseWriter& writer) const;
  void Refuse(const HttpRequest& request, std::string_view message, ResponseWriter& writer) const;
  // The model that `name` means; without one the refusal has been sent.
  std::optional<ModelInfo> FindModel(const std::string& name, const HttpRequest& request,
                                     ResponseWriter& writer) const;
  // The members that a model has in every list, without the closing brace.
  std::string ModelMembers(const ModelInfo& model) const;

  const DialectContext context_;
  const ModelSizes sizes_;
};

}  // namespace spillway
