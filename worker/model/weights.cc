#include "worker/model/weights.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/quantize.h"

namespace spillway {
namespace {

// The kernels work in lanes of 16 and blocks of 32; every model that we know fits.
absl::Status CheckShape(const ModelSpec& spec) {
  const auto unsupported = [](std::string_view what, int32_t value, std::string_view rule) {
    return absl::UnimplementedError(absl::StrCat(std::string(what), " is ", value,
                                                 "; the CPU kernels need ", std::string(rule)));
  };
  if (spec.hidden_size % kQuantBlock != 0) {
    return unsupported("hidden_size", spec.hidden_size, "a multiple of 32");
  }
  if (spec.intermediate_size % kQuantBlock != 0) {
    return unsupported("intermediate_size", spec.intermediate_size, "a multiple of 32");
  }
  if (spec.head_size % 16 != 0 || spec.head_size > kHeadSizeMax) {
    return unsupported("head_size", spec.head_size, "a multiple of 16 up to 256");
  }
  if (spec.head_count * spec.head_size % kQuantBlock != 0) {
    return unsupported("head_count * head_size", spec.head_count * spec.head_size,
                       "a multiple of 32");
  }
  if (spec.qkv_bias || spec.qk_norm || spec.post_norms || spec.sliding_window != 0 ||
      spec.embedding_scale != 1 || spec.attention_scale != 0 || spec.attention_soft_cap != 0 ||
      spec.logit_soft_cap != 0 || spec.activation != ModelSpec::Activation::kSilu) {
    return absl::UnimplementedError("the decoder runs the plain llama architecture only");
  }
  if (spec.head_count / spec.kv_head_count > kAttentionQueriesMax) {
    return unsupported("head_count / kv_head_count", spec.head_count / spec.kv_head_count,
                       "at most 32");
  }
  return absl::OkStatus();
}

// Where each row of a projection to `heads` heads comes from, so that a rotated pair (2i, 2i + 1)
// becomes (i, i + rope_size / 2).
std::vector<int32_t> HalvesOrder(const ModelSpec& spec, int32_t heads) {
  std::vector<int32_t> order;
  for (int32_t head = 0; head < heads; ++head) {
    for (int32_t i = 0; i < spec.head_size; ++i) {
      const int32_t half = spec.rope_size / 2;
      const int32_t within = i < half ? 2 * i : i < spec.rope_size ? 2 * (i - half) + 1 : i;
      order.push_back(head * spec.head_size + within);
    }
  }
  return order;
}

}  // namespace

// Two passes: the first finds and checks all tensors and adds up their sizes, the second packs.
class ModelWeights::Loader {
 public:
  Loader(const ModelSpec& spec, const TensorSource& tensors) : spec_(spec), tensors_(tensors) {}

  absl::Status Find(ModelWeights& weights) {
    RETURN_IF_ERROR(CheckShape(spec_));
    RETURN_IF_ERROR(FindMatrix("token_embd.weight", spec_.vocabulary_size, spec_.hidden_size,
                               weights.embedding_));
    RETURN_IF_ERROR(FindVector("output_norm.weight", weights.output_norm_));
    if (!spec_.tied_embeddings) {
      RETURN_IF_ERROR(
          FindMatrix("output.weight", spec_.vocabulary_size, spec_.hidden_size, weights.head_));
    }
    weights.layers_.resize(static_cast<size_t>(spec_.layer_count));
    for (int32_t i = 0; i < spec_.layer_count; ++i) {
      RETURN_IF_ERROR(FindLayer(i, weights.layers_[static_cast<size_t>(i)]));
    }
    return absl::OkStatus();
  }

  absl::Status Pack(ThreadTeam& team, ModelWeights& weights) {
    ASSIGN_OR_RETURN(weights.memory_, HostBuffer::Allocate(bytes_));
    for (const Job& job : jobs_) job.matrix->panels = weights.memory_.data() + job.offset;
    team.Run([&](int32_t thread) {
      for (const Job& job : jobs_) {
        const auto [begin, end] = ShareOf(thread, team.size(), job.matrix->panel_count());
        PackPanels(*job.matrix, job.source, job.row_order.empty() ? nullptr : job.row_order.data(),
                   begin, end, weights.memory_.data() + job.offset);
      }
    });
    if (spec_.tied_embeddings) weights.head_ = weights.embedding_;
    return absl::OkStatus();
  }

