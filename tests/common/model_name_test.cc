#include "common/model_name.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(ModelNameTest, IsTheFilesWithoutQuantisation) {
  const struct {
    const char* path;
    const char* name;
  } cases[] = {
      {"SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"},
      {"/models/a.b/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"},
      {"qwen2.5-0.5b-instruct-q4_k_m.gguf", "qwen2.5-0.5b-instruct"},
      {"Llama-3.2-1B-Instruct-F16.gguf", "llama-3.2-1b-instruct"},
      {"tinyllama-1.1b-chat-v1.0.Q8_0.gguf", "tinyllama-1.1b-chat-v1.0"},
      {"model-bf16.gguf", "model"},
      {"Phi-3.IQ2_XXS.gguf", "phi-3"},
      {"big-TQ1_0.GGUF", "big"},
      {"gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b"},
      {"DeepSeek-R1-Q4_K_M-00001-of-00009.gguf", "deepseek-r1"},
      {"DeepSeek-R1-00001-of-00009.gguf", "deepseek-r1"},
      // Parts of names that are no quantisation.
      {"Qwen-7B.gguf", "qwen-7b"},
      {"mistral-7b-v0.3.gguf", "mistral-7b-v0.3"},
      {"qwq-32b.gguf", "qwq-32b"},
      {"model-q4.gguf", "model-q4"},
      // Whatever a URL would have to escape.
      {"My Model (new)!.gguf", "my-model-new"},
      {"模型.gguf", "model"},
      {"--x--.gguf", "x"},
      {"under_score.gguf", "under_score"},
      {"no_extension", "no_extension"},
      {".gguf", "model"},
      {"", "model"},
      {"/", "model"},
      // Folders.
      {"models/DeepSeek-R1-Distill-Qwen-1.5B/", "deepseek-r1-distill-qwen-1.5b"},
      {"/hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de289a04d12100db370d81485cdf75e47ca",
       "qwen3-0.6b"},
      {"/hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de/", "qwen3-0.6b"},
      {"/hub/models--Qwen--Qwen3-0.6B", "qwen3-0.6b"},
      {"/hub/models--gpt2", "gpt2"},
      {"/hub/models--Qwen--Qwen3-0.6B/refs", "refs"},
      {"snapshots/Qwen3", "qwen3"},
      {"/a/b/snapshots/qwen3", "qwen3"},
  };
  for (const auto& [path, name] : cases) EXPECT_EQ(ModelNameFromPath(path), name) << path;
}

}  // namespace
}  // namespace spillway
