#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/device/host_buffer.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/model/activations.h"
#include "worker/model/encoder_spec.h"
#include "worker/model/encoder_weights.h"

namespace spillway {

// The forward pass of an encoder: texts' tokens to one vector each. A text's vector depends on its
// own tokens only, bit for bit: not on the texts beside it, nor on the number of threads.
// (https://arxiv.org/abs/1810.04805; pooling as in https://arxiv.org/abs/1908.10084)
//
// Every stage is cut into as many shares as the team has threads, with a barrier between stages.
// Owned and called by one thread, the team's leader; allocates nothing after Make().
class Encoder {
 public:
  // Borrows all references, which outlive it. `tokens_max`: of one pass, over all texts; at least
  // spec.text_tokens_max. RESOURCE_EXHAUSTED: no memory.
  static absl::StatusOr<std::unique_ptr<Encoder>> Make(const EncoderSpec& spec,
                                                       const EncoderWeights& weights,
                                                       int32_t tokens_max, ThreadTeam& team,
                                                       const CpuKernels& kernels);

  // Encodes all texts at once into `vectors`, [texts, hidden_size] f32. Requires texts within the
  // limits, none of them empty, and tokens in the vocabulary.
  void Forward(std::span<const std::span<const TokenId>> texts, float* vectors);

 private:
  Encoder(const EncoderSpec& spec, const EncoderWeights& weights, int32_t tokens_max,
          ThreadTeam& team, const CpuKernels& kernels);
  absl::Status Allocate();
  void PlanRows(std::span<const std::span<const TokenId>> texts);

  // The stages, each thread's share.
  void RunAll(int32_t thread, float* vectors);
  void RunLayer(int32_t thread, const EncoderLayerWeights& layer);
  void Embed(int32_t thread);
  void BeginAttention(int32_t thread, const EncoderLayerWeights& layer);
  void Attend(int32_t thread);
  void BeginOutput(int32_t thread, const EncoderLayerWeights& layer);
  void BeginUp(int32_t thread, const EncoderLayerWeights& layer);
  void BeginDown(int32_t thread, const EncoderLayerWeights& layer);
  void Norm(int32_t thread, const std::vector<float>& weight, const std::vector<float>& bias);
  void Pool(int32_t thread, float* vectors);

  // Adds weight * input to the rows of `out`.
  void MultiplyAdd(int32_t thread, const PackedMatrix& weight, Activations& input, HostBuffer& out,
                   int32_t stride);
  std::pair<int32_t, int32_t> RowsOf(int32_t thread) const;
  float* Row(HostBuffer& buffer, int64_t row, int32_t stride) const {
    return buffer.As<float>() + row * stride;
  }

  const EncoderSpec& spec_;
  const EncoderWeights& weights_;
  const int32_t tokens_max_;
  ThreadTeam& team_;
  const CpuKernels& kernels_;
  const int32_t head_size_;
  // Of a row, in floats: rounded up to lanes. What lies beyond the sizes stays zero.
  const int32_t hidden_stride_;
  const int32_t inner_stride_;

  // One pass's plan: written by the leader before the team starts.
  struct Text {
    int32_t first_row;
    int32_t token_count;
  };
  struct Token {
    TokenId id;
    int32_t position;
  };
  std::vector<Text> texts_;
  std::vector<Token> rows_;

  // Activations of one pass, [rows, …] f32; a stage's threads write different parts of them.
  HostBuffer hidden_;
  HostBuffer queries_, keys_, values_;
  HostBuffer attended_;
  HostBuffer inner_;
  Activations attention_input_;      // hidden_
  Activations output_input_;         // attended_
  Activations up_input_;             // hidden_
  Activations down_input_;           // inner_
  std::vector<HostBuffer> scratch_;  // [threads]: TextAttentionScratch()
};

}  // namespace spillway
