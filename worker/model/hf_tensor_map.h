#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/model/model_tensor.h"
#include "worker/model/safetensors_set.h"

namespace spillway {

// Makes the tensors of a Hugging Face folder answer to GGUF's names, one by one. What nobody took
// or ignored stands for a model that we don't run.
class HfTensorMap {
 public:
  explicit HfTensorMap(std::unique_ptr<SafetensorsSet> set);
  ~HfTensorMap();

  // nullptr: there is none.
  const SafetensorsTensor* Find(std::string_view hf_name) const {
    return set_->FindTensor(hf_name);
  }

  // INVALID_ARGUMENT: there is no such tensor. UNIMPLEMENTED: its dtype isn't BF16, F16 or F32.
  absl::Status Take(const std::string& hf_name, std::string gguf_name);
  // One of that name, if any, is not needed.
  void Ignore(const std::string& hf_name) { taken_.insert(hf_name); }

  // The end. `prefixes` and `suffixes`: of names that are not needed; `what`: the model, for
  // messages. UNIMPLEMENTED names a tensor that is left over.
  // The result owns the files; its HeaderHash() is of `config_text`, of the files' headers and of a
  // few bytes out of each tensor.
  absl::StatusOr<std::unique_ptr<TensorSource>> Finish(std::string_view config_text,
                                                       std::span<const std::string_view> prefixes,
                                                       std::span<const std::string_view> suffixes,
                                                       std::string_view what) &&;

 private:
  std::unique_ptr<SafetensorsSet> set_;
  std::map<std::string, ModelTensor, std::less<>> tensors_;  // by GGUF's name
  std::set<std::string, std::less<>> taken_;                 // by Hugging Face's
};

}  // namespace spillway
