// worker/model/gguf_rope.h: what each key under "rope." does, and what is refused.

#include "worker/model/gguf_rope.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/model/small_model.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

Rope RopeOf(const std::function<void(GgufBuilder&)>& add) { return SpecOf("llama", add).rope; }

TEST(GgufRopeTest, RopeScalingIsWhatTheKeysSay) {
  const RopeScaling linear = {.kind = RopeScaling::Kind::kLinear, .factor = 4};
  const std::vector<double> by_four = MakeRope(1e4, 16, linear).frequencies;
  EXPECT_EQ(RopeOf([](GgufBuilder& b) { b.Float32("llama.rope.scaling.factor", 4); }).frequencies,
            by_four);
  EXPECT_EQ(RopeOf([](GgufBuilder& b) { b.Float32("llama.rope.scale_linear", 4); }).frequencies,
            by_four);
  EXPECT_EQ(RopeOf([](GgufBuilder& b) {
              b.String("llama.rope.scaling.type", "none").Float32("llama.rope.scaling.factor", 4);
            }).frequencies,
            MakeRope(1e4, 16).frequencies);
  EXPECT_EQ(RopeOf([](GgufBuilder& b) { b.Float32("llama.rope.scaling.factor", 0); }).frequencies,
            MakeRope(1e4, 16).frequencies);
  RopeScaling yarn = {.kind = RopeScaling::Kind::kYarn, .factor = 4, .original_context_tokens = 32};
  const auto add_yarn = [](GgufBuilder& b) -> GgufBuilder& {
    return b.String("llama.rope.scaling.type", "yarn")
        .Float32("llama.rope.scaling.factor", 4)
        .Uint32("llama.rope.scaling.original_context_length", 32);
  };
  EXPECT_EQ(RopeOf(add_yarn).frequencies, MakeRope(1e4, 16, yarn).frequencies);
  EXPECT_EQ(RopeOf(add_yarn).magnitude, MakeRope(1e4, 16, yarn).magnitude);
  yarn.beta_fast = 4;
  yarn.beta_slow = 2;
  EXPECT_EQ(RopeOf([&](GgufBuilder& b) {
              add_yarn(b)
                  .Float32("llama.rope.scaling.yarn_beta_fast", 4)
                  .Float32("llama.rope.scaling.yarn_beta_slow", 2);
            }).frequencies,
            MakeRope(1e4, 16, yarn).frequencies);
  // The context that the model was trained with is the file's, unless said.
  yarn = {.kind = RopeScaling::Kind::kYarn, .factor = 2, .original_context_tokens = 128};
  EXPECT_EQ(RopeOf([](GgufBuilder& b) {
              b.String("llama.rope.scaling.type", "yarn").Float32("llama.rope.scaling.factor", 2);
            }).frequencies,
            MakeRope(1e4, 16, yarn).frequencies);
}

TEST(GgufRopeTest, YarnsMagnitudeIsTransformers) {
  const auto magnitude = [](const char* key, float value) {
    return RopeOf([&](GgufBuilder& b) {
             b.String("llama.rope.scaling.type", "yarn")
                 .Float32("llama.rope.scaling.factor", 4)
                 .Float32(std::string("llama.rope.scaling.") + key, value);
           })
        .magnitude;
  };
  const double own = 0.1 * std::log(4) + 1;
  EXPECT_DOUBLE_EQ(magnitude("yarn_ext_factor", -1), own);
  EXPECT_DOUBLE_EQ(magnitude("yarn_attn_factor", 1.25f), 1.25);
  EXPECT_DOUBLE_EQ(magnitude("yarn_attn_factor", 0.8782488562869419f), own)
      << "DeepSeek-R1-0528-Qwen3-8B's, which transformers ignores";
  EXPECT_DOUBLE_EQ(magnitude("attn_factor", 0.5f), 0.5 * own);
  EXPECT_DOUBLE_EQ(magnitude("yarn_log_multiplier", 0.5f), own / (0.05 * std::log(4) + 1));
}

TEST(GgufRopeTest, RopeFrequenciesAreDividedByTheirFactors) {
  const float factors[8] = {1, 1, 2, 4, 8, 8, 8, 8};
  const Rope rope = RopeOf([&](GgufBuilder& b) {
    b.Tensor("rope_freqs.weight", TensorType::kF32, {8},
             std::string_view(reinterpret_cast<const char*>(factors), sizeof(factors)));
  });
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(rope.frequencies[i], MakeRope(1e4, 16).frequencies[i] / factors[i]);
  }
}

struct BadRope {
  const char* message;
  std::function<void(SmallModel&)> spoil;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

const BadRope kBadRopes[] = {
    {"llama.rope.scaling.type is \"longrope\"; this build runs: none, linear, yarn",
     [](SmallModel& m) { m.extra.String("llama.rope.scaling.type", "longrope"); }, kUnimplemented},
    {"llama.rope.scaling.factor is 0.0001, below",
     [](SmallModel& m) { m.extra.Float32("llama.rope.scaling.factor", 1e-4f); }},
    {"llama.rope.scaling.factor is nan",
     [](SmallModel& m) {
       m.extra.Float32("llama.rope.scaling.factor", std::numeric_limits<float>::quiet_NaN());
     }},
    {"llama.rope.scaling.alpha asks for a rope scaling that this build lacks",
     [](SmallModel& m) { m.extra.Float32("llama.rope.scaling.alpha", 0.1f); }, kUnimplemented},
    {"llama.rope.scaling.yarn_ext_factor is 0.5",
     [](SmallModel& m) {
       m.extra.String("llama.rope.scaling.type", "yarn")
           .Float32("llama.rope.scaling.yarn_ext_factor", 0.5f);
     },
     kUnimplemented},
    {"llama.rope.scaling.original_context_length is 0,",
     [](SmallModel& m) {
       m.extra.String("llama.rope.scaling.type", "yarn")
           .Uint32("llama.rope.scaling.original_context_length", 0);
     }},
    {"llama.rope.freq_base_swa is 100",
     [](SmallModel& m) { m.extra.Float32("llama.rope.freq_base_swa", 100); }, kUnimplemented},
    {"rope_freqs.weight is not F32 [8]",
     [](SmallModel& m) { m.extra.Tensor("rope_freqs.weight", TensorType::kF32, {9}); }},
    {"rope_freqs.weight is not F32 [8]",
     [](SmallModel& m) { m.extra.Tensor("rope_freqs.weight", TensorType::kF16, {8}); }},
    {"rope_freqs.weight has 0 at 0",
     [](SmallModel& m) { m.extra.Tensor("rope_freqs.weight", TensorType::kF32, {8}); }},
    {"rope_freqs.weight stands for scaled rope frequencies",
     [](SmallModel& m) {
       m.architecture = "qwen3";
       m.extra.Tensor("rope_freqs.weight", TensorType::kF32, {8});
     },
     kUnimplemented},
    {"rope_factors_long.weight stands for scaled rope frequencies (longrope)",
     [](SmallModel& m) { m.extra.Tensor("rope_factors_long.weight", TensorType::kF32, {8}); },
     kUnimplemented},
};

TEST(GgufRopeTest, RefusesWhatItCannotRunByName) {
  for (const BadRope& bad : kBadRopes) {
    SmallModel model;
    bad.spoil(model);

    const absl::Status status = model.Spec().status();

    EXPECT_EQ(status.code(), bad.code) << bad.message << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

}  // namespace
}  // namespace spillway
