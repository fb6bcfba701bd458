#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/device/host_buffer.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/model/model_tensor.h"

namespace spillway {

// Takes tensors out of a model's files into what the CPU kernels read: first all are found and
// checked, then the matrices are packed into one piece of memory.
// `tensors` outlives it.
class WeightPacker {
 public:
  explicit WeightPacker(const TensorSource& tensors) : tensors_(tensors) {}

  // INVALID_ARGUMENT: there is no such tensor, or its shape is another. UNIMPLEMENTED: its type is
  // one that the kernels can't read.
  // `matrix` must stay where it is until Pack(), which sets its memory.
  absl::Status AddMatrix(const std::string& name, int32_t outputs, int32_t inputs,
                         PackedMatrix& matrix);
  // Floats of `rows` rows of `columns`, each row with zeros behind it up to a multiple of 16.
  absl::Status ReadRows(const std::string& name, int32_t rows, int32_t columns,
                        std::vector<float>& values) const;
  absl::Status ReadVector(const std::string& name, int32_t size, std::vector<float>& values) const;

  // The memory of all matrices so far. RESOURCE_EXHAUSTED: there isn't as much.
  absl::StatusOr<HostBuffer> Pack(ThreadTeam& team) const;

 private:
  struct Job {
    PackedMatrix* matrix;
    const std::byte* source;
    int64_t offset;  // in the packed memory
  };

  absl::StatusOr<const ModelTensor*> Find(const std::string& name,
                                          const std::vector<int64_t>& dims) const;
  absl::Status ReadFloats(const ModelTensor& tensor, int32_t rows, int32_t columns,
                          std::vector<float>& values) const;

  const TensorSource& tensors_;
  std::vector<Job> jobs_;
  int64_t bytes_ = 0;
};

}  // namespace spillway
