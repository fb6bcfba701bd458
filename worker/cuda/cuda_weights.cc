#include "worker/cuda/cuda_weights.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/cuda/device_uploader.h"

namespace spillway {
namespace {

constexpr int64_t kAlignmentBytes = 256;

// Rows or columns in units (heads, or all at once) that grow to `padded`, with zeros at their ends.
struct Padding {
  int32_t unit = 1;
  int32_t padded = 1;

  bool needed() const { return unit != padded; }
  int32_t Padded(int32_t size) const { return size / unit * padded; }
  // Where a padded index comes from; -1: it is padding.
  int32_t SourceOf(int32_t index) const {
    const int32_t within = index % padded;
    return within < unit ? index / padded * unit + within : -1;
  }
};

// A matrix of the files, padded.
struct Segment {
  const MatrixTensor* source = nullptr;
  Padding rows;
  Padding columns;

  int32_t outputs() const { return rows.Padded(source->outputs); }
  int32_t inputs() const { return columns.Padded(source->inputs); }
  bool StaysQuantized() const {
    return IsQuantizedCudaFormat(source->format()) && !rows.needed() && !columns.needed() &&
           source->outputs % 8 == 0;
  }
};

bool HasFormatOf(HalfType type, WeightFormat format) {
  return format == (type == HalfType::kF16 ? WeightFormat::kF16 : WeightFormat::kBf16);
}

// Rows [first, first + count) of a segment as 16-bit values.
void FillHalves(const Segment& segment, HalfType type, int64_t first, int64_t count,
                uint16_t* into) {
  const MatrixTensor& source = *segment.source;
  const int32_t inputs = segment.inputs();
  const bool same = HasFormatOf(type, source.format()) && !segment.columns.needed();
  std::vector<float> values(static_cast<size_t>(source.inputs));
  for (int64_t i = 0; i < count; ++i, into += inputs) {
    const int32_t row = segment.rows.SourceOf(static_cast<int32_t>(first + i));
    if (row < 0) {
      std::fill_n(into, inputs, uint16_t{0});
    } else if (same) {
      std::memcpy(into, source.SourceRow(row), static_cast<size_t>(inputs) * sizeof(uint16_t));
    } else {
      DequantizeRowReference(source.format(), source.SourceRow(row), source.inputs, values.data());
      for (int32_t column = 0; column < inputs; ++column) {
        const int32_t from = segment.columns.SourceOf(column);
        into[column] = from < 0 ? uint16_t{0} : FromFloat(type, values[static_cast<size_t>(from)]);
      }
    }
  }
}

// Activations of Gemma exceed what F16 holds.
HalfType TypeFor(const ModelSpec& spec, const DecoderTensors& tensors) {
  const bool all_f16 = std::ranges::all_of(tensors.layers, [](const LayerTensors& layer) {
    return layer.query.format() == WeightFormat::kF16 && layer.down.format() == WeightFormat::kF16;
  });
  return all_f16 && spec.embedding_scale == 1 ? HalfType::kF16 : HalfType::kBf16;
}

}  // namespace

// Two passes over the same plan: the first, at address 0, adds up the sizes; the second, with
// memory, copies.
class CudaWeights::Loader {
 public:
  Loader(const ModelSpec& spec, const DecoderTensors& tensors, const CudaDimensions& dimensions)
      : spec_(spec), tensors_(tensors), dimensions_(dimensions), type_(TypeFor(spec, tensors)) {}

  int64_t Bytes() {
    CudaWeights weights;
    CHECK(Place(weights).ok());
    return bytes_;
  }

  absl::Status Load(CudaWeights& weights) {
    ASSIGN_OR_RETURN(weights.memory_, DeviceBuffer<std::byte>::Allocate(Bytes()));
    ASSIGN_OR_RETURN(DeviceUploader uploader, DeviceUploader::Create());
    memory_ = weights.memory_.data();
    uploader_ = &uploader;
    bytes_ = 0;
    weights.type_ = type_;
    RETURN_IF_ERROR(Place(weights));
    CHECK(bytes_ == weights.memory_.bytes());
    return uploader.Finish();
  }

