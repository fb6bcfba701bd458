#pragma once

// Tensor-core instructions, as the PTX manual defines their fragments
// (https://docs.nvidia.com/cuda/parallel-thread-execution, "mma.m16n8k16" and "ldmatrix"). All
// lanes of a warp take part.

#include <cstdint>

#include "worker/kernels/half.h"

namespace spillway {

// sums [16, 8] f32 += a [16, 16] · b [16, 8]. With g = lane / 4 and t = lane % 4 a lane has
//  a:    (g, 2t..2t+1), (g + 8, 2t..), (g, 2t + 8..), (g + 8, 2t + 8..)
//  b:    (2t..2t+1, g), (2t + 8.., g)
//  sums: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
template <HalfType kType>
__device__ __forceinline__ void Mma16x8x16(const uint32_t (&a)[4], const uint32_t (&b)[2],
                                           float (&sums)[4]) {
  if constexpr (kType == HalfType::kF16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

// Four 8 × 8 matrices of 16-bit values from shared memory, transposed. Lane 8m + r names row r of
// matrix m (8 values, aligned to 16 bytes); a lane gets (2t, g) and (2t + 1, g) of each.
__device__ __forceinline__ void LoadMatricesTransposed(const uint16_t* row,
                                                       uint32_t (&matrices)[4]) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(address)
               : "memory");
}

}  // namespace spillway
