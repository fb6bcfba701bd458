#include "worker/model/weights.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/model/decoder_tensors.h"

namespace spillway {

// Two passes: the first finds and checks all tensors and adds up their sizes, the second packs.
class ModelWeights::Loader {
 public:
  Loader(const ModelSpec& spec, const TensorSource& tensors) : spec_(spec), tensors_(tensors) {}

  absl::Status Find(ModelWeights& weights) {
    ASSIGN_OR_RETURN(DecoderTensors found, DecoderTensors::Find(spec_, tensors_));
    AddMatrix(std::move(found.embedding), weights.embedding_);
    if (!spec_.tied_embeddings) AddMatrix(std::move(found.head), weights.head_);
    weights.output_norm_ = std::move(found.output_norm);
    weights.layers_.resize(found.layers.size());
    for (size_t i = 0; i < found.layers.size(); ++i) {
      AddLayer(std::move(found.layers[i]), weights.layers_[i]);
    }
    return absl::OkStatus();
  }

  absl::Status Pack(ThreadTeam& team, ModelWeights& weights) {
    ASSIGN_OR_RETURN(weights.memory_, HostBuffer::Allocate(bytes_));
    for (const Job& job : jobs_) job.matrix->panels = weights.memory_.data() + job.offset;
    team.Run([&](int32_t thread) {
      for (const Job& job : jobs_) {
        const std::vector<int32_t>& order = job.source.row_order;
        const auto [begin, end] = ShareOf(thread, team.size(), job.matrix->panel_count());
        PackPanels(*job.matrix, job.source.tensor->data.data(),
                   order.empty() ? nullptr : order.data(), begin, end,
                   weights.memory_.data() + job.offset);
      }
    });
    if (spec_.tied_embeddings) weights.head_ = weights.embedding_;
    return absl::OkStatus();
  }

  int64_t bytes() const { return bytes_; }

 private:
  struct Job {
    PackedMatrix* matrix;
    MatrixTensor source;
    int64_t offset;  // in the packed memory
  };

  void AddMatrix(MatrixTensor source, PackedMatrix& matrix) {
    matrix = {.format = source.format(), .outputs = source.outputs, .inputs = source.inputs};
    jobs_.push_back({&matrix, std::move(source), bytes_});
    bytes_ += matrix.bytes();
  }

  void AddLayer(LayerTensors found, LayerWeights& layer) {
    AddMatrix(std::move(found.query), layer.query);
    AddMatrix(std::move(found.key), layer.key);
    AddMatrix(std::move(found.value), layer.value);
    AddMatrix(std::move(found.output), layer.output);
    AddMatrix(std::move(found.gate), layer.gate);
    AddMatrix(std::move(found.up), layer.up);
    AddMatrix(std::move(found.down), layer.down);
    layer.attention_norm = std::move(found.attention_norm);
    layer.query_bias = std::move(found.query_bias);
    layer.key_bias = std::move(found.key_bias);
    layer.value_bias = std::move(found.value_bias);
    layer.query_norm = std::move(found.query_norm);
    layer.key_norm = std::move(found.key_norm);
    layer.output_bias = std::move(found.output_bias);
    layer.attention_post_norm = std::move(found.attention_post_norm);
    layer.ffn_norm = std::move(found.ffn_norm);
    layer.gate_bias = std::move(found.gate_bias);
    layer.up_bias = std::move(found.up_bias);
    layer.down_bias = std::move(found.down_bias);
    layer.ffn_post_norm = std::move(found.ffn_post_norm);
  }

  const ModelSpec& spec_;
  const TensorSource& tensors_;
  std::vector<Job> jobs_;
  int64_t bytes_ = 0;
};

absl::StatusOr<int64_t> ModelWeights::BytesFor(const ModelSpec& spec, const TensorSource& tensors) {
  ModelWeights weights;
  Loader loader(spec, tensors);
  RETURN_IF_ERROR(loader.Find(weights));
  return loader.bytes();
}

absl::StatusOr<ModelWeights> ModelWeights::Load(const ModelSpec& spec, const TensorSource& tensors,
                                                ThreadTeam& team) {
  ModelWeights weights;
  Loader loader(spec, tensors);
  RETURN_IF_ERROR(loader.Find(weights));
  RETURN_IF_ERROR(loader.Pack(team, weights));
  return weights;
}

}  // namespace spillway
