#include "worker/model/weight_packer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

absl::StatusOr<WeightFormat> FormatOf(const ModelTensor& tensor) {
  std::string known;
  for (int32_t i = 0; i < kWeightFormatCount; ++i) {
    const auto format = static_cast<WeightFormat>(i);
    if (InfoOf(format).name == TensorTypeName(tensor.type)) return format;
    absl::StrAppend(&known, i == 0 ? "" : ", ", std::string(InfoOf(format).name));
  }
  return absl::UnimplementedError(absl::StrCat("tensor ", tensor.name, " has type ",
                                               std::string(TensorTypeName(tensor.type)),
                                               "; the CPU kernels have ", known));
}

}  // namespace

absl::StatusOr<const ModelTensor*> WeightPacker::Find(const std::string& name,
                                                      const std::vector<int64_t>& dims) const {
  const ModelTensor* const tensor = tensors_.FindTensor(name);
  if (tensor == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("there is no tensor ", name));
  }
  if (tensor->dims != dims) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", tensor->name, " has shape [", absl::StrJoin(tensor->dims, ", "),
                     "], its model's is [", absl::StrJoin(dims, ", "), "]"));
  }
  return tensor;
}

absl::Status WeightPacker::AddMatrix(const std::string& name, int32_t outputs, int32_t inputs,
                                     PackedMatrix& matrix) {
  ASSIGN_OR_RETURN(const ModelTensor* const tensor, Find(name, {inputs, outputs}));
  ASSIGN_OR_RETURN(const WeightFormat format, FormatOf(*tensor));
  matrix = {.format = format, .outputs = outputs, .inputs = inputs};
  CHECK(static_cast<int64_t>(tensor->data.size()) == outputs * SourceRowBytes(format, inputs));
  jobs_.push_back({&matrix, tensor->data.data(), bytes_});
  bytes_ += matrix.bytes();
  return absl::OkStatus();
}

absl::Status WeightPacker::ReadRows(const std::string& name, int32_t rows, int32_t columns,
                                    std::vector<float>& values) const {
  ASSIGN_OR_RETURN(const ModelTensor* const tensor, Find(name, {columns, rows}));
  return ReadFloats(*tensor, rows, columns, values);
}

absl::Status WeightPacker::ReadVector(const std::string& name, int32_t size,
                                      std::vector<float>& values) const {
  ASSIGN_OR_RETURN(const ModelTensor* const tensor, Find(name, {size}));
  return ReadFloats(*tensor, 1, size, values);
}

absl::Status WeightPacker::ReadFloats(const ModelTensor& tensor, int32_t rows, int32_t columns,
                                      std::vector<float>& values) const {
  ASSIGN_OR_RETURN(const WeightFormat format, FormatOf(tensor));
  const int64_t stride = (int64_t{columns} + kPanelOutputs - 1) / kPanelOutputs * kPanelOutputs;
  values.assign(static_cast<size_t>(rows * stride), 0.0f);
  for (int64_t row = 0; row < rows; ++row) {
    DequantizeRowReference(format, tensor.data.data() + row * SourceRowBytes(format, columns),
                           columns, values.data() + row * stride);
  }
  return absl::OkStatus();
}

absl::StatusOr<HostBuffer> WeightPacker::Pack(ThreadTeam& team) const {
  ASSIGN_OR_RETURN(HostBuffer memory, HostBuffer::Allocate(bytes_));
  for (const Job& job : jobs_) job.matrix->panels = memory.data() + job.offset;
  team.Run([&](int32_t thread) {
    for (const Job& job : jobs_) {
      const auto [begin, end] = ShareOf(thread, team.size(), job.matrix->panel_count());
      PackPanels(*job.matrix, job.source, nullptr, begin, end, memory.data() + job.offset);
    }
  });
  return memory;
}

}  // namespace spillway
