#include "tests/worker/model/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "tests/worker/kernels/random_weights.h"

namespace spillway {
namespace {

struct Tensor {
  std::string name;
  std::vector<int64_t> dims;
  WeightFormat format;
};

TensorType TypeOf(WeightFormat format) {
  for (uint32_t number = 0; number < 64; ++number) {
    const std::optional<TensorType> type = TensorTypeFromNumber(number);
    if (type.has_value() && WeightFormatOf(*type) == format) return *type;
  }
  CHECK(false);
}

// Rows of all formats are whole blocks.
int32_t HiddenSizeFor(const TinyModelFormats& formats) {
  int32_t values = 32;
  for (const WeightFormat format : {formats.embedding, formats.attention, formats.value,
                                    formats.ffn, formats.up.value_or(formats.ffn), formats.down}) {
    values = std::max(values, InfoOf(format).source_values);
  }
  return values > 32 ? values : 64;
}

template <typename T>
void Append(std::vector<std::byte>& bytes, T value) {
  const auto* const from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof(value));
}

void AppendString(std::vector<std::byte>& bytes, const std::string& text) {
  Append(bytes, static_cast<uint64_t>(text.size()));
  const auto* const from = reinterpret_cast<const std::byte*>(text.data());
  bytes.insert(bytes.end(), from, from + text.size());
}

std::vector<Tensor> TensorsOf(const ModelSpec& spec, const TinyModelFormats& formats) {
  const int64_t hidden = spec.hidden_size;
  const int64_t query = int64_t{spec.head_count} * spec.head_size;
  const int64_t kv = int64_t{spec.kv_head_count} * spec.head_size;
  const int64_t ffn = spec.intermediate_size;
  std::vector<Tensor> tensors = {
      {"token_embd.weight", {hidden, spec.vocabulary_size}, formats.embedding},
      {"output_norm.weight", {hidden}, WeightFormat::kF32}};
  for (int32_t i = 0; i < spec.layer_count; ++i) {
    const auto add = [&](const char* name, std::vector<int64_t> dims, WeightFormat format) {
      tensors.push_back({absl::StrCat("blk.", i, ".", name, ".weight"), std::move(dims), format});
    };
    add("attn_norm", {hidden}, WeightFormat::kF32);
    add("attn_q", {hidden, query}, formats.attention);
    add("attn_k", {hidden, kv}, formats.attention);
    add("attn_v", {hidden, kv}, formats.value);
    add("attn_output", {query, hidden}, formats.attention);
    add("ffn_norm", {hidden}, WeightFormat::kF32);
    add("ffn_gate", {hidden, ffn}, formats.ffn);
    add("ffn_up", {hidden, ffn}, formats.up.value_or(formats.ffn));
    add("ffn_down", {ffn, hidden}, formats.down);
  }
  return tensors;
}

std::vector<std::byte> FileOf(const std::vector<Tensor>& tensors, uint32_t seed) {
  std::vector<std::byte> bytes;
  std::vector<std::byte> data;
  for (const char c : {'G', 'G', 'U', 'F'}) Append(bytes, c);
  Append(bytes, uint32_t{3});
  Append(bytes, static_cast<uint64_t>(tensors.size()));
  Append(bytes, uint64_t{0});  // no metadata
  for (const Tensor& tensor : tensors) {
    data.resize((data.size() + 31) / 32 * 32);
    AppendString(bytes, tensor.name);
    Append(bytes, static_cast<uint32_t>(tensor.dims.size()));
    for (const int64_t dim : tensor.dims) Append(bytes, dim);
    Append(bytes, static_cast<uint32_t>(TypeOf(tensor.format)));
    Append(bytes, static_cast<uint64_t>(data.size()));
    const auto rows = static_cast<int32_t>(tensor.dims.size() > 1 ? tensor.dims[1] : 1);
    const auto columns = static_cast<int32_t>(tensor.dims[0]);
    // Weights that keep activations near 1: norms around 1, the rest about 1 / sqrt(inputs).
    const bool norm = tensor.dims.size() == 1;
    const float scale = norm ? 1.0f : 1.5f / std::sqrt(static_cast<float>(columns));
    std::vector<std::byte> source = RandomSource(tensor.format, rows, columns, ++seed, scale);
    data.insert(data.end(), source.begin(), source.end());
  }
  bytes.resize((bytes.size() + 31) / 32 * 32);
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

}  // namespace

TinyModel::TinyModel(const TinyModelFormats& formats, uint32_t seed, int32_t rope_size) {
  spec_.architecture = "llama";
  spec_.layer_count = 2;
  spec_.hidden_size = HiddenSizeFor(formats);
  spec_.intermediate_size = spec_.hidden_size == 64 ? 96 : 2 * spec_.hidden_size;
  spec_.head_count = spec_.hidden_size == 64 ? 4 : spec_.hidden_size / 32;
  spec_.kv_head_count = spec_.head_count / 2;
  spec_.head_size = 32;
  spec_.vocabulary_size = 101;
  spec_.context_tokens_max = 1024;
  spec_.rms_norm_epsilon = 1e-5f;
  spec_.rope_size = rope_size;
  spec_.rope = MakeRope(1e4, spec_.rope_size);
  spec_.rope_layout = ModelSpec::RopeLayout::kInterleaved;
  spec_.tied_embeddings = true;
  bytes_ = FileOf(TensorsOf(spec_, formats), seed);
  auto file = GgufFile::Parse(bytes_);
  CHECK(file.ok());
  file_ = *std::move(file);
}

std::vector<double> TinyModel::Row(const char* tensor, int32_t layer, int64_t row,
                                   int64_t size) const {
  const std::string name = layer < 0 ? absl::StrCat(tensor, ".weight")
                                     : absl::StrCat("blk.", layer, ".", tensor, ".weight");
  const ModelTensor& found = *file_->FindTensor(name);
  const WeightFormat format = WeightFormatOf(found.type);
  std::vector<float> values(static_cast<size_t>(size));
  DequantizeRowReference(
      format, found.data.data() + row * SourceRowBytes(format, static_cast<int32_t>(size)),
      static_cast<int32_t>(size), values.data());
  return {values.begin(), values.end()};
}

std::vector<double> TinyModel::Multiply(const char* tensor, int32_t layer,
                                        const std::vector<double>& x) const {
  const std::string name = layer < 0 ? absl::StrCat(tensor, ".weight")
                                     : absl::StrCat("blk.", layer, ".", tensor, ".weight");
  const int64_t rows = file_->FindTensor(name)->dims[1];
  std::vector<double> out;
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<double> weights = Row(tensor, layer, row, static_cast<int64_t>(x.size()));
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += weights[i] * x[i];
    out.push_back(sum);
  }
  return out;
}

