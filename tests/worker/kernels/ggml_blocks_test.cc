// worker/kernels/packed_matrix.h against ggml itself: blocks that its quantisers made, and blocks
// of random bytes, with the values that ggml reads from them (tools/llama_cpp/dump_blocks.cc).

#include <array>
#include <charconv>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/ascii.h"
#include "tests/worker/kernels/kernel_cases.h"
#include "worker/kernels/packed_matrix.h"

namespace spillway {
namespace {

constexpr int32_t kValues = 256;

std::vector<std::byte> BytesOf(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    uint8_t byte = 0;
    std::from_chars(&hex[i], &hex[i] + 2, byte, 16);
    bytes.push_back(static_cast<std::byte>(byte));
  }
  return bytes;
}

std::optional<WeightFormat> FormatNamed(const std::string& name) {
  for (int32_t i = 0; i < kWeightFormatCount; ++i) {
    const auto format = static_cast<WeightFormat>(i);
    if (InfoOf(format).name == absl::AsciiStrToUpper(name)) return format;
  }
  return std::nullopt;
}

// The row as UnpackRow gives it back, from the panel's last lane.
std::vector<float> PackedAndUnpacked(WeightFormat format, const std::vector<std::byte>& row) {
  PackedMatrix matrix = {.format = format, .outputs = 16, .inputs = kValues};
  std::vector<std::byte> panels(static_cast<size_t>(matrix.bytes()));
  const std::array<int32_t, 16> row_order = {};  // the row for all outputs
  PackPanels(matrix, row.data(), row_order.data(), 0, 1, panels.data());
  matrix.panels = panels.data();
  std::vector<float> values(kValues);
  UnpackRow(matrix, 15, values.data());
  return values;
}

TEST(GgmlBlocksTest, EveryFormatHasTheBitsOfGgml) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/worker/kernels/testdata/ggml_blocks.txt");
  ASSERT_TRUE(file.is_open());
  std::set<WeightFormat> seen;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string type, kind, block_hex, value_hex;
    words >> type >> kind >> block_hex >> value_hex;
    SCOPED_TRACE(type + " " + kind);
    const std::optional<WeightFormat> format = FormatNamed(type);
    ASSERT_TRUE(format.has_value());
    seen.insert(*format);
    const std::vector<std::byte> blocks = BytesOf(block_hex);
    ASSERT_EQ(static_cast<int64_t>(blocks.size()), SourceRowBytes(*format, kValues));
    const std::vector<std::byte> value_bytes = BytesOf(value_hex);
    std::vector<float> expected(kValues);
    ASSERT_EQ(value_bytes.size(), expected.size() * sizeof(float));
    std::memcpy(expected.data(), value_bytes.data(), value_bytes.size());

    std::vector<float> dequantised(kValues);
    DequantizeRowReference(*format, blocks.data(), kValues, dequantised.data());

    EXPECT_TRUE(SameBits(dequantised, expected));
    EXPECT_TRUE(SameBits(PackedAndUnpacked(*format, blocks), expected));
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(kWeightFormatCount));
}

}  // namespace
}  // namespace spillway
