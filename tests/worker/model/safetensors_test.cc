#include "worker/model/safetensors.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/safetensors_builder.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kEightBytes = "abcdefgh";

// What Parse() says of a bad file.
absl::Status Refusal(const std::vector<std::byte>& bytes) {
  return SafetensorsFile::Parse(bytes).status();
}
absl::Status RefusalOf(std::string_view header, std::string_view data = "") {
  return Refusal(SafetensorsBuilder::FileOf(header, data));
}
absl::Status RefusalOfTensor(std::string_view json, std::string_view data = kEightBytes) {
  return Refusal(SafetensorsBuilder().Entry("w", json).Data(data).Build());
}

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(SafetensorsTest, TensorsHaveTheirNamesTypesShapesAndBytes) {
  SafetensorsBuilder builder;
  builder.metadata = R"("__metadata__":{"format":"pt"})";
  builder.padding = "   ";
  builder.Tensor("b", "BF16", "[2,2]", kEightBytes)
      .Tensor("a.weight", "F32", "[1]", "wxyz")
      .Tensor("scalar", "F16", "[]", "hh")
      .Tensor("none", "F32", "[0,7]", "")
      .Tensor("ids", "I64", "[1]", kEightBytes)
      .Tensor("small", "F8_E4M3", "[3]", "123");
  const std::vector<std::byte> bytes = builder.Build();

  const auto file = SafetensorsFile::Parse(bytes);

  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->tensors().size(), 6u);
  const SafetensorsTensor& b = *(*file)->FindTensor("b");
  EXPECT_EQ(b.type, TensorType::kBF16);
  EXPECT_THAT(b.shape, ElementsAre(2, 2));
  EXPECT_EQ(Text(b.data), kEightBytes);
  EXPECT_EQ((*file)->FindTensor("a.weight")->type, TensorType::kF32);
  EXPECT_EQ(Text((*file)->FindTensor("a.weight")->data), "wxyz");
  EXPECT_EQ((*file)->FindTensor("scalar")->type, TensorType::kF16);
  EXPECT_THAT((*file)->FindTensor("scalar")->shape, IsEmpty());
  EXPECT_TRUE((*file)->FindTensor("none")->data.empty());
  EXPECT_EQ((*file)->FindTensor("ids")->type, std::nullopt);
  EXPECT_EQ((*file)->FindTensor("ids")->dtype, "I64");
  EXPECT_EQ((*file)->FindTensor("small")->type, std::nullopt);
  EXPECT_EQ((*file)->FindTensor("c"), nullptr);
  EXPECT_THAT(std::string(Text((*file)->header())), HasSubstr("__metadata__"));
}

TEST(SafetensorsTest, TensorsMayStandInAnyOrder) {
  const std::vector<std::byte> bytes =
      SafetensorsBuilder()
          .Entry("late", R"({"data_offsets":[4,8],"shape":[1],"dtype":"F32"})")
          .Entry("early", R"({"dtype":"F32","data_offsets":[0,4],"shape":[1]})")
          .Data(kEightBytes)
          .Build();

  const auto file = SafetensorsFile::Parse(bytes);

  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Text((*file)->FindTensor("late")->data), "efgh");
}

TEST(SafetensorsTest, HeaderLengthIsBounded) {
  EXPECT_THAT(std::string(Refusal({}).message()), HasSubstr("0 bytes"));
  SafetensorsBuilder builder;
  builder.Tensor("w", "F32", "[1]", "wxyz");
  builder.header_length_excess = 5;
  EXPECT_THAT(std::string(Refusal(builder.Build()).message()), HasSubstr("left"));
  builder.header_length_excess = 100'000'001;
  EXPECT_THAT(std::string(Refusal(builder.Build()).message()), HasSubstr("limit of 100000000"));
  builder.header_length_excess = -1 - static_cast<int64_t>(builder.Build().size());
  EXPECT_THAT(std::string(Refusal(builder.Build()).message()), HasSubstr("limit of 100000000"));
}

