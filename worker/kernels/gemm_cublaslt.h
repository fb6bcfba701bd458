#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/device/cublas.h"
#include "worker/device/device_buffer.h"
#include "worker/device/stream.h"
#include "worker/kernels/linear_cuda.h"

namespace spillway {

struct CublasLtGemmLimits {
  // What NVIDIA advises for Hopper; algorithms that need more aren't considered.
  int64_t workspace_bytes = int64_t{32} << 20;
  int32_t candidates_max = 16;  // algorithms that Tune() measures for a shape
  int32_t rounds = 5;           // measurements of each; the shortest counts
};

// Linear layers (linear_cuda.h) through cuBLASLt, with the algorithm of each shape found once: by
// measurement where Tune() was called, else cuBLASLt's first guess. For few rows the guess is often
// not the best, since it rarely splits over inputs (pegainfer measured 4–6 % on an RTX 5090 in its
// docs/serving-perf-5090.md).
//
// One workspace: all calls must go to one stream, or be ordered by events. Any one thread at a
// time. `cublas` must outlive it. What it found holds for this device and this version of cuBLAS.
class CublasLtGemm : public DeviceGemm {
 public:
  // RESOURCE_EXHAUSTED: no device memory for the workspace.
  static absl::StatusOr<CublasLtGemm> Create(const CublasLt& cublas,
                                             const CublasLtGemmLimits& limits);
  ~CublasLtGemm() override;
  CublasLtGemm(CublasLtGemm&&) noexcept;
  CublasLtGemm& operator=(CublasLtGemm&&) noexcept;

  // Measures the candidates for the shape of `linear` and keeps the fastest. `weights` are several
  // matrices of that shape, taken in turn so that none is in the L2 cache when it is needed; x, out
  // and their contents are used as scratch. Blocks; not while a graph is captured.
  // INTERNAL: no algorithm for this shape, or the device failed.
  absl::Status Tune(const Stream& stream, const Linear& linear,
                    std::span<const uint16_t* const> weights);

  // The first call for a shape asks cuBLASLt for its guess (no device work), so that a shape's
  // first call may be inside a captured graph.
  absl::Status Run(const Stream& stream, const Linear& linear) override;

 private:
  struct Key {
    int32_t rows;
    int32_t outputs;
    int32_t inputs;
    int32_t out_stride;
    HalfType type;
    bool out_f32;
    auto operator<=>(const Key&) const = default;
  };
  struct Plan;

  CublasLtGemm(const CublasLt& cublas, const CublasLtGemmLimits& limits,
               DeviceBuffer<std::byte> workspace);

  static Key KeyOf(const Linear& linear);
  absl::StatusOr<Plan*> PlanOf(const Linear& linear);
  absl::StatusOr<std::unique_ptr<Plan>> MakePlan(const Linear& linear);
  absl::Status Launch(const Stream& stream, const Linear& linear, const Plan& plan,
                      const cublasLtMatmulAlgo_t& algorithm);
  // The shortest of `rounds` passes over all weights, per product.
  absl::StatusOr<float> Measure(const Stream& stream, Linear linear,
                                std::span<const uint16_t* const> weights, const Plan& plan,
                                const cublasLtMatmulAlgo_t& algorithm);

  const CublasLt* cublas_;
  CublasLtGemmLimits limits_;
  DeviceBuffer<std::byte> workspace_;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace spillway
