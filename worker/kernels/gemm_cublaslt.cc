#include "worker/kernels/gemm_cublaslt.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

// cuBLASLt thinks in columns: our row-major [a, b] is its column-major [b, a]. So it computes
// outᵀ [outputs, rows] = weight (transposed, since it sees [inputs, outputs]) · xᵀ [inputs, rows].

namespace spillway {
namespace {

constexpr uint32_t kAlignmentBytes = 16;

std::string ShapeOf(const Linear& linear) {
  return absl::StrCat("gemm [", linear.rows, ", ", linear.outputs, ", ", linear.inputs, "]");
}

// Frees a cuBLASLt object with the library's own function.
template <typename Destroy>
struct Deleter {
  Destroy destroy = nullptr;
  template <typename T>
  void operator()(T* object) const {
    destroy(object);
  }
};
template <typename Object, typename Destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Object>, Deleter<Destroy>>;

using Desc = Owned<cublasLtMatmulDesc_t, decltype(&::cublasLtMatmulDescDestroy)>;
using Layout = Owned<cublasLtMatrixLayout_t, decltype(&::cublasLtMatrixLayoutDestroy)>;
using Preference = Owned<cublasLtMatmulPreference_t, decltype(&::cublasLtMatmulPreferenceDestroy)>;

absl::StatusOr<Desc> MakeDesc(const CublasLt::Functions& f) {
  cublasLtMatmulDesc_t desc = nullptr;
  RETURN_IF_ERROR(CublasStatus(f.matmul_desc_create(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                               "cublasLtMatmulDescCreate"));
  Desc owned(desc, {f.matmul_desc_destroy});
  const cublasOperation_t transpose = CUBLAS_OP_T;
  RETURN_IF_ERROR(CublasStatus(
      f.matmul_desc_set_attribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof(transpose)),
      "CUBLASLT_MATMUL_DESC_TRANSA"));
  return owned;
}

// A row-major [rows, columns] matrix whose rows are `stride` apart.
absl::StatusOr<Layout> MakeLayout(const CublasLt::Functions& f, cudaDataType_t type, int32_t rows,
                                  int32_t columns, int32_t stride) {
  cublasLtMatrixLayout_t layout = nullptr;
  RETURN_IF_ERROR(CublasStatus(f.matrix_layout_create(&layout, type, static_cast<uint64_t>(columns),
                                                      static_cast<uint64_t>(rows), stride),
                               "cublasLtMatrixLayoutCreate"));
  return Layout(layout, {f.matrix_layout_destroy});
}

absl::StatusOr<Preference> MakePreference(const CublasLt::Functions& f, int64_t workspace_bytes) {
  cublasLtMatmulPreference_t preference = nullptr;
  RETURN_IF_ERROR(
      CublasStatus(f.matmul_preference_create(&preference), "cublasLtMatmulPreferenceCreate"));
  Preference owned(preference, {f.matmul_preference_destroy});
  const auto bytes = static_cast<size_t>(workspace_bytes);
  RETURN_IF_ERROR(
      CublasStatus(f.matmul_preference_set_attribute(
                       preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof(bytes)),
                   "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES"));
  // It would assume 256 bytes.
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    RETURN_IF_ERROR(
        CublasStatus(f.matmul_preference_set_attribute(preference, attribute, &kAlignmentBytes,
                                                       sizeof(kAlignmentBytes)),
                     "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT"));
  }
  return owned;
}

}  // namespace

struct CublasLtGemm::Plan {
  Desc desc;
  Layout weight;
  Layout x;
  Layout out;
  std::vector<cublasLtMatmulHeuristicResult_t> candidates;  // best guess first; never empty
  size_t chosen = 0;
};

absl::StatusOr<CublasLtGemm> CublasLtGemm::Create(const CublasLt& cublas,
                                                  const CublasLtGemmLimits& limits) {
  ASSIGN_OR_RETURN(DeviceBuffer<std::byte> workspace,
                   DeviceBuffer<std::byte>::Allocate(limits.workspace_bytes));
  return CublasLtGemm(cublas, limits, std::move(workspace));
}

CublasLtGemm::CublasLtGemm(const CublasLt& cublas, const CublasLtGemmLimits& limits,
                           DeviceBuffer<std::byte> workspace)
    : cublas_(&cublas), limits_(limits), workspace_(std::move(workspace)) {}

CublasLtGemm::~CublasLtGemm() = default;
CublasLtGemm::CublasLtGemm(CublasLtGemm&&) noexcept = default;
CublasLtGemm& CublasLtGemm::operator=(CublasLtGemm&&) noexcept = default;

CublasLtGemm::Key CublasLtGemm::KeyOf(const Linear& linear) {
  return {.rows = linear.rows,
          .outputs = linear.outputs,
          .inputs = linear.inputs,
          .out_stride = static_cast<int32_t>(linear.OutputAt(1, 0)),
          .type = linear.type,
          .out_f32 = linear.out_f32 != nullptr};
}