 private:
  absl::Status Place(CudaWeights& weights) {
    const Padding vocabulary = {spec_.vocabulary_size, dimensions_.vocabulary};
    // A tied table needs the head's rows, and where the head stays quantised so does the table.
    RETURN_IF_ERROR(PlaceGroup({{&tensors_.head, vocabulary, kNone}}, weights.head_));
    if (spec_.tied_embeddings) {
      weights.embedding_ = weights.head_.parts.front().matrix;
    } else {
      CudaMatrixGroup embedding;
      RETURN_IF_ERROR(PlaceGroup({{&tensors_.embedding, kNone, kNone}}, embedding));
      weights.embedding_ = embedding.parts.front().matrix;
    }
    RETURN_IF_ERROR(PlaceVector(tensors_.output_norm, weights.output_norm_));
    weights.layers_.resize(tensors_.layers.size());
    for (size_t i = 0; i < tensors_.layers.size(); ++i) {
      RETURN_IF_ERROR(PlaceLayer(tensors_.layers[i], weights.layers_[i]));
    }
    return absl::OkStatus();
  }

  absl::Status PlaceLayer(const LayerTensors& from, CudaLayerWeights& to) {
    const Padding head = {spec_.head_size, dimensions_.head_size};
    const Padding intermediate = {spec_.intermediate_size, dimensions_.intermediate};
    RETURN_IF_ERROR(PlaceGroup(
        {{&from.query, head, kNone}, {&from.key, head, kNone}, {&from.value, head, kNone}},
        to.qkv));
    RETURN_IF_ERROR(PlaceGroup({{&from.output, kNone, head}}, to.output));
    RETURN_IF_ERROR(PlaceGroup({{&from.gate, intermediate, kNone}, {&from.up, intermediate, kNone}},
                               to.gate_up));
    RETURN_IF_ERROR(PlaceGroup({{&from.down, kNone, intermediate}}, to.down));

    RETURN_IF_ERROR(PlaceVector(from.attention_norm, to.attention_norm));
    RETURN_IF_ERROR(PlaceVector(from.attention_post_norm, to.attention_post_norm));
    RETURN_IF_ERROR(PlaceVector(from.ffn_norm, to.ffn_norm));
    RETURN_IF_ERROR(PlaceVector(from.ffn_post_norm, to.ffn_post_norm));
    RETURN_IF_ERROR(PlaceVector(from.output_bias, to.output_bias));
    RETURN_IF_ERROR(PlaceVector(from.down_bias, to.down_bias));
    RETURN_IF_ERROR(PlaceVector(Padded(from.query_norm, spec_.head_size, head), to.query_norm));
    RETURN_IF_ERROR(PlaceVector(Padded(from.key_norm, spec_.head_size, head), to.key_norm));
    RETURN_IF_ERROR(PlaceBiases({{&from.query_bias, from.query.outputs},
                                 {&from.key_bias, from.key.outputs},
                                 {&from.value_bias, from.value.outputs}},
                                head, to.qkv_bias));
    return PlaceBiases({{&from.gate_bias, from.gate.outputs}, {&from.up_bias, from.up.outputs}},
                       intermediate, to.gate_up_bias);
  }

