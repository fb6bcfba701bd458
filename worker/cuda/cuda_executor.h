#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/cuda/cuda_decoder.h"
#include "worker/cuda/cuda_kv_cache.h"
#include "worker/cuda/cuda_weights.h"
#include "worker/cuda/step_metadata.h"
#include "worker/device/device_buffer.h"
#include "worker/device/graph.h"
#include "worker/device/stream.h"
#include "worker/executor.h"
#include "worker/kernels/linear_cuda.h"
#include "worker/model/model_spec.h"

namespace spillway {

// What the executor owns of the device and shares with nobody.
struct CudaMachine {
  int32_t device = 0;
  ModelSpec spec;
  CudaDimensions dimensions;
  std::unique_ptr<DeviceGemm> gemm;
  CudaWeights weights;
  CudaKvCache cache;
  std::unique_ptr<CudaDecoder> decoder;
};

// The executor on a GPU. A step is: one copy of its metadata to the device, the forward pass (a
// graph, where every sequence decodes), sampling and scores, one copy of the results back, one
// event. Launch() queues them and returns; with two steps queued the device goes from one to the
// next by itself. Nothing is allocated after Create() but graphs, at most kGraphsMax.
class CudaExecutor : public Executor {
 public:
  static constexpr int32_t kGraphsMax = 64;

  struct Names {
    std::string device;
    std::string numerics;
  };

  // `limits` are those of machine->decoder. RESOURCE_EXHAUSTED: the device has no room.
  static absl::StatusOr<std::unique_ptr<CudaExecutor>> Create(std::unique_ptr<CudaMachine> machine,
                                                              const CudaDecoderLimits& limits,
                                                              Names names, bool graphs);
  ~CudaExecutor() override;

  // Gives up the KV memory, then takes that of `shape`. Between steps; no step may run without.
  absl::Status ReleaseCache();
  absl::Status Resize(const ExecutorShape& shape);

  absl::StatusOr<Ticket> Launch(std::span<const StepRow> rows) override;
  absl::StatusOr<std::span<const SampledToken>> Collect(Ticket ticket) override;
  std::span<const TokenScore> prompt_scores() const override { return scored_; }
  const ExecutorShape& shape() const override { return shape_; }
  std::string device_name() const override { return names_.device; }
  std::string numerics_id() const override { return names_.numerics; }

 private:
  static constexpr int32_t kTicketsInFlightMax = 2;

  // A ticket's memory on the host.
  struct Flight {
    Ticket ticket{};
    PinnedBuffer<std::byte> metadata;
    std::optional<StepMetadata> plan;  // of `metadata`
    PinnedBuffer<int32_t> tokens;      // [sampled]
    PinnedBuffer<ScoredToken> scores;  // [sampled scores, prompts' scores]
    std::vector<bool> is_scored;       // by sampled token
    Event done;
  };
  // A slot's row of counts_: whose, and how many tokens it has counted.
  struct SlotCounts {
    SequenceId sequence{};
    int64_t counted = -1;  // -1: nobody's
  };
  struct DecodeGraph {
    int64_t uses = 0;
    std::optional<Graph> graph;
  };

  CudaExecutor(std::unique_ptr<CudaMachine> machine, const CudaDecoderLimits& limits, Names names,
               bool graphs);
  absl::Status Allocate();

  absl::Status Queue(Flight& flight, std::span<const StepRow> rows);
  absl::Status QueueForward(const StepMetadata& plan);
  absl::Status QueueForwardAndHead(const StepMetadata& plan);
  absl::Status QueueDecodeGraph(const StepMetadata& plan);
  absl::Status QueueCounts(std::span<const StepRow> rows);
  absl::Status RecountSlot(const StepRow& row);
  absl::Status QueueSampling(const StepMetadata& plan);
  absl::Status QueueScores(const StepMetadata& plan);
  absl::Status QueueResults(Flight& flight);
  void ReadResults(const Flight& flight);
  int32_t scores_max() const { return limits_.rows_max + limits_.sequences_max; }

  const std::unique_ptr<CudaMachine> machine_;
  const CudaDecoderLimits limits_;
  const Names names_;
  const bool use_graphs_;
  ExecutorShape shape_;
  Stream stream_;

  DeviceBuffer<std::byte> metadata_;
  DeviceBuffer<int32_t> sampled_;     // [slots]: the latest, for rows whose token is pending
  DeviceBuffer<uint32_t> counts_;     // [slots, vocabulary]
  DeviceBuffer<int32_t> history_;     // [positions]: of a sequence whose tokens are counted anew
  DeviceBuffer<float> adjusted_;      // [sequences, vocabulary]
  DeviceBuffer<float> partials_;      // [sequences, …]
  DeviceBuffer<int32_t> tokens_;      // [sequences]: this step's
  DeviceBuffer<ScoredToken> scores_;  // [scores_max()]
  std::vector<SlotCounts> slot_counts_;
  // By the padded numbers of rows and units.
  std::map<std::pair<int32_t, int32_t>, DecodeGraph> graphs_;
  int32_t graph_count_ = 0;

  Flight flights_[kTicketsInFlightMax];
  int64_t launched_count_ = 0;
  int64_t collected_count_ = 0;
  // Of the step collected last.
  std::vector<SampledToken> collected_;
  std::vector<TokenScore> scored_;
  std::vector<TokenLogprob> top_;
};

}  // namespace spillway
