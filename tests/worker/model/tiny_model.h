#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "worker/kernels/packed_matrix.h"
#include "worker/model/gguf.h"
#include "worker/model/model_spec.h"

namespace spillway {

// Which formats a tiny model's matrices have.
struct TinyModelFormats {
  WeightFormat embedding = WeightFormat::kQ8_0;
  WeightFormat attention = WeightFormat::kQ4_1;
  WeightFormat value = WeightFormat::kQ4_1;
  WeightFormat ffn = WeightFormat::kQ4_1;
  WeightFormat down = WeightFormat::kQ4_1;
  std::optional<WeightFormat> up;  // as ffn unless set
};

// A random model of two layers, small enough for unit tests, as a GGUF file in memory.
class TinyModel {
 public:
  // Heads have 32 elements, of which the first rope_size turn.
  explicit TinyModel(const TinyModelFormats& formats = {}, uint32_t seed = 1,
                     int32_t rope_size = 32);

  const ModelSpec& spec() const { return spec_; }
  const GgufFile& file() const { return *file_; }

  // The oracle: the logits after the last of `tokens`, in double, plain loops, weights as the file
  // has them, activations not quantised, keys and values rounded to f16.
  std::vector<double> ReferenceLogits(const std::vector<int32_t>& tokens) const;

 private:
  std::vector<double> Row(const char* tensor, int32_t layer, int64_t row, int64_t size) const;
  std::vector<double> Multiply(const char* tensor, int32_t layer,
                               const std::vector<double>& x) const;
  std::vector<double> Norm(const char* tensor, int32_t layer, const std::vector<double>& x) const;

  ModelSpec spec_;
  std::vector<std::byte> bytes_;
  std::unique_ptr<GgufFile> file_;
};

}  // namespace spillway
