#include "server/cli/model_bytes.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

class ModelBytesTest : public ::testing::Test {
 protected:
  ModelBytesTest() : folder_(::testing::TempDir() + "model_bytes_test/") {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "inner");
  }
  ~ModelBytesTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, size_t bytes) {
    std::ofstream(folder_ + name) << std::string(bytes, 'x');
  }

  const std::string folder_;
};

TEST_F(ModelBytesTest, OneFileCountsAlone) {
  Write("a.gguf", 10);
  Write("b.gguf", 100);
  EXPECT_EQ(ModelBytes(folder_ + "a.gguf"), 10);
}

TEST_F(ModelBytesTest, AllPartsCountWhicheverIsNamed) {
  Write("a-00001-of-00002.gguf", 10);
  Write("a-00002-of-00002.gguf", 7);
  Write("a-00002-of-00003.gguf", 100);  // of another split
  Write("b-00002-of-00002.gguf", 100);  // of another model
  Write("a-0000x-of-00002.gguf", 100);  // no part
  Write("a-00001-of-00002.txt", 100);
  EXPECT_EQ(ModelBytes(folder_ + "a-00001-of-00002.gguf"), 17);
  EXPECT_EQ(ModelBytes(folder_ + "a-00002-of-00002.gguf"), 17);
}

TEST_F(ModelBytesTest, AFolderCountsWithItsOwnFiles) {
  Write("model-00001-of-00002.safetensors", 10);
  Write("config.json", 2);
  Write("inner/other.bin", 100);
  EXPECT_EQ(ModelBytes(folder_), 12);
}

TEST_F(ModelBytesTest, WhatIsntThereIsNothing) {
  EXPECT_EQ(ModelBytes(folder_ + "none.gguf"), 0);
  EXPECT_EQ(ModelBytes(folder_ + "none-00001-of-00002.gguf"), 0);
}

}  // namespace
}  // namespace spillway
