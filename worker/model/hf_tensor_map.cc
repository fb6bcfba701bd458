#include "worker/model/hf_tensor_map.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

class MappedTensors final : public TensorSource {
 public:
  MappedTensors(std::unique_ptr<SafetensorsSet> set,
                std::map<std::string, ModelTensor, std::less<>> tensors, std::string hash)
      : set_(std::move(set)), tensors_(std::move(tensors)), hash_(std::move(hash)) {}

  const ModelTensor* FindTensor(std::string_view name) const override {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }
  std::string HeaderHash() const override { return hash_; }

 private:
  const std::unique_ptr<SafetensorsSet> set_;
  const std::map<std::string, ModelTensor, std::less<>> tensors_;
  const std::string hash_;
};

}  // namespace

HfTensorMap::HfTensorMap(std::unique_ptr<SafetensorsSet> set) : set_(std::move(set)) {}
HfTensorMap::~HfTensorMap() = default;

absl::Status HfTensorMap::Take(const std::string& hf_name, std::string gguf_name) {
  const SafetensorsTensor* const tensor = Find(hf_name);
  if (tensor == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("there is no tensor ", hf_name));
  }
  if (!tensor->type.has_value()) {
    return absl::UnimplementedError(
        absl::StrCat("tensor ", hf_name, " has the dtype ", tensor->dtype,
                     "; this build runs BF16, F16 and F32 of safetensors"));
  }
  taken_.insert(hf_name);
  ModelTensor mapped{.name = hf_name, .type = *tensor->type, .data = tensor->data};
  mapped.dims.assign(tensor->shape.rbegin(), tensor->shape.rend());
  tensors_.emplace(std::move(gguf_name), std::move(mapped));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TensorSource>> HfTensorMap::Finish(
    std::string_view config_text, std::span<const std::string_view> prefixes,
    std::span<const std::string_view> suffixes, std::string_view what) && {
  for (const auto& [name, tensor] : set_->tensors()) {
    const auto begins = [&it = name](std::string_view text) { return it.starts_with(text); };
    const auto ends = [&it = name](std::string_view text) { return it.ends_with(text); };
    if (taken_.contains(name) || std::any_of(prefixes.begin(), prefixes.end(), begins) ||
        std::any_of(suffixes.begin(), suffixes.end(), ends)) {
      continue;
    }
    return absl::UnimplementedError(absl::StrCat("tensor ", PrintableName(name), " (",
                                                 tensor->dtype, ") is no part of ",
                                                 std::string(what), " as this build runs it"));
  }
  Sha256 hash;
  hash.AddText(config_text);
  set_->AddTo(hash);
  return std::make_unique<MappedTensors>(std::move(set_), std::move(tensors_), hash.HexDigest());
}

}  // namespace spillway