TEST(SafetensorsTest, HeaderIsAnObjectOfObjects) {
  for (const char* header :
       {"", " {}", "[]", "{", "{}}", "{} x", "{\"w\"}", "{\"w\":1}", "{\"w\":-1}", "{\"w\":1.5}",
        "{\"w\":null}", "{\"w\":true}", "{\"w\":\"x\"}", "{\"w\":[]}", "{\"w\":{\"dtype\":{}}}",
        "{'w':{}}", "{\"\xff\":{}}", "\xef\xbb\xbf{}"}) {
    EXPECT_EQ(RefusalOf(header).code(), absl::StatusCode::kInvalidArgument) << header;
  }
  EXPECT_TRUE(RefusalOf("{}").ok());
  EXPECT_TRUE(RefusalOf("{}\n ").ok());
}

TEST(SafetensorsTest, DeepNestingIsRefusedWithoutRecursion) {
  const std::string deep(1 << 20, '[');
  EXPECT_FALSE(RefusalOf("{\"w\":{\"shape\":" + deep).ok());
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(RefusalOf(objects).ok());
}

TEST(SafetensorsTest, MetadataIsTextsByTexts) {
  EXPECT_TRUE(RefusalOf(R"({"__metadata__":{}})").ok());
  EXPECT_TRUE(RefusalOf(R"({"__metadata__":{"a":"b","c":""}})").ok());
  for (const char* header :
       {R"({"__metadata__":{"a":1}})", R"({"__metadata__":{"a":null}})",
        R"({"__metadata__":{"a":{}}})", R"({"__metadata__":{"a":["b"]}})", R"({"__metadata__":1})",
        R"({"__metadata__":[]})", R"({"__metadata__":{"a":"b","a":"c"}})",
        R"({"__metadata__":{},"__metadata__":{}})"}) {
    EXPECT_EQ(RefusalOf(header).code(), absl::StatusCode::kInvalidArgument) << header;
  }
}

TEST(SafetensorsTest, TensorHasEachFieldOnceAndNoOther) {
  for (const char* json :
       {R"({})", R"({"dtype":"F32","shape":[2]})", R"({"dtype":"F32","data_offsets":[0,8]})",
        R"({"shape":[2],"data_offsets":[0,8]})",
        R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1})",
        R"({"dtype":1,"shape":[2],"data_offsets":[0,8]})",
        R"({"dtype":["F32"],"shape":[2],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[[2]],"data_offsets":[0,8]})",
        R"({"dtype":"F32","shape":[2],"data_offsets":[0]})",
        R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,8]})",
        R"({"dtype":"F32","shape":[2],"data_offsets":[]})"}) {
    EXPECT_EQ(RefusalOfTensor(json).code(), absl::StatusCode::kInvalidArgument) << json;
  }
  EXPECT_TRUE(RefusalOfTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})").ok());
}

TEST(SafetensorsTest, TensorIsNamedOnce) {
  const auto bytes =
      SafetensorsBuilder().Tensor("w", "F32", "[1]", "wxyz").Tensor("w", "F32", "[0]", "").Build();
  EXPECT_THAT(std::string(Refusal(bytes).message()), HasSubstr("tensor w is there twice"));
}

TEST(SafetensorsTest, SizeFollowsFromShapeAndDtype) {
  for (const char* json : {R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})",
                           R"({"dtype":"BF16","shape":[2],"data_offsets":[0,8]})",
                           R"({"dtype":"F32","shape":[2,0],"data_offsets":[0,8]})",
                           R"({"dtype":"F6_E2M3","shape":[1],"data_offsets":[0,8]})"}) {
    EXPECT_EQ(RefusalOfTensor(json).code(), absl::StatusCode::kInvalidArgument) << json;
  }
}