std::vector<double> TinyModel::Norm(const char* tensor, int32_t layer,
                                    const std::vector<double>& x) const {
  const std::vector<double> weights = Row(tensor, layer, 0, static_cast<int64_t>(x.size()));
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double scale =
      1 / std::sqrt(squares / static_cast<double>(x.size()) + spec_.rms_norm_epsilon);
  std::vector<double> out;
  for (size_t i = 0; i < x.size(); ++i) out.push_back(x[i] * scale * weights[i]);
  return out;
}

std::vector<double> TinyModel::ReferenceLogits(const std::vector<int32_t>& tokens) const {
  const auto head_size = static_cast<size_t>(spec_.head_size);
  const auto group = static_cast<size_t>(spec_.head_count / spec_.kv_head_count);
  const auto heads = static_cast<size_t>(spec_.head_count);
  const auto rotate = [&](std::vector<double>& x, size_t position) {  // pairs (2i, 2i + 1)
    for (size_t at = 0; at < x.size(); at += 2) {
      if (at % head_size >= static_cast<size_t>(spec_.rope_size)) continue;
      const double i = static_cast<double>(at % head_size) / 2;
      const double angle = static_cast<double>(position) * std::pow(1e4, -2 * i / spec_.rope_size);
      const double a = x[at];
      const double b = x[at + 1];
      x[at] = a * std::cos(angle) - b * std::sin(angle);
      x[at + 1] = a * std::sin(angle) + b * std::cos(angle);
    }
  };
  const auto round = [](std::vector<double>& x) {
    for (double& value : x) value = HalfToFloat(FloatToHalf(static_cast<float>(value)));
  };
  std::vector<std::vector<std::vector<double>>> keys(static_cast<size_t>(spec_.layer_count));
  auto values = keys;
  std::vector<double> logits;
  for (size_t position = 0; position < tokens.size(); ++position) {
    std::vector<double> x = Row("token_embd", -1, tokens[position], spec_.hidden_size);
    for (int32_t layer = 0; layer < spec_.layer_count; ++layer) {
      auto& layer_keys = keys[static_cast<size_t>(layer)];
      auto& layer_values = values[static_cast<size_t>(layer)];
      const std::vector<double> input = Norm("attn_norm", layer, x);
      std::vector<double> query = Multiply("attn_q", layer, input);
      layer_keys.push_back(Multiply("attn_k", layer, input));
      layer_values.push_back(Multiply("attn_v", layer, input));
      rotate(query, position);
      rotate(layer_keys.back(), position);
      round(layer_keys.back());
      round(layer_values.back());
      std::vector<double> attended(query.size());
      for (size_t head = 0; head < heads; ++head) {
        const size_t kv = head / group * head_size;
        std::vector<double> weights;
        double total = 0;
        for (size_t p = 0; p <= position; ++p) {
          double score = 0;
          for (size_t d = 0; d < head_size; ++d) {
            score += query[head * head_size + d] * layer_keys[p][kv + d];
          }
          weights.push_back(std::exp(score / std::sqrt(static_cast<double>(head_size))));
          total += weights.back();
        }
        for (size_t p = 0; p <= position; ++p) {
          for (size_t d = 0; d < head_size; ++d) {
            attended[head * head_size + d] += weights[p] / total * layer_values[p][kv + d];
          }
        }
      }
      const std::vector<double> projected = Multiply("attn_output", layer, attended);
      for (size_t i = 0; i < x.size(); ++i) x[i] += projected[i];
      const std::vector<double> ffn_input = Norm("ffn_norm", layer, x);
      std::vector<double> gate = Multiply("ffn_gate", layer, ffn_input);
      const std::vector<double> up = Multiply("ffn_up", layer, ffn_input);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
      const std::vector<double> down = Multiply("ffn_down", layer, gate);
      for (size_t i = 0; i < x.size(); ++i) x[i] += down[i];
    }
    if (position + 1 == tokens.size()) {
      logits = Multiply("token_embd", -1, Norm("output_norm", -1, x));
    }
  }
  return logits;
}

}  // namespace spillway
