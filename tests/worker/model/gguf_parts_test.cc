// worker/model/gguf_parts.h: models in several GGUF files, whole and with one thing wrong.

#include "worker/model/gguf_parts.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/gguf_builder.h"
#include "worker/model/gguf.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// A model of three parts with one tensor each, in a folder of its own.
class GgufPartsTest : public ::testing::Test {
 protected:
  GgufPartsTest() {
    std::filesystem::create_directories(folder_);
    parts_.resize(3);
    for (uint16_t i = 0; i < 3; ++i) {
      parts_[i].Uint16("split.no", i).Uint16("split.count", 3).Int32("split.tensors.count", 3);
      parts_[i].Tensor(std::string(1, static_cast<char>('a' + i)), TensorType::kF32, {1}, "data");
    }
    parts_[0].String("general.architecture", "llama");
  }
  ~GgufPartsTest() override { std::filesystem::remove_all(folder_); }

  std::string PathOf(size_t index) const {
    return folder_ + "/model-0000" + std::to_string(index + 1) + "-of-00003.gguf";
  }
  void Write(const std::string& path, const GgufBuilder& builder) const {
    const std::vector<std::byte> bytes = builder.Build();
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  void WriteAll() const {
    for (size_t i = 0; i < parts_.size(); ++i) Write(PathOf(i), parts_[i]);
  }
  // A part like the third one of the model, its numbers apart.
  static GgufBuilder Third(uint16_t index, uint16_t count, int32_t tensors,
                           std::string_view tensor = "c") {
    GgufBuilder part;
    part.Uint16("split.no", index).Uint16("split.count", count);
    part.Int32("split.tensors.count", tensors).Tensor(tensor, TensorType::kF32, {1});
    return part;
  }
  std::string Error() const { return std::string(GgufFile::Open(PathOf(0)).status().message()); }

  const std::string folder_ = testing::TempDir() + "gguf_parts_test";
  std::vector<GgufBuilder> parts_;
};

TEST_F(GgufPartsTest, AllPartsAreOneFile) {
  WriteAll();

  const auto file = GgufFile::Open(PathOf(0));

  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*(*file)->GetString("general.architecture"), "llama");
  EXPECT_EQ((*file)->tensors().size(), 3u);
  for (const char* name : {"a", "b", "c"}) {
    const ModelTensor* const tensor = (*file)->FindTensor(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->data[3], std::byte{'a'});
  }
}

TEST_F(GgufPartsTest, HashSeesEveryPart) {
  WriteAll();
  const std::string before = (*GgufFile::Open(PathOf(0)))->HeaderHash();
  Write(PathOf(2), parts_[2].Uint8("more", 1));

  EXPECT_NE((*GgufFile::Open(PathOf(0)))->HeaderHash(), before);
}

TEST_F(GgufPartsTest, OnePartOfOneIsAnyFile) {
  const std::string path = folder_ + "/any.gguf";
  Write(path, GgufBuilder().Uint16("split.count", 1).Tensor("a", TensorType::kF32, {1}));

  EXPECT_TRUE(GgufFile::Open(path).ok());
}

TEST_F(GgufPartsTest, NamesTheFirstPartWhereAnotherIsGiven) {
  WriteAll();
  const absl::Status status = GgufFile::Open(PathOf(1)).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("is part 2 of 3; give the first, " + PathOf(0)));
}

TEST_F(GgufPartsTest, NamesAPartThatIsMissing) {
  WriteAll();
  std::filesystem::remove(PathOf(1));
  const absl::Status status = GgufFile::Open(PathOf(0)).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(PathOf(1)));
}

TEST_F(GgufPartsTest, RefusesANameWithoutANumber) {
  const std::string path = folder_ + "/renamed.gguf";
  Write(path, parts_[0]);

  EXPECT_THAT(std::string(GgufFile::Open(path).status().message()),
              HasSubstr("renamed.gguf: GGUF: the file is part 1 of 3, but its name doesn't end in "
                        "-00001-of-00003.gguf"));
}

TEST_F(GgufPartsTest, RefusesPartsThatDontFitTogether) {
  const struct {
    const char* message;
    GgufBuilder third;
  } cases[] = {
      {"says that it is part 2 of 3 with 3 tensors in all, its name and the first part say 3 of 3 "
       "with 3",
       Third(1, 3, 3)},
      {"says that it is part 3 of 4", Third(2, 4, 3)},
      {"says that it is part 3 of 3 with 4 tensors in all", Third(2, 3, 4)},
      {"says that it is part 1 of 1", GgufBuilder().Tensor("c", TensorType::kF32, {1})},
      {"two parts have a tensor b", Third(2, 3, 3, "b")},
      {"the parts have 4 tensors together, split.tensors.count says 3",
       Third(2, 3, 3).Tensor("d", TensorType::kF32, {1})},
      {"split.no is 3, beyond 0 to 2", Third(3, 3, 3)},
      {"the file is a part of a model and has no split.no", GgufBuilder().Uint16("split.count", 3)},
      {"not a GGUF file",
       [] {
         GgufBuilder bad;
         bad.magic = 0;
         return bad;
       }()},
  };
  WriteAll();
  for (const auto& [message, third] : cases) {
    Write(PathOf(2), third);
    EXPECT_THAT(Error(), HasSubstr(message));
    EXPECT_THAT(Error(), HasSubstr("model-0000"));
  }
}

TEST_F(GgufPartsTest, RefusesNumbersBeyondTheLimits) {
  const struct {
    const char* message;
    std::function<void(GgufBuilder&)> add;
  } cases[] = {
      {"split.count is 1025, beyond 0 to 1024",
       [](GgufBuilder& b) { b.Uint16("split.count", 1025); }},
      {"split.count is -1, beyond", [](GgufBuilder& b) { b.Int32("split.count", -1); }},
      {"split.count is 18446744073709551615, beyond",
       [](GgufBuilder& b) { b.Uint64("split.count", ~0ull); }},
      {"split.count is a string, not an integer",
       [](GgufBuilder& b) { b.String("split.count", "3"); }},
      {"split.tensors.count is -3, beyond 0 to 65536",
       [](GgufBuilder& b) {
         b.Uint16("split.count", 3).Uint16("split.no", 0).Int32("split.tensors.count", -3);
       }},
  };
  for (const auto& [message, add] : cases) {
    GgufBuilder first;
    add(first);
    Write(PathOf(0), first);
    EXPECT_THAT(Error(), HasSubstr(message));
  }
}

}  // namespace
}  // namespace spillway
