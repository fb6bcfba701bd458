#include "worker/kernels/embedding_cuda.h"

namespace spillway {

void EmbeddingReference(const EmbeddingRows& rows) {
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t token = TokenOf(rows, row);
    const bool known = token >= 0 && token < rows.vocabulary;
    for (int32_t i = 0; i < rows.columns; ++i) {
      rows.residual[row * rows.columns + i] =
          known ? rows.scale * ToFloat(rows.type, rows.table[token * rows.columns + i]) : 0.0f;
    }
  }
}

}  // namespace spillway
