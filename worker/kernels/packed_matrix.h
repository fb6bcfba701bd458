#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spillway {

// How weights are stored, in model files and packed: the formats of ggml.
enum class WeightFormat : uint8_t { kF32, kF16, kBf16, kQ4_0, kQ4_1, kQ8_0 };
inline constexpr int32_t kWeightFormatCount = 6;

// One row of the table of formats. A weight of an integer format is
// (quant - zero_point) * scale + minimum, scale and minimum of its row's block of 32 inputs.
struct WeightFormatInfo {
  std::string_view name;
  bool integer;           // multiplies quantised activations; else f32 ones
  int32_t source_values;  // in a model file: so many values of a row …
  int32_t source_bytes;   // … take so many bytes
  int32_t quant_bytes;    // in a panel: quants of 32 inputs and 16 outputs
  int32_t factor_count;   // in a panel: f16 factors of a block and output: scale, minimum
  int32_t zero_point;
};
const WeightFormatInfo& InfoOf(WeightFormat format);

inline constexpr int32_t kPanelOutputs = 16;

// A weight matrix [outputs, inputs] for matrix products: panels of 16 outputs, one per lane, each
// contiguous. Borrows its memory (model/weights.h owns it).
//
// A panel of an integer format is [blocks] quants, then [blocks, factor_count, 16] f16 factors:
//  4 bit: quants [4, 16, 4] bytes; byte (g, o, i) has input 4g + i in its low nibble and input
//         16 + 4g + i in its high one: what ggml's blocks have, too, so packing moves whole bytes
//  8 bit: quants [8, 16, 4] bytes, byte (g, o, i) is input 4g + i, plus 128
// One of a float format is [inputs, 16].
// Outputs beyond the last are zero.
struct PackedMatrix {
  WeightFormat format = WeightFormat::kF32;
  int32_t outputs = 0;
  int32_t inputs = 0;                 // a multiple of 32 for integer formats
  const std::byte* panels = nullptr;  // aligned to 64 bytes

  int32_t panel_count() const { return (outputs + kPanelOutputs - 1) / kPanelOutputs; }
  int64_t panel_bytes() const;  // a multiple of 64
  int64_t bytes() const { return panel_count() * panel_bytes(); }
  const std::byte* panel(int32_t index) const { return panels + index * panel_bytes(); }
};

// Bytes of one row of `inputs` values in a model file. Requires that blocks fill it.
int64_t SourceRowBytes(WeightFormat format, int32_t inputs);

// Packs panels [begin, end) of `matrix` into its memory, `panels`, from the rows of a model file.
// Output i comes from source row row_order[i], or i when that is nullptr.
void PackPanels(const PackedMatrix& matrix, const std::byte* source, const int32_t* row_order,
                int32_t begin, int32_t end, std::byte* panels);

// Reads one output's weights back, [inputs] f32: embedding rows. Exact: the product and sum of the
// factors in one fused operation.
void UnpackRow(const PackedMatrix& matrix, int32_t output, float* out);

// One row of a model file as f32, [inputs]. The oracle of the two above, and for small vectors.
void DequantizeRowReference(WeightFormat format, const std::byte* row, int32_t inputs, float* out);

}  // namespace spillway
