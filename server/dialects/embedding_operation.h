#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "router/router.h"
#include "server/http/http_types.h"

namespace spillway {

// One request for embeddings on its way through the router, answered as its dialect says.
//
// Owned by the connection, whose thread is the shard's; destroying it cancels the request.
class EmbeddingOperation : public HttpOperation, private EmbeddingSink {
 public:
  struct Format {
    std::function<HttpResponse(const EmbeddingAnswer&)> answer;
    std::function<HttpResponse(const GenerateError&)> error;
  };

  // `shard` and `writer` must outlive it.
  EmbeddingOperation(EmbeddingRequest request, Format format, RouterShard& shard,
                     ResponseWriter& writer);
  ~EmbeddingOperation() override;

 private:
  void OnEmbedded(const EmbeddingAnswer& answer) override;
  void OnEmbeddingFailed(const GenerateError& error) override;

  const Format format_;
  RouterShard& shard_;
  ResponseWriter& writer_;
  std::optional<RequestId> request_;  // none once it has ended
};

// "[0.25,-1]": each number in the fewest digits that give it back.
void AppendNumbers(const std::vector<float>& numbers, std::string& out);

}  // namespace spillway
