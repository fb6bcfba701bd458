#include "common/file_stamp.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/socket_dir.h"

namespace spillway {
namespace {

TEST(FileStampTest, TellsVersionsApart) {
  const SocketDir folder;
  const std::string path = folder.Path("file");
  EXPECT_EQ(StampOf(path), FileStamp());
  std::ofstream(path) << "one";
  const FileStamp one = StampOf(path);
  EXPECT_EQ(StampOf(path), one);
  EXPECT_NE(one, FileStamp());
  std::ofstream(path) << "longer";
  EXPECT_NE(StampOf(path), one);
}

TEST(FileStampTest, FollowsLinksAsKubernetesSwapsThem) {
  const SocketDir folder;
  const std::string link = folder.Path("link");
  std::ofstream(folder.Path("a")) << "text";
  std::ofstream(folder.Path("b")) << "text";
  std::filesystem::create_symlink(folder.Path("a"), link);
  const FileStamp before = StampOf(link);
  std::filesystem::remove(link);
  std::filesystem::create_symlink(folder.Path("b"), link);
  EXPECT_NE(StampOf(link), before);
}

}  // namespace
}  // namespace spillway
