// Files with random bytes changed, removed or repeated either parse, and all that they hold can be
// read, or are refused with a reason. The sanitizer presets make this strict.
#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/safetensors_builder.h"
#include "worker/model/safetensors.h"

namespace spillway {
namespace {

std::vector<std::byte> TinyFile() {
  SafetensorsBuilder builder;
  builder.metadata = R"("__metadata__":{"format":"pt"})";
  return builder.Zeros("model.embed_tokens.weight", "BF16", 2, {4, 8})
      .Zeros("model.layers.0.input_layernorm.weight", "F32", 4, {8})
      .Zeros("lm_head.weight", "F16", 2, {4, 8})
      .Zeros("position_ids", "I64", 8, {1, 3})
      .Build();
}

// Changes a few places, digits and JSON's signs more often than noise.
void Mutate(std::mt19937& random, std::vector<std::byte>& bytes) {
  const auto below = [&](size_t limit) { return static_cast<size_t>(random()) % limit; };
  for (size_t changes = 1 + below(3); changes > 0 && bytes.size() > 8; --changes) {
    const size_t at = below(bytes.size() - 8);
    const auto place = bytes.begin() + static_cast<ptrdiff_t>(at);
    constexpr std::string_view kSigns = "0123456789,:[]{}\"-. eF";
    switch (below(5)) {
      case 0:
        bytes[at] = static_cast<std::byte>(random());
        break;
      case 1:
        bytes[at] = static_cast<std::byte>(kSigns[below(kSigns.size())]);
        break;
      case 2: {  // another digit where one is
        const auto digit = std::find_if(place, bytes.end(), [](std::byte byte) {
          return byte >= std::byte{'0'} && byte <= std::byte{'9'};
        });
        if (digit != bytes.end()) *digit = static_cast<std::byte>('0' + below(10));
        break;
      }
      case 3:
        bytes.erase(place, place + static_cast<ptrdiff_t>(1 + below(8)));
        break;
      default:
        bytes.insert(place, 1 + below(8), static_cast<std::byte>(kSigns[below(kSigns.size())]));
    }
    // Half of the changes keep the header's length what it says.
    if (below(2) == 0 && bytes.size() >= 8) {
      const auto end = std::find(bytes.rbegin(), bytes.rend(), std::byte{'}'});
      const uint64_t length = static_cast<uint64_t>(bytes.rend() - end);
      if (length >= 8) {
        const uint64_t header = length - 8;
        std::memcpy(bytes.data(), &header, sizeof(header));
      }
    }
  }
}

TEST(SafetensorsMutationTest, EveryMutantIsReadOrRefused) {
  const std::vector<std::byte> good = TinyFile();
  ASSERT_TRUE(SafetensorsFile::Parse(good).ok());
  int read = 0;
  int refused = 0;
  for (uint32_t seed = 0; seed < 20'000; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> bytes = good;
    Mutate(random, bytes);

    const auto file = SafetensorsFile::Parse(bytes);

    if (!file.ok()) {
      ASSERT_FALSE(file.status().message().empty()) << "seed " << seed;
      ++refused;
      continue;
    }
    ++read;
    size_t data_bytes = 0;
    size_t sum = 0;
    for (const SafetensorsTensor& tensor : (*file)->tensors()) {
      ASSERT_EQ((*file)->FindTensor(tensor.name), &tensor) << "seed " << seed;
      for (const std::byte byte : tensor.data) sum += static_cast<size_t>(byte);
      data_bytes += tensor.data.size();
    }
    // Together the tensors are the file's rest.
    ASSERT_EQ(data_bytes + (*file)->header().size() + 8, bytes.size()) << "seed " << seed;
    ASSERT_LE(sum, 255 * bytes.size());
  }
  // Both ways are taken often, or the mutations are too mild or too wild.
  EXPECT_GT(read, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace spillway
