#include "worker/model/mapped_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "worker/model/gguf.h"

namespace spillway {
namespace {

std::string Path(const std::string& name) { return testing::TempDir() + "mapped_file_" + name; }

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(MappedFileTest, ShowsTheBytes) {
  const std::string path = Path("text");
  Write(path, "abc");

  const auto file = MappedFile::Open(path);

  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->bytes().size(), 3u);
  EXPECT_EQ((*file)->bytes()[2], std::byte{'c'});
  // The mapping outlives the name.
  unlink(path.c_str());
  EXPECT_EQ((*file)->bytes()[0], std::byte{'a'});
}

TEST(MappedFileTest, AnEmptyFileHasNoBytes) {
  const std::string path = Path("empty");
  Write(path, "");

  EXPECT_TRUE((*MappedFile::Open(path))->bytes().empty());
  EXPECT_EQ(GgufFile::Open(path).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(MappedFileTest, SaysWhyItCannot) {
  EXPECT_EQ(MappedFile::Open(Path("missing")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MappedFile::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MappedFileTest, DoesNotWaitForAPipe) {
  const std::string path = Path("pipe");
  unlink(path.c_str());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);

  EXPECT_EQ(MappedFile::Open(path).status().code(), absl::StatusCode::kInvalidArgument);
  unlink(path.c_str());
}

TEST(MappedFileTest, GgufErrorsNameTheFile) {
  const std::string path = Path("not_gguf");
  Write(path, "not a model at all");

  const absl::Status status = GgufFile::Open(path).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find(path), std::string::npos) << status;
}

}  // namespace
}  // namespace spillway
