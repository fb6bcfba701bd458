#include "worker/model/safetensors_set.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/json_object.h"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

constexpr const char* kFileName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr size_t kSampleBytes = 64;

absl::Status NoWeights(const ModelFolder& folder) {
  const bool pytorch = !folder.FilesEndingIn(".bin").empty();
  return absl::NotFoundError(absl::StrCat(
      "the folder has neither ", kFileName, " nor ", kIndexName,
      pytorch ? "; .bin files are not read: convert them to safetensors with transformers" : ""));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsSet>> SafetensorsSet::Open(const ModelFolder& folder) {
  std::unique_ptr<SafetensorsSet> set(new SafetensorsSet());
  if (folder.Has(kFileName)) {
    RETURN_IF_ERROR(set->OpenFile(folder, kFileName));
  } else if (folder.Has(kIndexName)) {
    RETURN_IF_ERROR(set->OpenShards(folder));
  } else {
    return NoWeights(folder);
  }
  return set;
}

absl::Status SafetensorsSet::OpenFile(const ModelFolder& folder, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string path, folder.PathOf(name));
  absl::StatusOr<std::unique_ptr<SafetensorsFile>> file = SafetensorsFile::Open(path);
  if (!file.ok()) {
    return absl::Status(file.status().code(), absl::StrCat(name, ": ", file.status().message()));
  }
  for (const SafetensorsTensor& tensor : (*file)->tensors()) {
    if (!tensors_.emplace(tensor.name, &tensor).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": tensor ", PrintableName(tensor.name), " is in another shard, too"));
    }
  }
  files_.emplace(name, *std::move(file));
  return absl::OkStatus();
}

absl::Status SafetensorsSet::OpenShards(const ModelFolder& folder) {
  ASSIGN_OR_RETURN(const std::string text, folder.ReadText(kIndexName, JsonLimits::kBytesMax));
  ASSIGN_OR_RETURN(const JsonObject index, JsonObject::Parse(text, kIndexName));
  ASSIGN_OR_RETURN(const JsonObject map, index.Object("weight_map"));
  std::map<std::string, std::vector<std::string>> shards;  // tensors by file
  for (const std::string& tensor : map.Keys()) {
    ASSIGN_OR_RETURN(const std::string file, map.String(tensor));
    shards[file].push_back(tensor);
  }
  if (shards.empty() || shards.size() > kShardsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        index.NameOf("weight_map"), " names ", shards.size(), " files, beyond 1 to ", kShardsMax));
  }
  for (const auto& [file, tensors] : shards) {
    // A plain name; the folder sees to it that no link leads elsewhere.
    if (file.find('/') != std::string::npos || !file.ends_with(".safetensors")) {
      return absl::InvalidArgumentError(
          absl::StrCat(index.NameOf("weight_map"), " names \"", PrintableName(file),
                       "\", which is no .safetensors of this folder"));
    }
    RETURN_IF_ERROR(OpenFile(folder, file));
    for (const std::string& tensor : tensors) {
      if (files_.at(file)->FindTensor(tensor) != nullptr) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          file, ": there is no tensor ", PrintableName(tensor), ", as ", kIndexName, " says"));
    }
  }
  return absl::OkStatus();
}

const SafetensorsTensor* SafetensorsSet::FindTensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

void SafetensorsSet::AddTo(Sha256& hash) const {
  for (const auto& [name, file] : files_) {
    hash.AddText(name);
    hash.AddNumber(file->header().size());
    hash.Add(file->header());
    for (const SafetensorsTensor& tensor : file->tensors()) {
      const size_t count = std::min(tensor.data.size(), kSampleBytes);
      hash.Add(tensor.data.subspan((tensor.data.size() - count) / 2, count));
    }
  }
}

}  // namespace spillway