 private:
  struct Job {
    PackedMatrix* matrix;
    const std::byte* source;
    std::vector<int32_t> row_order;
    int64_t offset;  // in the packed memory
  };

  absl::Status FindLayer(int32_t index, LayerWeights& layer) {
    const auto name = [&](std::string_view part) {
      return absl::StrCat("blk.", index, ".", std::string(part), ".weight");
    };
    const int32_t hidden = spec_.hidden_size;
    const int32_t query_size = spec_.head_count * spec_.head_size;
    const int32_t kv_size = spec_.kv_head_count * spec_.head_size;
    std::vector<int32_t> query_order, key_order;
    if (spec_.rope_layout == ModelSpec::RopeLayout::kInterleaved) {
      query_order = HalvesOrder(spec_, spec_.head_count);
      key_order = HalvesOrder(spec_, spec_.kv_head_count);
    }
    RETURN_IF_ERROR(FindVector(name("attn_norm"), layer.attention_norm));
    RETURN_IF_ERROR(FindMatrix(name("attn_q"), query_size, hidden, layer.query, query_order));
    RETURN_IF_ERROR(FindMatrix(name("attn_k"), kv_size, hidden, layer.key, key_order));
    RETURN_IF_ERROR(FindMatrix(name("attn_v"), kv_size, hidden, layer.value));
    RETURN_IF_ERROR(FindMatrix(name("attn_output"), hidden, query_size, layer.output));
    RETURN_IF_ERROR(FindVector(name("ffn_norm"), layer.ffn_norm));
    RETURN_IF_ERROR(FindMatrix(name("ffn_gate"), spec_.intermediate_size, hidden, layer.gate));
    RETURN_IF_ERROR(FindMatrix(name("ffn_up"), spec_.intermediate_size, hidden, layer.up));
    RETURN_IF_ERROR(FindMatrix(name("ffn_down"), hidden, spec_.intermediate_size, layer.down));
    return absl::OkStatus();
  }

  absl::StatusOr<const ModelTensor*> FindTensor(const std::string& name,
                                                const std::vector<int64_t>& dims) {
    const ModelTensor* const tensor = tensors_.FindTensor(name);
    if (tensor == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("the file has no tensor ", name));
    }
    if (tensor->dims != dims) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", name, " has shape [", absl::StrJoin(tensor->dims, ", "),
                       "], its model's is [", absl::StrJoin(dims, ", "), "]"));
    }
    return tensor;
  }

  absl::Status FindVector(const std::string& name, std::vector<float>& vector) {
    ASSIGN_OR_RETURN(const ModelTensor* const tensor, FindTensor(name, {spec_.hidden_size}));
    const WeightFormat format = WeightFormatOf(tensor->type);
    if (InfoOf(format).integer) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", name, " has type ",
                                                     std::string(TensorTypeName(tensor->type)),
                                                     "; a norm is F32, F16 or BF16"));
    }
    vector.resize(static_cast<size_t>(spec_.hidden_size));
    DequantizeRowReference(format, tensor->data.data(), spec_.hidden_size, vector.data());
    for (float& value : vector) value += spec_.norm_offset;
    return absl::OkStatus();
  }

  absl::Status FindMatrix(const std::string& name, int32_t outputs, int32_t inputs,
                          PackedMatrix& matrix, std::vector<int32_t> row_order = {}) {
    ASSIGN_OR_RETURN(const ModelTensor* const tensor, FindTensor(name, {inputs, outputs}));
    const WeightFormat format = WeightFormatOf(tensor->type);
    matrix = {.format = format, .outputs = outputs, .inputs = inputs};
    CHECK(static_cast<int64_t>(tensor->data.size()) == outputs * SourceRowBytes(format, inputs));
    jobs_.push_back({&matrix, tensor->data.data(), std::move(row_order), bytes_});
    bytes_ += matrix.bytes();
    return absl::OkStatus();
  }

  const ModelSpec& spec_;
  const TensorSource& tensors_;
  std::vector<Job> jobs_;
  int64_t bytes_ = 0;
};

absl::StatusOr<ModelWeights> ModelWeights::Load(const ModelSpec& spec, const TensorSource& tensors,
                                                ThreadTeam& team) {
  ModelWeights weights;
  Loader loader(spec, tensors);
  RETURN_IF_ERROR(loader.Find(weights));
  RETURN_IF_ERROR(loader.Pack(team, weights));
  return weights;
}

}  // namespace spillway
