#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/gguf_builder.h"
#include "worker/model/model_spec.h"

namespace spillway {

// The hyper-parameters of a small model; a test changes one of them.
struct SmallModel {
  std::string architecture = "llama";
  uint32_t layers = 2;
  uint32_t context = 128;
  uint32_t hidden = 64;
  uint32_t intermediate = 96;
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  float epsilon = 1e-5f;
  int64_t vocabulary = 10;
  TensorType type = TensorType::kF32;
  GgufBuilder extra;    // keys and tensors after these
  std::string without;  // this key is left out

  absl::StatusOr<ModelSpec> Spec() const {
    GgufBuilder builder = extra;
    const auto put = [&](const std::string& key, uint32_t value) {
      if (key != without) builder.Uint32(architecture + "." + key, value);
    };
    if (without != "general.architecture") builder.String("general.architecture", architecture);
    put("block_count", layers);
    put("context_length", context);
    put("embedding_length", hidden);
    put("feed_forward_length", intermediate);
    put("attention.head_count", heads);
    put("attention.head_count_kv", kv_heads);
    if (without != "attention.layer_norm_rms_epsilon") {
      builder.Float32(architecture + ".attention.layer_norm_rms_epsilon", epsilon);
    }
    if (without != "token_embd.weight") {
      builder.Tensor("token_embd.weight", type, {hidden, vocabulary});
    }
    const std::vector<std::byte> bytes = builder.Build();
    const auto file = GgufFile::Parse(bytes);
    if (!file.ok()) return file.status();
    return ModelSpecFromGguf(**file);
  }
};

inline ModelSpec SpecOf(
    const std::string& architecture,
    const std::function<void(GgufBuilder&)>& add = [](GgufBuilder&) {}, uint32_t layers = 4) {
  SmallModel model;
  model.architecture = architecture;
  model.layers = layers;
  add(model.extra);
  const absl::StatusOr<ModelSpec> spec = model.Spec();
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.value_or(ModelSpec());
}

}  // namespace spillway
