#pragma once

#include <cstdint>
#include <memory>

#include "worker/embedding_engine.h"
#include "worker/embedding_tokenizer.h"
#include "worker/worker_identity.h"

namespace grpc {
class Service;
}

namespace spillway {

struct EmbeddingServiceLimits {
  int32_t requests_max = 256;                // received and not yet tokenized
  int32_t inputs_max = 2048;                 // texts of one request, as OpenAI has it
  size_t input_bytes_max = size_t{1} << 20;  // of one text
  size_t reply_bytes_max = size_t{3} << 20;  // of the vectors: gRPC takes 4 MiB by default
};

// What Describe says.
struct EmbeddingInfo {
  WorkerIdentity identity;
  int32_t text_tokens_max = 0;
  int32_t vocabulary_size = 0;
  int32_t vector_size = 0;
};

// The gRPC face of a worker whose model is an encoder: Embed, Describe and Control of
// proto/worker.proto. Everything that a text model does is UNIMPLEMENTED.
//
// Threads: gRPC's call in; one thread of its own ("tokenize") turns texts into tokens, in order, so
// that a long request holds up neither gRPC nor the engine; replies go out on the engine's thread.
// `tokenizer` and `engine` outlive it. Stop the engine, then shut the gRPC server down, then
// destroy it.
class EmbeddingService {
 public:
  EmbeddingService(const EmbeddingServiceLimits& limits, EmbeddingInfo info,
                   const EmbeddingTokenizer& tokenizer, EmbeddingEngine& engine);
  ~EmbeddingService();

  // To register with a gRPC server.
  grpc::Service& service();

  // Refuses new requests while true; those under way go on.
  void SetDraining(bool draining);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
