#include "worker/device/cublas.h"

#include <dlfcn.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

constexpr const char* kLibraryName = "libcublasLt.so.13";

std::string_view StatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "an unknown cuBLAS status";
}

template <typename Function>
absl::Status Resolve(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  if (*function != nullptr) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("cuBLASLt was found but has no ", name));
}

absl::StatusOr<CublasLt::Functions> Load(const std::string& path) {
  const char* const name = path.empty() ? kLibraryName : path.c_str();
  void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::NotFoundError(absl::StrCat("cuBLASLt can't be opened: ", dlerror()));
  }
  CublasLt::Functions f = {};
  RETURN_IF_ERROR(Resolve(library, "cublasLtCreate", &f.create));
  RETURN_IF_ERROR(Resolve(library, "cublasLtDestroy", &f.destroy));
  RETURN_IF_ERROR(Resolve(library, "cublasLtGetVersion", &f.get_version));
  RETURN_IF_ERROR(Resolve(library, "cublasLtMatmul", &f.matmul));
  RETURN_IF_ERROR(Resolve(library, "cublasLtMatmulDescCreate", &f.matmul_desc_create));
  RETURN_IF_ERROR(Resolve(library, "cublasLtMatmulDescDestroy", &f.matmul_desc_destroy));
  RETURN_IF_ERROR(Resolve(library, "cublasLtMatmulDescSetAttribute", &f.matmul_desc_set_attribute));
  RETURN_IF_ERROR(Resolve(library, "cublasLtMatrixLayoutCreate", &f.matrix_layout_create));
  RETURN_IF_ERROR(Resolve(library, "cublasLtMatrixLayoutDestroy", &f.matrix_layout_destroy));
  RETURN_IF_ERROR(Resolve(library, "cublasLtMatmulPreferenceCreate", &f.matmul_preference_create));
  RETURN_IF_ERROR(
      Resolve(library, "cublasLtMatmulPreferenceDestroy", &f.matmul_preference_destroy));
  RETURN_IF_ERROR(
      Resolve(library, "cublasLtMatmulPreferenceSetAttribute", &f.matmul_preference_set_attribute));
  RETURN_IF_ERROR(Resolve(library, "cublasLtMatmulAlgoGetHeuristic", &f.matmul_algo_get_heuristic));
  return f;
}

}  // namespace

absl::StatusOr<CublasLt> CublasLt::Open(const std::string& path) {
  CublasLt cublas;
  ASSIGN_OR_RETURN(cublas.functions_, Load(path));
  RETURN_IF_ERROR(CublasStatus(cublas.functions_.create(&cublas.handle_), "cublasLtCreate"));
  return cublas;
}

absl::Status CublasLt::CheckLibrary(const std::string& path) { return Load(path).status(); }

CublasLt::~CublasLt() {
  if (handle_ != nullptr) functions_.destroy(handle_);
}

CublasLt& CublasLt::operator=(CublasLt&& other) noexcept {
  std::swap(functions_, other.functions_);
  std::swap(handle_, other.handle_);
  return *this;
}

absl::Status CublasStatus(cublasStatus_t status, std::string_view doing) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(std::string(doing), ": ", std::string(StatusName(status))));
}

}  // namespace spillway
