#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spillway {

// How weights are stored, in model files and packed: the formats of ggml.
enum class WeightFormat : uint8_t {
  kF32,
  kF16,
  kBf16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
};
inline constexpr int32_t kWeightFormatCount = 15;

// One row of the table of formats. A weight of an integer format is
//   (quant - zero_point) * scale + minimum
// of which scale and minimum are f16 factors, each times an 8-bit number where there are
// sub-scales. All of these products are exact in f32: the widest, of Q6_K, has 11 + 7 + 5 bits.
struct WeightFormatInfo {
  std::string_view name;
  bool integer = false;       // multiplies quantised activations; else f32 ones
  int32_t source_values = 1;  // in a model file: so many values of a row …
  int32_t source_bytes = 0;   // … take so many bytes

  // Of integer formats.
  int32_t quant_bits = 0;     // in a panel
  bool codebook = false;      // the quant is kCodebook[what the panel has]
  int32_t zero_point = 0;     // at most 2^(quant_bits - 1), or 128 with a codebook
  int32_t factor_count = 0;   // scale, or scale and minimum
  int32_t factor_blocks = 0;  // blocks of 32 inputs that share f16 factors: 1 or 8
  int32_t sub_scales = 0;     // 8-bit scales (and as many minima) of a block: 0, 1 or 2

  // In a panel, for 32 inputs and 16 outputs.
  constexpr int32_t quant_bytes() const { return 64 * quant_bits; }
  constexpr int32_t sub_scale_bytes() const { return 16 * sub_scales * factor_count; }
};
inline constexpr WeightFormatInfo kWeightFormats[kWeightFormatCount] = {
    {.name = "F32", .source_bytes = 4},
    {.name = "F16", .source_bytes = 2},
    {.name = "BF16", .source_bytes = 2},
    {.name = "Q4_0",
     .integer = true,
     .source_values = 32,
     .source_bytes = 18,
     .quant_bits = 4,
     .zero_point = 8,
     .factor_count = 1,
     .factor_blocks = 1},
    {.name = "Q4_1",
     .integer = true,
     .source_values = 32,
     .source_bytes = 20,
     .quant_bits = 4,
     .factor_count = 2,
     .factor_blocks = 1},
    {.name = "Q5_0",
     .integer = true,
     .source_values = 32,
     .source_bytes = 22,
     .quant_bits = 5,
     .zero_point = 16,
     .factor_count = 1,
     .factor_blocks = 1},
    {.name = "Q5_1",
     .integer = true,
     .source_values = 32,
     .source_bytes = 24,
     .quant_bits = 5,
     .factor_count = 2,
     .factor_blocks = 1},
    {.name = "Q8_0",
     .integer = true,
     .source_values = 32,
     .source_bytes = 34,
     .quant_bits = 8,
     .zero_point = 128,
     .factor_count = 1,
     .factor_blocks = 1},
    {.name = "Q2_K",
     .integer = true,
     .source_values = 256,
     .source_bytes = 84,
     .quant_bits = 2,
     .factor_count = 2,
     .factor_blocks = 8,
     .sub_scales = 2},
    {.name = "Q3_K",
     .integer = true,
     .source_values = 256,
     .source_bytes = 110,
     .quant_bits = 3,
     .zero_point = 4,
     .factor_count = 1,
     .factor_blocks = 8,
     .sub_scales = 2},
    {.name = "Q4_K",
     .integer = true,
     .source_values = 256,
     .source_bytes = 144,
     .quant_bits = 4,
     .factor_count = 2,
     .factor_blocks = 8,
     .sub_scales = 1},
    {.name = "Q5_K",
     .integer = true,
     .source_values = 256,
     .source_bytes = 176,
     .quant_bits = 5,
     .factor_count = 2,
     .factor_blocks = 8,
     .sub_scales = 1},
    {.name = "Q6_K",
     .integer = true,
     .source_values = 256,
     .source_bytes = 210,
     .quant_bits = 6,
     .zero_point = 32,
     .factor_count = 1,
     .factor_blocks = 8,
     .sub_scales = 2},
    {.name = "IQ4_NL",
     .integer = true,
     .source_values = 32,
     .source_bytes = 18,
     .quant_bits = 4,
     .codebook = true,
     .zero_point = 128,
     .factor_count = 1,
     .factor_blocks = 1},
    {.name = "IQ4_XS",
     .integer = true,
     .source_values = 256,
     .source_bytes = 136,
     .quant_bits = 4,
     .codebook = true,
     .zero_point = 128,
     .factor_count = 1,
     .factor_blocks = 8,
     .sub_scales = 1},
};
constexpr const WeightFormatInfo& InfoOf(WeightFormat format) {
  return kWeightFormats[static_cast<size_t>(format)];
}

// kvalues_iq4nl of ggml-common.h, plus 128.
inline constexpr uint8_t kCodebook[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                          129, 141, 153, 166, 181, 197, 217, 241};

inline constexpr int32_t kPanelOutputs = 16;

// A weight matrix [outputs, inputs] for matrix products: panels of 16 outputs, one per lane, each
// contiguous. Borrows its memory (model/weights.h owns it).
//
// A panel of a float format is [inputs, 16]. One of an integer format is, over blocks of 32 inputs,
//   quants      [blocks, quant_bits, 16, 4] bytes
//   sub-scales  [blocks, factor_count, sub_scales, 16] int8: scales, then minima
//   factors     [blocks / factor_blocks, factor_count, 16] f16: scale, then minimum
// where quants are words of 64 bytes, 4 bytes a lane, in planes of their bits. With g = i / 4 for
// input i of a block, byte i % 4 of a lane has
//   8 bits: the quant in word g
//   4 to 6: its low 4 bits in word g % 4, in the low half if g < 4; then the others of
//           5: bit g of word 4
//           6: bits 2 (g % 4) and the next of word 4 + g / 4
//   2, 3:   its low 2 bits in word g / 4, from bit 2 (g % 4) on; then the third in bit g of word 2
// Outputs beyond the last are zero.
struct PackedMatrix {
  WeightFormat format = WeightFormat::kF32;
  int32_t outputs = 0;
  int32_t inputs = 0;                 // a multiple of 32 for integer formats, and of source_values
  const std::byte* panels = nullptr;  // aligned to 64 bytes

  int32_t panel_count() const { return (outputs + kPanelOutputs - 1) / kPanelOutputs; }
  int64_t sub_scale_offset() const;  // in a panel of an integer format
  int64_t factor_offset() const;
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

// Reads one output's weights back, [inputs] f32: embedding rows. Has the bits of ggml's own
// dequantisation.
void UnpackRow(const PackedMatrix& matrix, int32_t output, float* out);

// One row of a model file as f32, [inputs], by ggml's arithmetic (dequantize_row_* in
// ggml-quants.c). The oracle of the two above, and for small vectors.
void DequantizeRowReference(WeightFormat format, const std::byte* row, int32_t inputs, float* out);

}  // namespace spillway
