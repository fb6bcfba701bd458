#include "worker/model/model_files.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

namespace fs = std::filesystem;

std::string Testdata(const std::string& name) {
  return std::string(SPILLWAY_SOURCE_DIR) + "/tests/worker/model/testdata/" + name;
}
void Copy(const std::string& from, const std::string& to) {
  fs::create_directories(fs::path(to).parent_path());
  fs::copy_file(from, to);
}
std::string Refusal(const std::string& path, absl::StatusCode code) {
  const absl::Status status = OpenModelFiles(path).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith(path));
  return std::string(status.message());
}

TEST(ModelFilesTest, FolderOfADecoder) {
  const auto files = OpenModelFiles(Testdata("tiny/qwen3"));
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_NE(files->decoder, nullptr);
  EXPECT_EQ(files->encoder, nullptr);
  EXPECT_EQ(files->decoder->spec().architecture, "qwen3");
  EXPECT_NE(files->decoder->tensors().FindTensor("token_embd.weight"), nullptr);
  const absl::Status tokenizer = files->decoder->ReadTokenizer().status();
  EXPECT_EQ(tokenizer.message(), "the folder has no tokenizer.json");
}

TEST(ModelFilesTest, FolderOfAnEncoder) {
  const auto files = OpenModelFiles(Testdata("tiny_bert/mean"));
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_NE(files->encoder, nullptr);
  EXPECT_EQ(files->decoder, nullptr);
  EXPECT_EQ(files->encoder->spec().pooling, EncoderSpec::Pooling::kMean);
  EXPECT_NE(files->encoder->tensors().FindTensor("blk.1.ffn_up.bias"), nullptr);
}

TEST(ModelFilesTest, GgufFileByItselfOrAloneInAFolder) {
  const TempFolder temp;
  Copy(Testdata("tiny/llama/model.gguf"), temp.Path("m/x.gguf"));
  for (const char* path : {"m/x.gguf", "m", "m/"}) {
    const auto files = OpenModelFiles(temp.Path(path));
    ASSERT_TRUE(files.ok()) << files.status();
    EXPECT_EQ(files->decoder->spec().architecture, "llama");
  }
}

TEST(ModelFilesTest, SeveralGgufFilesAreNamed) {
  const TempFolder temp;
  temp.Write("a.gguf", "");
  temp.Write("b.gguf", "");
  EXPECT_THAT(Refusal(temp.path(), absl::StatusCode::kInvalidArgument),
              HasSubstr("several .gguf files: a.gguf, b.gguf"));
}

TEST(ModelFilesTest, PartsOfOneModelAreOne) {
  const TempFolder temp;
  temp.Write("m-00001-of-00002.gguf", "junk");
  temp.Write("m-00002-of-00002.gguf", "junk");
  // The first is opened, and what is wrong with it said.
  EXPECT_THAT(std::string(OpenModelFiles(temp.path()).status().message()),
              StartsWith(temp.Path("m-00001-of-00002.gguf")));
  temp.Write("m-00003-of-00002.gguf", "");
  EXPECT_THAT(Refusal(temp.path(), absl::StatusCode::kInvalidArgument), HasSubstr("several"));
}

TEST(ModelFilesTest, WhatIsNoModelIsNamed) {
  const TempFolder temp;
  EXPECT_THAT(Refusal(temp.path(), absl::StatusCode::kNotFound),
              HasSubstr("neither config.json nor a .gguf file"));
  Refusal(temp.Path("gone"), absl::StatusCode::kNotFound);
  temp.Write("x.gguf", "junk");
  Refusal(temp.Path("x.gguf"), absl::StatusCode::kInvalidArgument);
}

TEST(ModelFilesTest, ErrorsNameTheFileInTheFolder) {
  const TempFolder temp;
  temp.Write("config.json", R"({"model_type":"rwkv"})");
  EXPECT_THAT(Refusal(temp.path(), absl::StatusCode::kUnimplemented),
              HasSubstr(temp.path() + ": config.json: model_type is \"rwkv\""));
  fs::remove(temp.Path("config.json"));
  Copy(Testdata("tiny/llama/config.json"), temp.Path("config.json"));
  EXPECT_THAT(Refusal(temp.path(), absl::StatusCode::kNotFound), HasSubstr("model.safetensors"));
  temp.Write("model.safetensors", "short");
  EXPECT_THAT(Refusal(temp.path(), absl::StatusCode::kInvalidArgument),
              HasSubstr("model.safetensors: "));
}

TEST(ModelFilesTest, PathIsNamedOnce) {
  EXPECT_EQ(NamingModel(absl::NotFoundError("x"), "/m").message(), "/m: x");
  EXPECT_EQ(NamingModel(absl::NotFoundError("/m/f: x"), "/m").message(), "/m/f: x");
  EXPECT_TRUE(NamingModel(absl::OkStatus(), "/m").ok());
}

}  // namespace
}  // namespace spillway
