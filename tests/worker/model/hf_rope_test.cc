#include "worker/model/hf_rope.h"

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

constexpr double kTheta = 1e4;
constexpr double kLocalTheta = 100;
constexpr int32_t kRopeSize = 16;
constexpr int32_t kContext = 128;

struct Result {
  absl::Status status;
  ModelSpec spec;
};
Result Read(const std::string& json, double local_theta = 0) {
  Result result;
  result.spec.rope_size = kRopeSize;
  result.spec.context_tokens_max = kContext;
  result.status =
      ReadHfRope(*JsonObject::Parse(json, "config.json"), kTheta, local_theta, result.spec);
  return result;
}
ModelSpec Spec(const std::string& json, double local_theta = 0) {
  const Result result = Read(json, local_theta);
  EXPECT_TRUE(result.status.ok()) << result.status;
  return result.spec;
}
std::string Message(const std::string& json, absl::StatusCode code, double local_theta = 0) {
  const Result result = Read(json, local_theta);
  EXPECT_EQ(result.status.code(), code) << json;
  return std::string(result.status.message());
}
std::string Invalid(const std::string& json) {
  return Message(json, absl::StatusCode::kInvalidArgument);
}
std::string Unimplemented(const std::string& json) {
  return Message(json, absl::StatusCode::kUnimplemented);
}
// Of the second pair: what tells a theta.
double Second(double theta) { return std::pow(theta, -2.0 / kRopeSize); }

TEST(HfRopeTest, ThetaStandsAtItsOldOrNewPlace) {
  EXPECT_DOUBLE_EQ(Spec("{}").rope.frequencies[1], Second(1e4));
  EXPECT_DOUBLE_EQ(Spec(R"({"rope_theta":500.0})").rope.frequencies[1], Second(500));
  EXPECT_DOUBLE_EQ(Spec(R"({"rope_theta":1000000})").rope.frequencies[1], Second(1e6));
  EXPECT_DOUBLE_EQ(
      Spec(R"({"rope_parameters":{"rope_theta":77.0,"rope_type":"default"}})").rope.frequencies[1],
      Second(77));
  EXPECT_DOUBLE_EQ(
      Spec(R"({"rope_theta":5.0,"rope_parameters":{"rope_theta":77.0}})").rope.frequencies[1],
      Second(77));
  EXPECT_DOUBLE_EQ(Spec(R"({"rope_theta":5.0,"rope_parameters":{}})").rope.frequencies[1],
                   Second(5));
  EXPECT_THAT(Invalid(R"({"rope_theta":0})"), HasSubstr("rope_theta"));
  EXPECT_THAT(Invalid(R"({"rope_theta":-1.0})"), HasSubstr("rope_theta"));
}

TEST(HfRopeTest, ScalingIsReadOldStyleAndNew) {
  for (const char* json :
       {R"({"rope_scaling":{"type":"linear","factor":4.0}})",
        R"({"rope_scaling":{"rope_type":"linear","factor":4}})",
        R"({"rope_scaling":{"type":"su","rope_type":"linear","factor":4}})",
        R"({"rope_parameters":{"rope_type":"linear","factor":4.0}})",
        R"({"rope_scaling":null,"rope_parameters":{"type":"linear","factor":4}})",
        R"({"rope_parameters":{"type":"linear","factor":9},
            "rope_scaling":{"type":"linear","factor":4}})"}) {
    EXPECT_DOUBLE_EQ(Spec(json).rope.frequencies[0], 0.25) << json;
  }
  EXPECT_EQ(Spec(R"({"rope_scaling":{"type":"linear","factor":4.0}})").context_tokens_max, 128);
  EXPECT_DOUBLE_EQ(Spec(R"({"rope_scaling":{"type":"dynamic","factor":4.0}})").rope.frequencies[0],
                   1);
  EXPECT_DOUBLE_EQ(Spec(R"({"rope_scaling":{}})").rope.frequencies[0], 1);
}

TEST(HfRopeTest, UnknownKindNamesTheChoices) {
  const std::string message = Unimplemented(R"({"rope_scaling":{"type":"longrope"}})");
  EXPECT_THAT(message, HasSubstr("rope_scaling.type is \"longrope\""));
  EXPECT_THAT(message, HasSubstr("default, linear, dynamic, llama3, yarn"));
  EXPECT_THAT(Unimplemented(R"({"rope_scaling":{"type":"default","mrope_section":[1,2]}})"),
              HasSubstr("mrope_section"));
  EXPECT_THAT(Unimplemented(R"({"rope_parameters":{"partial_rotary_factor":0.5}})"),
              HasSubstr("partial_rotary_factor"));
}

TEST(HfRopeTest, FactorsAreRequiredAndBounded) {
  EXPECT_THAT(Invalid(R"({"rope_scaling":{"type":"linear"}})"), HasSubstr("factor is missing"));
  EXPECT_THAT(Invalid(R"({"rope_scaling":{"type":"linear","factor":0}})"),
              HasSubstr("factor is 0"));
  EXPECT_THAT(Invalid(R"({"rope_scaling":{"type":"linear","factor":-2}})"), HasSubstr("factor"));
  EXPECT_THAT(Invalid(R"({"rope_scaling":{"type":7,"factor":2}})"), HasSubstr("not a string"));
  EXPECT_THAT(Invalid(R"({"rope_scaling":[1]})"), HasSubstr("not an object"));
}

