// Files with random bytes changed, removed or repeated either parse, and all that they hold can be
// read, or are refused with a reason. The sanitizer presets make this strict.
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/gguf_builder.h"
#include "worker/model/gguf.h"
#include "worker/model/gguf_tokenizer.h"
#include "worker/model/model_spec.h"

namespace spillway {
namespace {

std::vector<std::byte> TinyModel() {
  GgufBuilder builder;
  builder.String("general.architecture", "llama")
      .Uint32("llama.block_count", 1)
      .Uint32("llama.context_length", 128)
      .Uint32("llama.embedding_length", 32)
      .Uint32("llama.feed_forward_length", 64)
      .Uint32("llama.attention.head_count", 2)
      .Uint32("llama.attention.head_count_kv", 1)
      .Float32("llama.attention.layer_norm_rms_epsilon", 1e-5f)
      .String("tokenizer.ggml.model", "gpt2")
      .Strings("tokenizer.ggml.tokens", {"a", "b", "ab", "<|im_end|>"})
      .Int32s("tokenizer.ggml.token_type", {1, 1, 1, 3})
      .Strings("tokenizer.ggml.merges", {"a b"})
      .Uint32("tokenizer.ggml.eos_token_id", 3)
      .String("tokenizer.chat_template", "{{ messages }}")
      .Tensor("token_embd.weight", TensorType::kQ8_0, {32, 4})
      .Tensor("output_norm.weight", TensorType::kF32, {32});
  return builder.Build();
}

// Changes a few places, small numbers and limits more often than noise.
void Mutate(std::mt19937& random, std::vector<std::byte>& bytes) {
  const auto below = [&](size_t limit) { return static_cast<size_t>(random()) % limit; };
  for (size_t changes = 1 + below(4); changes > 0 && bytes.size() > 8; --changes) {
    const size_t at = below(bytes.size() - 8);
    const auto place = bytes.begin() + static_cast<ptrdiff_t>(at);
    constexpr uint64_t kOdd[] = {0, 1, 0x7f, 0xff, 0x7fffffff, 0xffffffff, 1ull << 63, ~0ull};
    switch (below(6)) {
      case 0:
        bytes[at] = static_cast<std::byte>(random());
        break;
      case 1:
        bytes[at] ^= static_cast<std::byte>(1 << below(8));
        break;
      case 2:
        std::memcpy(&bytes[at], &kOdd[below(8)], 8);
        break;
      case 3:
        std::memcpy(&bytes[at], &kOdd[below(8)], 4);
        break;
      case 4:
        bytes.erase(place, place + static_cast<ptrdiff_t>(1 + below(8)));
        break;
      default:
        bytes.insert(place, 1 + below(8), static_cast<std::byte>(random()));
    }
  }
}

// Touches every byte that the file gives out; returns a value so that nothing is optimised away.
size_t ReadAll(const GgufFile& file) {
  size_t sum = file.HeaderHash().size();
  for (const std::string_view key : file.KeysWithPrefix("")) {
    if (const auto text = file.GetString(key); text.ok())
      sum += std::hash<std::string_view>()(*text);
    if (const auto texts = file.GetStrings(key); texts.ok()) {
      for (const std::string_view text : *texts) sum += std::hash<std::string_view>()(text);
    }
    if (const auto numbers = file.GetInts(key); numbers.ok()) sum += numbers->size();
    if (const auto numbers = file.GetFloats(key); numbers.ok()) sum += numbers->size();
    if (const auto number = file.GetInt(key); number.ok()) sum += static_cast<size_t>(*number);
    if (const auto number = file.GetFloat(key); number.ok()) ++sum;
    if (const auto flag = file.GetBool(key); flag.ok()) sum += *flag ? 1 : 0;
  }
  for (const ModelTensor& tensor : file.tensors()) {
    for (const std::byte byte : tensor.data) sum += static_cast<size_t>(byte);
  }
  return sum;
}

TEST(GgufMutationTest, EveryMutantIsReadOrRefused) {
  const std::vector<std::byte> good = TinyModel();
  ASSERT_TRUE(GgufFile::Parse(good).ok());
  ASSERT_TRUE(ModelSpecFromGguf(**GgufFile::Parse(good)).ok());
  ASSERT_TRUE(TokenizerSpecFromGguf(**GgufFile::Parse(good)).ok());
  int read = 0;
  int refused = 0;
  for (uint32_t seed = 0; seed < 20'000; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> bytes = good;
    Mutate(random, bytes);

    const auto file = GgufFile::Parse(bytes);

    if (!file.ok()) {
      ASSERT_FALSE(file.status().message().empty()) << "seed " << seed;
      ++refused;
      continue;
    }
    ++read;
    ASSERT_GT(ReadAll(**file), 0u);
    if (const auto spec = ModelSpecFromGguf(**file); spec.ok()) {
      ASSERT_EQ(spec->head_count % spec->kv_head_count, 0) << "seed " << seed;
    }
    if (const auto spec = TokenizerSpecFromGguf(**file); spec.ok()) {
      ASSERT_EQ(spec->tokens.size(), spec->types.size()) << "seed " << seed;
      for (const TokenId id : spec->end_of_text) {
        ASSERT_LT(static_cast<size_t>(id), spec->tokens.size()) << "seed " << seed;
      }
    }
    ASSERT_NE(ChatTemplatesFromGguf(**file).status().code(), absl::StatusCode::kInternal);
  }
  // Both ways are taken often, or the mutations are too mild or too wild.
  EXPECT_GT(read, 2000);
  EXPECT_GT(refused, 2000);
}

}  // namespace
}  // namespace spillway
