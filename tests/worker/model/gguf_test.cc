#include "worker/model/gguf.h"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/gguf_builder.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Text(absl::string_view text) { return std::string(text); }

// Keeps the bytes that a parsed file points into.
struct Parsed {
  explicit Parsed(const GgufBuilder& builder)
      : bytes(builder.Build()), file(GgufFile::Parse(bytes)) {}
  const GgufFile& operator*() const { return **file; }
  const GgufFile* operator->() const { return file->get(); }

  std::vector<std::byte> bytes;
  absl::StatusOr<std::unique_ptr<GgufFile>> file;
};

TEST(GgufTest, ReadsEveryScalarType) {
  const Parsed file(GgufBuilder()
                        .Uint8("u8", 200)
                        .Int8("i8", -100)
                        .Uint16("u16", 60'000)
                        .Int16("i16", -30'000)
                        .Uint32("u32", 4'000'000'000)
                        .Int32("i32", -2'000'000'000)
                        .Uint64("u64", 1ull << 62)
                        .Int64("i64", std::numeric_limits<int64_t>::min())
                        .Float32("f32", 1.5f)
                        .Float64("f64", 1e300)
                        .Bool("yes", true)
                        .Bool("no", false)
                        .String("text", "π"));
  ASSERT_TRUE(file.file.ok()) << file.file.status();

  EXPECT_EQ(*file->GetInt("u8"), 200);
  EXPECT_EQ(*file->GetInt("i8"), -100);
  EXPECT_EQ(*file->GetInt("u16"), 60'000);
  EXPECT_EQ(*file->GetInt("i16"), -30'000);
  EXPECT_EQ(*file->GetInt("u32"), 4'000'000'000);
  EXPECT_EQ(*file->GetInt("i32"), -2'000'000'000);
  EXPECT_EQ(*file->GetInt("u64"), int64_t{1} << 62);
  EXPECT_EQ(*file->GetInt("i64"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(*file->GetFloat("f32"), 1.5);
  EXPECT_EQ(*file->GetFloat("f64"), 1e300);
  EXPECT_TRUE(*file->GetBool("yes"));
  EXPECT_FALSE(*file->GetBool("no"));
  EXPECT_EQ(*file->GetString("text"), "π");
}

TEST(GgufTest, ReadsArrays) {
  const Parsed file(GgufBuilder()
                        .Strings("texts", {"a", "", "ccc"})
                        .Strings("none", {})
                        .Int32s("ints", {1, -2, 3})
                        .Uint64s("longs", {7})
                        .RawArray("flags", 7, 3, std::string_view("\1\0\1", 3))
                        .Float32s("floats", {0.5f, -1})
                        .Float64s("doubles", {0.25}));

  EXPECT_THAT(*file->GetStrings("texts"), ElementsAre("a", "", "ccc"));
  EXPECT_THAT(*file->GetStrings("none"), IsEmpty());
  EXPECT_THAT(*file->GetInts("ints"), ElementsAre(1, -2, 3));
  EXPECT_THAT(*file->GetInts("longs"), ElementsAre(7));
  EXPECT_THAT(*file->GetBools("flags"), ElementsAre(true, false, true));
  EXPECT_THAT(*file->GetFloats("floats"), ElementsAre(0.5, -1));
  EXPECT_THAT(*file->GetFloats("doubles"), ElementsAre(0.25));
}

TEST(GgufTest, GettersSayWhatIsThereInstead) {
  const Parsed file(GgufBuilder()
                        .Uint32("int", 1)
                        .Int32s("ints", {1})
                        .String("text", "")
                        .Uint64("huge", ~0ull)
                        .Uint64s("huges", {1, ~0ull}));
  const struct {
    absl::Status status;
    absl::StatusCode code;
    const char* message;
  } cases[] = {
      {file->GetInt("missing").status(), absl::StatusCode::kNotFound, "has no missing"},
      {file->GetInt("ints").status(), absl::StatusCode::kInvalidArgument,
       "ints is an array of int32, not an integer"},
      {file->GetInt("text").status(), absl::StatusCode::kInvalidArgument, "text is a string"},
      {file->GetInt("huge").status(), absl::StatusCode::kInvalidArgument, "beyond"},
      {file->GetInts("huges").status(), absl::StatusCode::kInvalidArgument, "beyond"},
      {file->GetInts("int").status(), absl::StatusCode::kInvalidArgument, "int is a uint32"},
      {file->GetBools("ints").status(), absl::StatusCode::kInvalidArgument, "ints is an array"},
      {file->GetFloat("int").status(), absl::StatusCode::kInvalidArgument, "not a float"},
      {file->GetFloats("ints").status(), absl::StatusCode::kInvalidArgument, "array of floats"},
      {file->GetBool("int").status(), absl::StatusCode::kInvalidArgument, "not a bool"},
      {file->GetString("int").status(), absl::StatusCode::kInvalidArgument, "not a string"},
      {file->GetStrings("text").status(), absl::StatusCode::kInvalidArgument, "array of strings"},
      {file->GetStrings("missing").status(), absl::StatusCode::kNotFound, "has no missing"},
  };
  for (const auto& [status, code, message] : cases) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(Text(status.message()), HasSubstr(message));
  }
}

TEST(GgufTest, FindsKeys) {
  const Parsed file(GgufBuilder().Uint32("a.y", 1).Uint32("b", 1).Uint32("a.x", 1).Uint32("a", 1));

  EXPECT_TRUE(file->Has("a.x"));
  EXPECT_FALSE(file->Has("a.z"));
  EXPECT_THAT(file->KeysWithPrefix("a."), ElementsAre("a.x", "a.y"));
  EXPECT_THAT(file->KeysWithPrefix("c"), IsEmpty());
}

TEST(GgufTest, TensorsHaveTheirBytes) {
  const std::string q4_1(40, 'q');  // two blocks of 20 bytes
  const std::string q8_0(34, 'e');
  const Parsed file(GgufBuilder()
                        .Tensor("one", TensorType::kF32, {3}, std::string(12, 'f'))
                        .Tensor("two", TensorType::kQ4_1, {32, 2}, q4_1)
                        .Tensor("three", TensorType::kF16, {2, 3, 4, 5}, std::string(240, 'h'))
                        .Tensor("four", TensorType::kQ8_0, {32}, q8_0));
  ASSERT_TRUE(file.file.ok()) << file.file.status();

  ASSERT_EQ(file->tensors().size(), 4u);
  const ModelTensor* two = file->FindTensor("two");
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(two, &file->tensors()[1]);
  EXPECT_EQ(two->type, TensorType::kQ4_1);
  EXPECT_THAT(two->dims, ElementsAre(32, 2));
  ASSERT_EQ(two->data.size(), q4_1.size());
  EXPECT_EQ(std::memcmp(two->data.data(), q4_1.data(), q4_1.size()), 0);
  EXPECT_EQ((two->data.data() - file.bytes.data()) % 32, 0);
  EXPECT_THAT(file->FindTensor("three")->dims, ElementsAre(2, 3, 4, 5));
  EXPECT_EQ(file->FindTensor("three")->data[0], std::byte{'h'});
  EXPECT_EQ(file->FindTensor("four")->data[33], std::byte{'e'});
  EXPECT_EQ(file->FindTensor("five"), nullptr);
}

TEST(GgufTest, EveryTypeHasItsSize) {
  const struct {
    TensorType type;
    const char* name;
    size_t bytes;  // of 256 elements
  } cases[] = {
      {TensorType::kF32, "F32", 1024},      {TensorType::kF16, "F16", 512},
      {TensorType::kBF16, "BF16", 512},     {TensorType::kQ4_0, "Q4_0", 144},
      {TensorType::kQ4_1, "Q4_1", 160},     {TensorType::kQ5_0, "Q5_0", 176},
      {TensorType::kQ5_1, "Q5_1", 192},     {TensorType::kQ8_0, "Q8_0", 272},
      {TensorType::kQ4_K, "Q4_K", 144},     {TensorType::kQ5_K, "Q5_K", 176},
      {TensorType::kQ6_K, "Q6_K", 210},     {TensorType::kQ2_K, "Q2_K", 84},
      {TensorType::kQ3_K, "Q3_K", 110},     {TensorType::kIQ4_NL, "IQ4_NL", 144},
      {TensorType::kIQ4_XS, "IQ4_XS", 136},
  };
  for (const auto& [type, name, bytes] : cases) {
    const Parsed file(GgufBuilder().Tensor("t", type, {256}, std::string(bytes, 'x')));

    ASSERT_TRUE(file.file.ok()) << file.file.status();
    EXPECT_EQ(file->FindTensor("t")->data.size(), bytes);
    EXPECT_EQ(TensorTypeName(type), name);
    EXPECT_EQ(IsQuantised(type), std::string(name).find('Q') != std::string::npos);
  }
}

TEST(GgufTest, AlignmentIsTheFiles) {
  GgufBuilder builder;
  builder.alignment = 256;
  builder.Uint32("general.alignment", 256)
      .Tensor("a", TensorType::kF32, {1}, "aaaa")
      .Tensor("b", TensorType::kF32, {1}, "bbbb");
  const Parsed file(builder);

  ASSERT_TRUE(file.file.ok()) << file.file.status();
  EXPECT_EQ(file->FindTensor("b")->data.data() - file->FindTensor("a")->data.data(), 256);
  EXPECT_EQ(file->FindTensor("b")->data[0], std::byte{'b'});
}

// One thing wrong in an otherwise good file.
struct BadFile {
  const char* message;
  std::function<void(GgufBuilder&)> spoil;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

std::string Long(size_t size) { return std::string(size, 'k'); }
// A string's length and no more.
std::string LengthOnly(uint64_t length) {
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length));
}

// Arrays within arrays, as deep as that; the innermost is empty.
std::string NestedArrays(int depth) {
  constexpr uint32_t kArray = 9;
  std::string bytes;
  for (int i = 0; i < depth; ++i) {
    bytes.append(reinterpret_cast<const char*>(&kArray), sizeof(kArray));
    bytes += LengthOnly(i + 1 < depth ? 1 : 0);
  }
  return bytes;
}

const BadFile kBadFiles[] = {
    {"at byte 0: not a GGUF file", [](GgufBuilder& b) { b.magic = 0x47475546; }},
    {"version 1; this build reads versions 2 and 3", [](GgufBuilder& b) { b.version = 1; },
     absl::StatusCode::kUnimplemented},
    {"version 4", [](GgufBuilder& b) { b.version = 4; }, absl::StatusCode::kUnimplemented},
    {"version 0", [](GgufBuilder& b) { b.version = 0; }, absl::StatusCode::kUnimplemented},
    {"big-endian", [](GgufBuilder& b) { b.version = 0x03000000; },
     absl::StatusCode::kUnimplemented},
    {"at byte 8: tensor count is 65539, beyond 0 to 65536",
     [](GgufBuilder& b) { b.tensor_count_excess = 65'536; }},
    {"at byte 16: metadata count is 4099, beyond 0 to 4096",
     [](GgufBuilder& b) { b.key_count_excess = 4096; }},
    {"tensor count is 18446744073709551615,",
     [](GgufBuilder& b) { b.tensor_count_excess = ~0ull - 3; }},
    {"metadata count is 18446744073709551615,",
     [](GgufBuilder& b) { b.key_count_excess = ~0ull - 3; }},
    // As many as may be, of which the file has three.
    {"at byte ", [](GgufBuilder& b) { b.tensor_count_excess = 65'533; }},
    {"at byte ", [](GgufBuilder& b) { b.key_count_excess = 4093; }},
    // Reads into the tensor table and the data, which are no keys.
    {"at byte ", [](GgufBuilder& b) { b.key_count_excess = 3; }},
    {"metadata key has a length of 0", [](GgufBuilder& b) { b.Uint8("", 1); }},
    {"metadata key has a length of 65536, beyond 1 to 65535",
     [](GgufBuilder& b) { b.Uint8(Long(65'536), 1); }},
    {"the key one is there twice", [](GgufBuilder& b) { b.Uint8("one", 1); }},
    {"value type 13 is unknown", [](GgufBuilder& b) { b.Raw("key", 13, "xxxx"); }},
    {"array element type 4294967295 is unknown",
     [](GgufBuilder& b) { b.RawArray("key", ~0u, 1, "xxxx"); }},
    {"key is an array of arrays", [](GgufBuilder& b) { b.RawArray("key", 9, 0, ""); },
     absl::StatusCode::kUnimplemented},
    {"array length is 8388609, beyond 0 to 8388608",
     [](GgufBuilder& b) { b.RawArray("key", 0, (8 << 20) + 1, "x"); }},
    {"the value of key needs 8388608 bytes",
     [](GgufBuilder& b) { b.RawArray("key", 0, 8 << 20, "x"); }},
    {"the value of key needs 67108864 bytes",
     [](GgufBuilder& b) { b.RawArray("key", 12, 8 << 20, "x"); }},
    {"the value of key has a length of 67108865, beyond 0 to 67108864",
     [](GgufBuilder& b) { b.Raw("key", 8, LengthOnly((64 << 20) + 1)); }},
    {"the value of key has a length of 18446744073709551615",
     [](GgufBuilder& b) { b.Raw("key", 8, LengthOnly(~0ull)); }},
    {"the value of key has a length of 9223372036854775808",
     [](GgufBuilder& b) { b.Raw("key", 8, LengthOnly(1ull << 63)); }},
    {"the value of key needs 67108864 bytes",
     [](GgufBuilder& b) { b.Raw("key", 8, LengthOnly(64 << 20)); }},
    // What would end where it begins, or before, if one added without care.
    {"the value of key has a length of 18446744073709551608",
     [](GgufBuilder& b) { b.Raw("key", 8, LengthOnly(~0ull - 7)); }},
    {"metadata key has a length of 18446744073709551615",
     [](GgufBuilder& b) { b.Raw("key", 0, "x" + LengthOnly(~0ull)).key_count_excess = 1; }},
    {"array length is 2305843009213693953, beyond 0 to 8388608",
     [](GgufBuilder& b) { b.RawArray("key", 10, (1ull << 61) + 1, LengthOnly(0)); }},
    {"array length is 18446744073709551615,",
     [](GgufBuilder& b) { b.RawArray("key", 8, ~0ull, LengthOnly(0)); }},
    {"array of arrays",
     [](GgufBuilder& b) { b.RawArray("key", 9, 1 << 20, NestedArrays(100'000)); },
     absl::StatusCode::kUnimplemented},
    {"the value of key needs 1000 bytes",
     [](GgufBuilder& b) { b.RawArray("key", 8, 2, LengthOnly(0) + LengthOnly(1000)); }},
    {"key is the bool 2", [](GgufBuilder& b) { b.Raw("key", 7, "\2"); }},
    {"key is the bool 255", [](GgufBuilder& b) { b.RawArray("key", 7, 2, "\1\xff"); }},
    {"k\\ney\\x00 is the bool 2", [](GgufBuilder& b) { b.Raw({"k\ney\0", 5}, 7, "\2"); }},
    {"general.alignment is 0,", [](GgufBuilder& b) { b.Uint32("general.alignment", 0); }},
    {"general.alignment is 4,", [](GgufBuilder& b) { b.Uint32("general.alignment", 4); }},
    {"general.alignment is 48,", [](GgufBuilder& b) { b.Uint32("general.alignment", 48); }},
    {"not a power of two from 8 to 65536",
     [](GgufBuilder& b) { b.Uint32("general.alignment", 1 << 17); }},
    {"general.alignment is not a uint32",
     [](GgufBuilder& b) { b.Uint64("general.alignment", 32); }},
    {"tensor name has a length of 65, beyond 1 to 64",
     [](GgufBuilder& b) { b.RawTensor(Long(65), {1}, 0, 64); }},
    {"tensor name has a length of 0", [](GgufBuilder& b) { b.RawTensor("", {1}, 0, 64); }},
    {"dimension count of tensor t is 0, beyond 1 to 4",
     [](GgufBuilder& b) { b.RawTensor("t", {}, 0, 64); }},
    {"dimension count of tensor t is 5, beyond 1 to 4",
     [](GgufBuilder& b) { b.RawTensor("t", {1, 1, 1, 1, 1}, 0, 64); }},
    {"a dimension of tensor t is 0,", [](GgufBuilder& b) { b.RawTensor("t", {4, 0}, 0, 64); }},
    {"a dimension of tensor t is 9223372036854775808,",
     [](GgufBuilder& b) { b.RawTensor("t", {1ull << 63}, 0, 64); }},
    {"tensor t's size exceeds 64 bits",
     [](GgufBuilder& b) { b.RawTensor("t", {1ull << 62}, 0, 64); }},
    {"tensor t's size exceeds 64 bits",
     [](GgufBuilder& b) { b.RawTensor("t", {1ull << 32, 1ull << 32}, 0, 64); }},
    // 2^64 elements, which is 0 if one multiplies without care.
    {"tensor t's size exceeds 64 bits",
     [](GgufBuilder& b) {
       b.RawTensor("t", {1ull << 16, 1ull << 16, 1ull << 16, 1ull << 16}, 0, 64);
     }},
    {"tensor t has type number 4; this build reads F32, F16, BF16, Q4_0,",
     [](GgufBuilder& b) { b.RawTensor("t", {32}, 4, 64); }, absl::StatusCode::kUnimplemented},
    {"tensor t has type MXFP4 (ggml type 39);",
     [](GgufBuilder& b) { b.RawTensor("t", {32}, 39, 64); }, absl::StatusCode::kUnimplemented},
    {"tensor t's size exceeds 64 bits",
     [](GgufBuilder& b) { b.RawTensor("t", {1ull << 62, 1ull << 62, 1ull << 62}, 14, 64); }},
    {"not a multiple of 32 as IQ4_NL needs",
     [](GgufBuilder& b) { b.RawTensor("t", {16, 2}, 20, 64); }},
    {"rows of 33 elements, not a multiple of 32 as Q4_1 needs",
     [](GgufBuilder& b) { b.RawTensor("t", {33, 32}, 3, 64); }},
    {"not a multiple of 256 as Q6_K needs",
     [](GgufBuilder& b) { b.RawTensor("t", {128, 2}, 14, 64); }},
    {"the offset of tensor t is 33, not a multiple of the alignment 32",
     [](GgufBuilder& b) { b.RawTensor("t", {1}, 0, 33); }},
    // The good file's data has 64 + 40 bytes.
    {"tensor t takes 4 bytes at offset 128 of the tensor data, which has 104",
     [](GgufBuilder& b) { b.RawTensor("t", {1}, 0, 128); }},
    {"tensor t takes 44 bytes at offset 64", [](GgufBuilder& b) { b.RawTensor("t", {11}, 0, 64); }},
    {"tensor t takes 4 bytes at offset 18446744073709551584",
     [](GgufBuilder& b) { b.RawTensor("t", {1}, 0, ~0ull - 31); }},
    // Its end is beyond 2^64.
    {"tensor t takes 18446744073709551612 bytes at offset 64",
     [](GgufBuilder& b) { b.RawTensor("t", {(1ull << 62) - 1}, 0, 64); }},
    {"tensors second and t overlap at offset 96",
     [](GgufBuilder& b) { b.RawTensor("t", {1}, 0, 96); }},
    {"overlap at offset 0", [](GgufBuilder& b) { b.RawTensor("t", {8}, 0, 0); }},
    {"tensor first is there twice", [](GgufBuilder& b) { b.RawTensor("first", {1}, 0, 32); }},
};

GgufBuilder GoodFile() {
  GgufBuilder builder;
  builder.Uint32("one", 1).String("two", "text").Strings("three", {"a", "b"});
  builder.Tensor("first", TensorType::kF32, {4}).Tensor("padding", TensorType::kF32, {1});
  builder.Tensor("second", TensorType::kQ4_1, {64});
  return builder;
}

TEST(GgufTest, RefusesEachBadFieldByItself) {
  ASSERT_TRUE(Parsed(GoodFile()).file.ok());
  for (const BadFile& bad : kBadFiles) {
    GgufBuilder builder = GoodFile();
    bad.spoil(builder);

    const absl::Status status = Parsed(builder).file.status();

    EXPECT_EQ(status.code(), bad.code) << bad.message << ": " << status;
    EXPECT_THAT(Text(status.message()), HasSubstr(bad.message));
    EXPECT_THAT(Text(status.message()), HasSubstr("GGUF"));
  }
}

TEST(GgufTest, RefusesEveryTruncation) {
  const std::vector<std::byte> bytes = GoodFile().Build();
  for (size_t size = 0; size < bytes.size(); ++size) {
    // A copy of its own, so that AddressSanitizer sees a byte too many.
    const std::vector<std::byte> shorter(bytes.begin(),
                                         bytes.begin() + static_cast<ptrdiff_t>(size));

    EXPECT_EQ(GgufFile::Parse(shorter).status().code(), absl::StatusCode::kInvalidArgument) << size;
  }
}

TEST(GgufTest, TheHeaderHasALimit) {
  // Five strings of 60 MiB in a sparse file: nothing but their lengths is written.
  constexpr uint64_t kTextBytes = 60 << 20;
  const std::string path = testing::TempDir() + "gguf_test_sparse";
  std::ofstream out(path, std::ios::binary);
  const auto put = [&out](auto value) {
    out.write(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  put(uint32_t{0x46554747});
  put(uint32_t{3});
  put(uint64_t{0});
  put(uint64_t{5});
  for (const char key : {'a', 'b', 'c', 'd', 'e'}) {
    put(uint64_t{1});
    put(key);
    put(uint32_t{8});
    put(kTextBytes);
    out.seekp(kTextBytes, std::ios::cur);
  }
  put(uint64_t{0});
  out.close();

  const absl::Status status = GgufFile::Open(path).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Text(status.message()), HasSubstr("beyond the limit of 268435456 bytes"));
  std::remove(path.c_str());
}

TEST(GgufTest, TensorsMayTouchButNotOverlap) {
  const auto status = [](uint64_t first_elements) {
    GgufBuilder builder;
    builder.RawTensor("first", {first_elements}, /*type=*/1, /*offset=*/32);
    builder.Tensor("zeroth", TensorType::kF32, {8}).data_excess = 96;
    builder.RawTensor("second", {8}, /*type=*/0, /*offset=*/64);
    return Parsed(builder).file.status();
  };
  EXPECT_TRUE(status(16).ok()) << status(16);
  EXPECT_THAT(Text(status(17).message()), HasSubstr("first and second overlap at offset 64"));
}

TEST(GgufTest, AFileWithoutTensorsNeedsNoPadding) {
  const Parsed file(GgufBuilder().Uint8("a", 1));
  ASSERT_TRUE(file.file.ok()) << file.file.status();
  EXPECT_THAT(file->tensors(), IsEmpty());
}

TEST(GgufTest, HeaderHashSeesMetadataAndSomeOfEachTensor) {
  const auto hash = [](std::string_view data, uint8_t value) {
    const Parsed file(GgufBuilder().Uint8("a", value).Tensor("t", TensorType::kF32, {1}, data));
    return file->HeaderHash();
  };
  EXPECT_EQ(hash("aaaa", 1), hash("aaaa", 1));
  EXPECT_NE(hash("aaaa", 1), hash("aaab", 1));
  EXPECT_NE(hash("aaaa", 1), hash("aaaa", 2));
}

TEST(GgufTest, ReadsVersion2) {
  GgufBuilder builder = GoodFile();
  builder.version = 2;
  const Parsed file(builder);

  ASSERT_TRUE(file.file.ok()) << file.file.status();
  EXPECT_EQ(*file->GetString("two"), "text");
  EXPECT_NE(file->FindTensor("second"), nullptr);
}

// A file that says it has a terabyte, and has it on a disk that stores no zeros, costs nothing to
// open.
TEST(GgufTest, HugeSparseTensorsAreNotRead) {
  const std::string path = testing::TempDir() + "gguf_test_terabyte";
  GgufBuilder builder;
  builder.RawTensor("huge", {1ull << 28, 1ull << 10}, /*type=*/0, /*offset=*/0);
  const std::vector<std::byte> header = builder.Build();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(header.data()),
            static_cast<std::streamsize>(header.size()));
  out.close();
  const absl::Status too_small = GgufFile::Open(path).status();
  std::error_code error;
  std::filesystem::resize_file(path, header.size() + (1ull << 40), error);
  if (error) GTEST_SKIP() << "no sparse files of a terabyte here: " << error.message();

  const auto file = GgufFile::Open(path);

  EXPECT_THAT(Text(too_small.message()), HasSubstr("tensor huge takes 1099511627776 bytes"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->FindTensor("huge")->data.size(), 1ull << 40);
  EXPECT_EQ((*file)->HeaderHash().size(), 64u);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace spillway