TEST(SafetensorsTest, ShapeBeyond64BitsIsRefused) {
  for (const char* shape :
       {"[18446744073709551615]", "[9223372036854775808,0]", "[4294967296,4294967296]",
        "[4611686018427387904,4]", "[2305843009213693952]", "[18446744073709551616]",
        "[4294967296,4294967296,0]"}) {
    const std::string json =
        std::string(R"({"dtype":"F32","data_offsets":[0,8],"shape":)") + shape + "}";
    EXPECT_EQ(RefusalOfTensor(json).code(), absl::StatusCode::kInvalidArgument) << shape;
  }
}

TEST(SafetensorsTest, UnknownDtypeIsNamed) {
  const absl::Status refusal =
      RefusalOfTensor(R"({"dtype":"Q4_0","shape":[2],"data_offsets":[0,8]})");
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("tensor w has the dtype Q4_0"));
}

TEST(SafetensorsTest, TensorsFillTheFileWithoutHoleOrOverlap) {
  const auto refusal = [](std::string_view first, std::string_view second) {
    return std::string(
        Refusal(SafetensorsBuilder()
                    .Entry("a", R"({"dtype":"U8","data_offsets":)" + std::string(first) + "}")
                    .Entry("b", R"({"dtype":"U8","data_offsets":)" + std::string(second) + "}")
                    .Data(kEightBytes)
                    .Build())
            .message());
  };
  EXPECT_EQ(refusal(R"([0,4],"shape":[4])", R"([4,8],"shape":[4])"), "");
  EXPECT_EQ(refusal(R"([4,8],"shape":[4])", R"([0,4],"shape":[4])"), "");
  EXPECT_THAT(refusal(R"([0,4],"shape":[4])", R"([3,8],"shape":[5])"), HasSubstr("inside the one"));
  EXPECT_THAT(refusal(R"([0,4],"shape":[4])", R"([5,8],"shape":[3])"), HasSubstr("not where"));
  EXPECT_THAT(refusal(R"([1,4],"shape":[3])", R"([4,8],"shape":[4])"), HasSubstr("not where"));
  EXPECT_THAT(refusal(R"([0,4],"shape":[4])", R"([4,7],"shape":[3])"),
              HasSubstr("take 7 bytes, the file has 8"));
  EXPECT_THAT(refusal(R"([0,4],"shape":[4])", R"([4,9],"shape":[5])"), HasSubstr("4 to 9"));
  EXPECT_THAT(refusal(R"([0,4],"shape":[4])", R"([8,4],"shape":[4])"), HasSubstr("8 to 4"));
  EXPECT_THAT(refusal(R"([0,8],"shape":[8])", R"([0,8],"shape":[8])"), HasSubstr("inside the one"));
}

TEST(SafetensorsTest, NamesDimensionsAndTensorsAreBounded) {
  const std::string long_name(SafetensorsLimits::kNameBytesMax + 1, 'n');
  EXPECT_THAT(std::string(RefusalOf("{\"" + long_name + "\":{}}").message()),
              HasSubstr("limit of 512"));
  EXPECT_THAT(std::string(RefusalOfTensor("{\"dtype\":\"" + long_name + "\"}").message()),
              HasSubstr("limit of 512"));
  EXPECT_THAT(std::string(RefusalOfTensor(R"({"shape":[1,1,1,1,1,1,1,1,1]})").message()),
              HasSubstr("over 8 dimensions"));
  SafetensorsBuilder builder;
  for (size_t i = 0; i < SafetensorsLimits::kTensorsMax; ++i) {
    builder.Tensor(std::to_string(i), "U8", "[0]", "");
  }
  EXPECT_TRUE(Refusal(builder.Build()).ok());
  builder.Tensor("one more", "U8", "[0]", "");
  EXPECT_THAT(std::string(Refusal(builder.Build()).message()), HasSubstr("over 65536 tensors"));
}

TEST(SafetensorsTest, OpenSaysWhatTheFileSystemSays) {
  EXPECT_EQ(SafetensorsFile::Open("/no/such.safetensors").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace spillway
