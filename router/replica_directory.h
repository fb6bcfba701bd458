#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "router/replica.h"
#include "router/text_embedder.h"
#include "router/upstream_event.h"

namespace spillway {

// The replicas as shards see them. Thread-safe.
class ReplicaDirectory {
 public:
  struct View {
    std::string service;
    std::vector<ReplicaSnapshot> replicas;  // of that service
  };

  virtual ~ReplicaDirectory() = default;
  // The replicas that serve `model`; without a name, those of the first service that generates.
  // Both empty when no replica has said yet what it serves.
  // NOT_FOUND: there are services, but none that `model` means.
  virtual absl::StatusOr<View> Find(const std::string& model) const = 0;
  // The same, but no name means the first service that makes embeddings.
  virtual absl::StatusOr<View> FindForEmbedding(const std::string& model) const {
    return Find(model);
  }
  // Null when it was removed. Shared, since a removal may be under way on another thread.
  virtual std::shared_ptr<SequenceCarrier> Upstream(ReplicaId id) const = 0;
  // Likewise.
  virtual std::shared_ptr<TextEmbedder> Embedder(ReplicaId /*id*/) const { return nullptr; }
  // Empty when it was removed.
  virtual std::string ReplicaName(ReplicaId id) const = 0;
  virtual bool draining() const = 0;
};

}  // namespace spillway
