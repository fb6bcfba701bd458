#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/cuda/cuda_dimensions.h"
#include "worker/cuda/cuda_kv_cache.h"
#include "worker/cuda/cuda_weights.h"
#include "worker/cuda/matrix_products.h"
#include "worker/device/device_buffer.h"
#include "worker/device/stream.h"
#include "worker/kernels/linear_cuda.h"
#include "worker/kernels/paged_attention_cuda.h"
#include "worker/model/model_spec.h"

namespace spillway {

struct CudaDecoderLimits {
  int32_t rows_max = 0;       // of one step
  int32_t head_rows_max = 0;  // whose logits are computed at once
  int32_t sequences_max = 0;  // of one step
  int32_t positions_max = 0;  // of one sequence
};

// A step as the kernels read it: device pointers (step_metadata.h makes it). Sequences that decode
// stand first, each with one row; a row of padding has sequence -1.
struct CudaStep {
  int32_t rows = 0;
  int32_t decode_count = 0;  // sequences, and rows
  int32_t prefill_count = 0;
  int32_t prefill_rows_max = 0;  // of one sequence

  const int32_t* tokens = nullptr;     // [rows], as EmbeddingRows has them
  const int32_t* positions = nullptr;  // [rows]
  const int32_t* sequences = nullptr;  // [rows]
  const int32_t* lengths = nullptr;    // [sequences]
  // [prefill_count + 1]: where the rows of the sequences that don't decode begin.
  const int32_t* row_begins = nullptr;
  BlockTableCuda table;

  const DecodeUnit* units = nullptr;     // [unit_count]
  int32_t unit_count = 0;                // at most CudaDecoder::UnitsMax()
  const int32_t* first_units = nullptr;  // [decode_count]
};

// The forward pass of a decoder-only transformer on a device: ModelSpec says which. Calls queue
// work on a stream and return; none allocates or waits, so that they can be recorded as a graph.
//
// Owned and called by one thread, for one stream.
class CudaDecoder {
 public:
  static constexpr int32_t kSplitTokens = 256;  // of decode attention: a part of the arithmetic

  // How many units of decode attention a step may have: a power of two.
  static int32_t UnitsMax(const CudaDecoderLimits& limits);

  // What Make() takes on the device, without weights and KV.
  static int64_t BytesFor(const ModelSpec& spec, const CudaDimensions& dimensions,
                          const CudaDecoderLimits& limits);

  // Borrows all references, which outlive it. RESOURCE_EXHAUSTED: the device has no room.
  static absl::StatusOr<std::unique_ptr<CudaDecoder>> Make(const ModelSpec& spec,
                                                           const CudaDimensions& dimensions,
                                                           const CudaWeights& weights,
                                                           const CudaDecoderLimits& limits,
                                                           DeviceGemm& gemm);

  // Where keys and values are. Before the first Forward().
  void set_cache(const CudaKvCache& cache) { cache_ = &cache; }

  // Queues all layers. `sampled`: of EmbeddingRows. Requires that the step keeps the limits.
  // INTERNAL, here and below: the device failed; the kernel by name.
  absl::Status Forward(const Stream& stream, const CudaStep& step, const int32_t* sampled);

  // Queues the logits of rows rows[i] of the last Forward(), [count] on the device. Requires
  // count <= head_rows_max. May be called again, for others.
  absl::Status ComputeLogits(const Stream& stream, const int32_t* rows, int32_t count);

  // [head_rows_max, logits_stride()] f32: what ComputeLogits() left.
  const float* logits() const { return logits_; }
  int32_t logits_stride() const { return dimensions_.vocabulary; }

 private:
  CudaDecoder(const ModelSpec& spec, const CudaDimensions& dimensions, const CudaWeights* weights,
              const CudaDecoderLimits& limits);
  // Places all buffers one after another from `memory` on; the bytes that they take.
  int64_t Arrange(std::byte* memory);
  absl::Status FillRopeTables();

  // What the branch before a norm was, in delta_.
  struct Branch {
    bool any = false;
    const float* bias = nullptr;
    const float* norm = nullptr;
  };
  absl::Status Normalize(const Stream& stream, int32_t rows, const Branch& branch,
                         const float* weight, const int32_t* sources, uint16_t* out);
  // Of the feed-forward branch before layer `index`.
  Branch BranchBefore(int32_t index) const;

  absl::Status RunLayer(const Stream& stream, const CudaStep& step, int32_t index);
  absl::Status Attend(const Stream& stream, const CudaStep& step, int32_t index);
  int32_t InputsMax() const;

  const ModelSpec& spec_;
  const CudaDimensions dimensions_;
  const CudaWeights* const weights_;
  const CudaDecoderLimits limits_;
  const int32_t units_max_;
  const CudaKvCache* cache_ = nullptr;

  DeviceBuffer<std::byte> memory_;
  // In it; rows are ProductRows(rows_max).
  float* residual_ = nullptr;       // [rows, hidden]
  uint16_t* normalized_ = nullptr;  // [rows, hidden]
  uint16_t* qkv_ = nullptr;         // [rows, qkv_size]
  uint16_t* queries_ = nullptr;     // [rows, query_size]
  uint16_t* attended_ = nullptr;    // [rows, query_size]
  uint16_t* delta_ = nullptr;       // [rows, hidden]: of the branch that ran last
  uint16_t* gate_up_ = nullptr;     // [rows, 2, intermediate]
  uint16_t* gated_ = nullptr;       // [rows, intermediate]
  uint16_t* head_input_ = nullptr;  // [head rows, hidden]
  float* logits_ = nullptr;         // [head rows, vocabulary]
  float* partials_ = nullptr;       // [units_max, heads, head_size + 2]
  float* rope_tables_[2] = {};      // global, local; [positions, 2, rope_size / 2]
  std::byte* products_scratch_ = nullptr;
  std::unique_ptr<MatrixProducts> products_;
};

}  // namespace spillway