  // Takes room, and tells where; nullptr in the first pass.
  std::byte* Take(int64_t bytes) {
    std::byte* const place = memory_ == nullptr ? nullptr : memory_ + bytes_;
    bytes_ += (bytes + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes;
    return place;
  }

  absl::Status PlaceGroup(const std::vector<Segment>& segments, CudaMatrixGroup& group) {
    group = {.inputs = segments.front().inputs()};
    for (size_t first = 0; first < segments.size();) {
      const bool quantized = segments[first].StaysQuantized();
      const WeightFormat format = segments[first].source->format();
      CudaMatrixGroup::Part part = {.first_output = group.outputs};
      size_t last = first;
      for (; last < segments.size(); ++last) {
        const Segment& segment = segments[last];
        if (segment.StaysQuantized() != quantized) break;
        if (quantized && segment.source->format() != format) break;
        part.matrix.outputs += segment.outputs();
      }
      part.matrix.inputs = group.inputs;
      const std::span members(&segments[first], last - first);
      RETURN_IF_ERROR(quantized ? PlaceQuantized(members, part.matrix)
                                : PlaceHalves(members, part.matrix));
      group.outputs += part.matrix.outputs;
      group.parts.push_back(part);
      first = last;
    }
    return absl::OkStatus();
  }

  absl::Status PlaceHalves(std::span<const Segment> segments, CudaMatrix& matrix) {
    const int64_t row_bytes = int64_t{matrix.inputs} * static_cast<int64_t>(sizeof(uint16_t));
    std::byte* to = Take(matrix.outputs * row_bytes);
    matrix.halves = reinterpret_cast<const uint16_t*>(to);
    if (to == nullptr) return absl::OkStatus();
    for (const Segment& segment : segments) {
      RETURN_IF_ERROR(uploader_->Upload(
          to, segment.outputs(), row_bytes, [&](int64_t first, int64_t count, std::byte* into) {
            FillHalves(segment, type_, first, count, reinterpret_cast<uint16_t*>(into));
          }));
      to += segment.outputs() * row_bytes;
    }
    return absl::OkStatus();
  }

  absl::Status PlaceQuantized(std::span<const Segment> segments, CudaMatrix& matrix) {
    QuantizedMatrixCuda& all = matrix.quantized;
    all.format = segments.front().source->format();
    all.inputs = matrix.inputs;
    all.outputs = matrix.outputs;
    const int64_t quant_bytes = all.quant_row_bytes();
    const int64_t factor_bytes = all.factor_row_bytes();
    std::byte* quants = Take(matrix.outputs * quant_bytes);
    std::byte* factors = Take(matrix.outputs * factor_bytes);
    all.quants = reinterpret_cast<const uint8_t*>(quants);
    all.factors = factors;
    if (quants == nullptr) return absl::OkStatus();
    for (const Segment& segment : segments) {
      const MatrixTensor& source = *segment.source;
      RETURN_IF_ERROR(uploader_->Upload(
          quants, source.outputs, quant_bytes, [&](int64_t first, int64_t count, std::byte* into) {
            for (int64_t i = 0; i < count; ++i, into += quant_bytes) {
              SplitQuantizedRow(all, source.SourceRow(static_cast<int32_t>(first + i)),
                                reinterpret_cast<uint8_t*>(into), nullptr);
            }
          }));
      RETURN_IF_ERROR(uploader_->Upload(
          factors, source.outputs, factor_bytes,
          [&](int64_t first, int64_t count, std::byte* into) {
            for (int64_t i = 0; i < count; ++i, into += factor_bytes) {
              SplitQuantizedRow(all, source.SourceRow(static_cast<int32_t>(first + i)), nullptr,
                                into);
            }
          }));
      quants += source.outputs * quant_bytes;
      factors += source.outputs * factor_bytes;
    }
    return absl::OkStatus();
  }

  // `size` values of `vector`, padded; empty if it is.
  static std::vector<float> Padded(const std::vector<float>& vector, int32_t size,
                                   const Padding& padding) {
    if (vector.empty()) return {};
    std::vector<float> padded(static_cast<size_t>(padding.Padded(size)));
    for (size_t i = 0; i < padded.size(); ++i) {
      const int32_t from = padding.SourceOf(static_cast<int32_t>(i));
      if (from >= 0) padded[i] = vector[static_cast<size_t>(from)];
    }
    return padded;
  }

  absl::Status PlaceVector(const std::vector<float>& vector, const float*& place) {
    place = nullptr;
    if (vector.empty()) return absl::OkStatus();
    const auto bytes = static_cast<int64_t>(vector.size() * sizeof(float));
    std::byte* const to = Take(bytes);
    if (to == nullptr) return absl::OkStatus();
    place = reinterpret_cast<const float*>(to);
    return uploader_->Upload(to, 1, bytes, [&](int64_t, int64_t, std::byte* into) {
      std::memcpy(into, vector.data(), static_cast<size_t>(bytes));
    });
  }

  struct Bias {
    const std::vector<float>* values;
    int32_t size;
  };
  // Several as one; zeros for those that are missing, nothing if all are.
  absl::Status PlaceBiases(const std::vector<Bias>& biases, const Padding& padding,
                           const float*& place) {
    std::vector<float> all;
    bool any = false;
    for (const Bias& bias : biases) {
      const std::vector<float> padded = Padded(*bias.values, bias.size, padding);
      any = any || !padded.empty();
      const size_t begin = all.size();
      all.resize(begin + static_cast<size_t>(padding.Padded(bias.size)));
      std::ranges::copy(padded, all.begin() + static_cast<ptrdiff_t>(begin));
    }
    if (!any) all.clear();
    return PlaceVector(all, place);
  }

  static constexpr Padding kNone = {};

  const ModelSpec& spec_;
  const DecoderTensors& tensors_;
  const CudaDimensions& dimensions_;
  const HalfType type_;
  std::byte* memory_ = nullptr;
  DeviceUploader* uploader_ = nullptr;
  int64_t bytes_ = 0;
};

int64_t CudaWeights::BytesFor(const ModelSpec& spec, const DecoderTensors& tensors,
                              const CudaDimensions& dimensions) {
  return Loader(spec, tensors, dimensions).Bytes();
}

absl::StatusOr<CudaWeights> CudaWeights::Load(const ModelSpec& spec, const DecoderTensors& tensors,
                                              const CudaDimensions& dimensions) {
  CudaWeights weights;
  RETURN_IF_ERROR(Loader(spec, tensors, dimensions).Load(weights));
  return weights;
}

}  // namespace spillway