absl::StatusOr<std::unique_ptr<CublasLtGemm::Plan>> CublasLtGemm::MakePlan(const Linear& linear) {
  CHECK(linear.inputs % 8 == 0 && linear.outputs % 8 == 0 && linear.OutputAt(1, 0) % 8 == 0);
  CHECK((linear.out == nullptr) != (linear.out_f32 == nullptr));
  const CublasLt::Functions& f = cublas_->functions();
  const cudaDataType_t type = linear.type == HalfType::kF16 ? CUDA_R_16F : CUDA_R_16BF;
  const cudaDataType_t out_type = linear.out_f32 != nullptr ? CUDA_R_32F : type;
  auto plan = std::make_unique<Plan>();
  ASSIGN_OR_RETURN(plan->desc, MakeDesc(f));
  ASSIGN_OR_RETURN(plan->weight, MakeLayout(f, type, linear.outputs, linear.inputs, linear.inputs));
  ASSIGN_OR_RETURN(plan->x, MakeLayout(f, type, linear.rows, linear.inputs, linear.inputs));
  ASSIGN_OR_RETURN(plan->out, MakeLayout(f, out_type, linear.rows, linear.outputs,
                                         static_cast<int32_t>(linear.OutputAt(1, 0))));
  ASSIGN_OR_RETURN(const Preference preference, MakePreference(f, limits_.workspace_bytes));

  plan->candidates.resize(static_cast<size_t>(limits_.candidates_max));
  int found = 0;
  RETURN_IF_ERROR(CublasStatus(
      f.matmul_algo_get_heuristic(cublas_->handle(), plan->desc.get(), plan->weight.get(),
                                  plan->x.get(), plan->out.get(), plan->out.get(), preference.get(),
                                  limits_.candidates_max, plan->candidates.data(), &found),
      absl::StrCat("cublasLtMatmulAlgoGetHeuristic for ", ShapeOf(linear))));
  plan->candidates.resize(static_cast<size_t>(found));
  std::erase_if(plan->candidates, [](const cublasLtMatmulHeuristicResult_t& candidate) {
    return candidate.state != CUBLAS_STATUS_SUCCESS;
  });
  if (plan->candidates.empty()) {
    return absl::InternalError(absl::StrCat("cuBLASLt has no algorithm for ", ShapeOf(linear)));
  }
  return plan;
}

absl::StatusOr<CublasLtGemm::Plan*> CublasLtGemm::PlanOf(const Linear& linear) {
  const Key key = KeyOf(linear);
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second.get();
  ASSIGN_OR_RETURN(std::unique_ptr<Plan> plan, MakePlan(linear));
  return plans_.emplace(key, std::move(plan)).first->second.get();
}

absl::Status CublasLtGemm::Launch(const Stream& stream, const Linear& linear, const Plan& plan,
                                  const cublasLtMatmulAlgo_t& algorithm) {
  const float one = 1;
  const float zero = 0;
  void* const out = linear.out_f32 != nullptr ? static_cast<void*>(linear.out_f32) : linear.out;
  return CublasStatus(
      cublas_->functions().matmul(
          cublas_->handle(), plan.desc.get(), &one, linear.weight, plan.weight.get(), linear.x,
          plan.x.get(), &zero, out, plan.out.get(), out, plan.out.get(), &algorithm,
          workspace_.data(), static_cast<size_t>(workspace_.bytes()), stream.handle()),
      ShapeOf(linear));
}

absl::StatusOr<float> CublasLtGemm::Measure(const Stream& stream, Linear linear,
                                            std::span<const uint16_t* const> weights,
                                            const Plan& plan,
                                            const cublasLtMatmulAlgo_t& algorithm) {
  ASSIGN_OR_RETURN(const Event begin, Event::Create(Event::Timing::kOn));
  ASSIGN_OR_RETURN(const Event end, Event::Create(Event::Timing::kOn));
  float shortest = std::numeric_limits<float>::infinity();
  // The first pass loads the kernel and doesn't count.
  for (int32_t round = 0; round <= limits_.rounds; ++round) {
    RETURN_IF_ERROR(begin.Record(stream));
    for (const uint16_t* const weight : weights) {
      linear.weight = weight;
      RETURN_IF_ERROR(Launch(stream, linear, plan, algorithm));
    }
    RETURN_IF_ERROR(end.Record(stream));
    RETURN_IF_ERROR(end.Synchronize());
    ASSIGN_OR_RETURN(const float milliseconds, MillisecondsBetween(begin, end));
    if (round > 0) shortest = std::min(shortest, milliseconds);
  }
  return shortest / static_cast<float>(weights.size());
}

absl::Status CublasLtGemm::Tune(const Stream& stream, const Linear& linear,
                                std::span<const uint16_t* const> weights) {
  CHECK(!weights.empty());
  if (linear.rows == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(Plan* const plan, PlanOf(linear));
  float shortest = std::numeric_limits<float>::infinity();
  absl::Status failure = absl::OkStatus();
  for (size_t i = 0; i < plan->candidates.size(); ++i) {
    const absl::StatusOr<float> milliseconds =
        Measure(stream, linear, weights, *plan, plan->candidates[i].algo);
    // A candidate may turn out not to run with these pointers; the others still count.
    if (!milliseconds.ok()) {
      failure = milliseconds.status();
    } else if (*milliseconds < shortest) {
      shortest = *milliseconds;
      plan->chosen = i;
    }
  }
  return shortest < std::numeric_limits<float>::infinity() ? absl::OkStatus() : failure;
}

absl::Status CublasLtGemm::Run(const Stream& stream, const Linear& linear) {
  if (linear.rows == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Plan* const plan, PlanOf(linear));
  return Launch(stream, linear, *plan, plan->candidates[plan->chosen].algo);
}

}  // namespace spillway
