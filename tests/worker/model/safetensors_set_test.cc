#include "worker/model/safetensors_set.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/temp_folder.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

constexpr const char* kIndex = "model.safetensors.index.json";

std::vector<std::byte> FileWith(std::string_view tensor, std::string_view data = "wxyz") {
  return SafetensorsBuilder().Tensor(tensor, "F32", "[1]", data).Build();
}
absl::StatusOr<std::unique_ptr<SafetensorsSet>> Open(const TempFolder& temp) {
  return SafetensorsSet::Open(*ModelFolder::Open(temp.path()));
}
std::string Refusal(const TempFolder& temp, absl::StatusCode code) {
  const auto set = Open(temp);
  EXPECT_EQ(set.status().code(), code) << set.status();
  return std::string(set.status().message());
}
std::string HashOf(const TempFolder& temp) {
  Sha256 hash;
  (*Open(temp))->AddTo(hash);
  return hash.HexDigest();
}

TEST(SafetensorsSetTest, OneFile) {
  const TempFolder temp;
  temp.Write("model.safetensors", FileWith("a"));
  temp.Write(kIndex, "not read");

  const auto set = Open(temp);

  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_NE((*set)->FindTensor("a"), nullptr);
  EXPECT_EQ((*set)->FindTensor("b"), nullptr);
  EXPECT_EQ((*set)->tensors().size(), 1u);
}

TEST(SafetensorsSetTest, Shards) {
  const TempFolder temp;
  temp.Write("model-00001-of-00002.safetensors", FileWith("a"));
  temp.Write("model-00002-of-00002.safetensors", FileWith("b"));
  temp.Write(kIndex,
             R"({"metadata":{"total_size":8},"weight_map":{)"
             R"("a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");

  const auto set = Open(temp);

  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_NE((*set)->FindTensor("a"), nullptr);
  EXPECT_NE((*set)->FindTensor("b"), nullptr);
}

TEST(SafetensorsSetTest, ShardsAreFilesOfTheFolder) {
  for (const std::string name :
       {"../x.safetensors", "/etc/passwd", "sub/x.safetensors", "..", "", "x.bin"}) {
    const TempFolder temp;
    temp.Write(kIndex, R"({"weight_map":{"a":")" + name + R"("}})");
    EXPECT_THAT(Refusal(temp, absl::StatusCode::kInvalidArgument), HasSubstr("weight_map"));
  }
  const TempFolder temp;
  temp.Write("outside.safetensors", FileWith("a"));
  temp.Link("model/x.safetensors", "../outside.safetensors");
  temp.Write(std::string("model/") + kIndex, R"({"weight_map":{"a":"x.safetensors"}})");
  const auto set = SafetensorsSet::Open(*ModelFolder::Open(temp.Path("model")));
  EXPECT_THAT(std::string(set.status().message()), HasSubstr("a link out of the folder"));
}

TEST(SafetensorsSetTest, IndexAndShardsAgree) {
  const TempFolder temp;
  temp.Write("x.safetensors", FileWith("a"));
  temp.Write("y.safetensors", FileWith("a"));
  temp.Write(kIndex, R"({"weight_map":{"b":"x.safetensors"}})");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kInvalidArgument),
              HasSubstr("x.safetensors: there is no tensor b"));
  temp.Write(kIndex, R"({"weight_map":{"a":"gone.safetensors"}})");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kNotFound), HasSubstr("gone.safetensors"));
  temp.Write(kIndex, R"({"weight_map":{"a":7}})");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kInvalidArgument), HasSubstr("weight_map.a is 7"));
  temp.Write(kIndex, R"({"weight_map":{}})");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kInvalidArgument), HasSubstr("names 0 files"));
  temp.Write(kIndex, R"({})");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kInvalidArgument),
              HasSubstr("weight_map is missing"));
  std::string many = R"({"weight_map":{)";
  for (size_t i = 0; i <= SafetensorsSet::kShardsMax; ++i) {
    many += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"" + std::to_string(i) +
            ".safetensors\"";
  }
  temp.Write(kIndex, many + "}}");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kInvalidArgument), HasSubstr("beyond 1 to 1024"));
}

TEST(SafetensorsSetTest, TensorLiesInOneShard) {
  const TempFolder temp;
  temp.Write(
      "x.safetensors",
      SafetensorsBuilder().Tensor("a", "U8", "[1]", "1").Tensor("b", "U8", "[1]", "2").Build());
  temp.Write("y.safetensors", FileWith("a"));
  temp.Write(kIndex, R"({"weight_map":{"b":"x.safetensors","a":"y.safetensors"}})");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kInvalidArgument),
              HasSubstr("tensor a is in another shard"));
}

TEST(SafetensorsSetTest, BadFileIsNamed) {
  const TempFolder temp;
  temp.Write("model.safetensors", "short");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kInvalidArgument),
              HasSubstr("model.safetensors: safetensors: the file has 5 bytes"));
}

TEST(SafetensorsSetTest, FolderWithoutWeightsSaysWhatItHas) {
  const TempFolder temp;
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kNotFound), HasSubstr("neither model.safetensors"));
  temp.Write("pytorch_model.bin", "");
  EXPECT_THAT(Refusal(temp, absl::StatusCode::kNotFound), HasSubstr(".bin files are not read"));
}

TEST(SafetensorsSetTest, HashTellsWeightsApart) {
  const TempFolder one, same, other_data, other_name;
  one.Write("model.safetensors", FileWith("a", "wxyz"));
  same.Write("model.safetensors", FileWith("a", "wxyz"));
  other_data.Write("model.safetensors", FileWith("a", "wxy!"));
  other_name.Write("model.safetensors", FileWith("b", "wxyz"));
  EXPECT_EQ(HashOf(one), HashOf(same));
  EXPECT_NE(HashOf(one), HashOf(other_data));
  EXPECT_NE(HashOf(one), HashOf(other_name));
}

}  // namespace
}  // namespace spillway
