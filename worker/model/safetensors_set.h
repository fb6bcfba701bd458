#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/model_folder.h"
#include "worker/model/safetensors.h"
#include "worker/model/sha256.h"

namespace spillway {

// All tensors of a Hugging Face folder: those of model.safetensors, or else of the shards that
// model.safetensors.index.json names.
// Immutable; what it returns lives as long as it does.
class SafetensorsSet {
 public:
  static constexpr size_t kShardsMax = 1024;

  // NOT_FOUND: the folder has neither; what it has instead, if that is PyTorch's own format.
  // INVALID_ARGUMENT: a tensor that the index promises isn't in its shard, or two shards have one
  // of the same name; else as SafetensorsFile::Open(). Every message names the file.
  static absl::StatusOr<std::unique_ptr<SafetensorsSet>> Open(const ModelFolder& folder);

  // nullptr when there is none of that name.
  const SafetensorsTensor* FindTensor(std::string_view name) const;
  // By name, sorted.
  const std::map<std::string_view, const SafetensorsTensor*>& tensors() const { return tensors_; }

  // All headers, and a few bytes out of each tensor: two models of one shape differ in their
  // weights only.
  void AddTo(Sha256& hash) const;

 private:
  SafetensorsSet() = default;
  absl::Status OpenFile(const ModelFolder& folder, const std::string& name);
  absl::Status OpenShards(const ModelFolder& folder);

  std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string_view, const SafetensorsTensor*> tensors_;
};

}  // namespace spillway
