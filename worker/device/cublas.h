#pragma once

// For cuBLASLt's types; its functions come from CublasLt below, never from the linker.
#include <cublasLt.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace spillway {

// cuBLASLt, opened at run time, and a handle of this thread's device: 600 MB that many machines
// have and others shouldn't need. Calls through it may come from any thread. Move-only; closing the
// library is left to the end of the process, since it keeps threads and device memory of its own.
class CublasLt {
 public:
  // `path` names the library file, or is empty for what the loader finds as libcublasLt.so.13 (a
  // toolkit, or the folder of the Python package in LD_LIBRARY_PATH).
  // NOT_FOUND: no such library, or one that lacks a function; the message says where was looked.
  // INTERNAL: it is there but can't serve this device.
  static absl::StatusOr<CublasLt> Open(const std::string& path);

  // The functions alone, for a machine without a device. Errors as above.
  static absl::Status CheckLibrary(const std::string& path);

  ~CublasLt();
  CublasLt(CublasLt&& other) noexcept { *this = std::move(other); }
  CublasLt& operator=(CublasLt&& other) noexcept;

  // Each has the type of the function of its name.
  struct Functions {
    decltype(&::cublasLtCreate) create;
    decltype(&::cublasLtDestroy) destroy;
    decltype(&::cublasLtGetVersion) get_version;
    decltype(&::cublasLtMatmul) matmul;
    decltype(&::cublasLtMatmulDescCreate) matmul_desc_create;
    decltype(&::cublasLtMatmulDescDestroy) matmul_desc_destroy;
    decltype(&::cublasLtMatmulDescSetAttribute) matmul_desc_set_attribute;
    decltype(&::cublasLtMatrixLayoutCreate) matrix_layout_create;
    decltype(&::cublasLtMatrixLayoutDestroy) matrix_layout_destroy;
    decltype(&::cublasLtMatmulPreferenceCreate) matmul_preference_create;
    decltype(&::cublasLtMatmulPreferenceDestroy) matmul_preference_destroy;
    decltype(&::cublasLtMatmulPreferenceSetAttribute) matmul_preference_set_attribute;
    decltype(&::cublasLtMatmulAlgoGetHeuristic) matmul_algo_get_heuristic;
  };
  const Functions& functions() const { return functions_; }
  cublasLtHandle_t handle() const { return handle_; }
  int64_t version() const { return static_cast<int64_t>(functions_.get_version()); }

 private:
  CublasLt() = default;

  Functions functions_ = {};
  cublasLtHandle_t handle_ = nullptr;
};

// INTERNAL, with the status by name, unless it is success.
absl::Status CublasStatus(cublasStatus_t status, std::string_view doing);

}  // namespace spillway