TEST(HfRopeTest, Llama3KeepsHighAndDividesLowFrequencies) {
  const ModelSpec spec =
      Spec(R"({"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,)"
           R"("high_freq_factor":4.0,"original_max_position_embeddings":64}})");
  EXPECT_DOUBLE_EQ(spec.rope.frequencies[0], 1);
  EXPECT_DOUBLE_EQ(spec.rope.frequencies[7], std::pow(kTheta, -14.0 / kRopeSize) / 8);
  EXPECT_EQ(spec.context_tokens_max, kContext);
  EXPECT_THAT(Invalid(R"({"rope_scaling":{"rope_type":"llama3","factor":8.0}})"),
              HasSubstr("low_freq_factor is missing"));
  EXPECT_THAT(Invalid(R"({"rope_scaling":{"rope_type":"llama3","factor":8.0,)"
                      R"("low_freq_factor":4,"high_freq_factor":4}})"),
              HasSubstr("not above low_freq_factor"));
}

TEST(HfRopeTest, YarnStretchesTheContext) {
  const ModelSpec spec = Spec(
      R"({"rope_scaling":{"type":"yarn","factor":4.0,"original_max_position_embeddings":128}})");
  EXPECT_EQ(spec.context_tokens_max, 512);
  EXPECT_DOUBLE_EQ(spec.rope.magnitude, 0.1 * std::log(4.0) + 1);
  EXPECT_DOUBLE_EQ(spec.rope.frequencies[0], 1);
  EXPECT_DOUBLE_EQ(spec.rope.frequencies[7], std::pow(kTheta, -14.0 / kRopeSize) / 4);
  // max_position_embeddings may also be the stretched context itself.
  EXPECT_EQ(Spec(R"({"rope_scaling":{"type":"yarn","factor":4.0,)"
                 R"("original_max_position_embeddings":32}})")
                .context_tokens_max,
            128);
}

TEST(HfRopeTest, YarnTakesWhatTransformersTakes) {
  const auto magnitude = [](const std::string& fields) {
    return Spec(R"({"rope_scaling":{"type":"yarn","original_max_position_embeddings":32)" + fields +
                "}}")
        .rope.magnitude;
  };
  const double usual = 0.1 * std::log(4.0) + 1;
  EXPECT_DOUBLE_EQ(magnitude(""), usual);  // 128 / 32
  EXPECT_DOUBLE_EQ(magnitude(R"(,"factor":null)"), usual);
  EXPECT_DOUBLE_EQ(magnitude(R"(,"factor":4,"attn_factor":0.878)"), usual);
  EXPECT_DOUBLE_EQ(magnitude(R"(,"factor":4,"attention_factor":1.25)"), 1.25);
  EXPECT_DOUBLE_EQ(magnitude(R"(,"factor":4,"mscale":1.0,"mscale_all_dim":1.0)"), 1);
  EXPECT_DOUBLE_EQ(magnitude(R"(,"factor":4,"mscale":1.0)"), usual);
  EXPECT_DOUBLE_EQ(magnitude(R"(,"factor":0.5)"), 1);
  // The original context may stand beside rope_scaling, and goes first.
  EXPECT_EQ(Spec(R"({"original_max_position_embeddings":100,"rope_scaling":{"type":"yarn",)"
                 R"("factor":4.0,"original_max_position_embeddings":32}})")
                .context_tokens_max,
            400);
}

TEST(HfRopeTest, LocalLayersHaveTheirOwn) {
  const ModelSpec plain = Spec("{}", kLocalTheta);
  EXPECT_DOUBLE_EQ(plain.rope.frequencies[1], Second(1e4));
  EXPECT_DOUBLE_EQ(plain.local_rope.frequencies[1], Second(100));
  const ModelSpec old_style = Spec(R"({"rope_theta":500.0,"rope_local_base_freq":7.0,)"
                                   R"("rope_scaling":{"rope_type":"linear","factor":8.0}})",
                                   kLocalTheta);
  EXPECT_DOUBLE_EQ(old_style.rope.frequencies[1], Second(500) / 8);
  EXPECT_DOUBLE_EQ(old_style.local_rope.frequencies[1], Second(7));
  const ModelSpec new_style =
      Spec(R"({"rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,)"
           R"("rope_theta":500.0},"sliding_attention":{"rope_type":"default","rope_theta":7.0}}})",
           kLocalTheta);
  EXPECT_EQ(new_style.rope.frequencies, old_style.rope.frequencies);
  EXPECT_EQ(new_style.local_rope.frequencies, old_style.local_rope.frequencies);
}

TEST(HfRopeTest, RopesByLayerNeedLayersThatDiffer) {
  EXPECT_THAT(Unimplemented(R"({"rope_parameters":{"full_attention":{"rope_type":"default"}}})"),
              HasSubstr("full_attention"));
  EXPECT_THAT(Message(R"({"rope_parameters":{"rope_type":"default"}})",
                      absl::StatusCode::kInvalidArgument, kLocalTheta),
              HasSubstr("neither full_attention nor sliding_attention"));
}

}  // namespace
}  // namespace spillway
