#include "worker/model/model_folder.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ModelFolderTest, ReadsWhatLiesInIt) {
  const TempFolder temp;
  temp.Write("config.json", "{}");
  temp.Write("1_Pooling/config.json", "[]");
  temp.Write("b.gguf", "");
  temp.Write("a.gguf", "");
  const auto folder = ModelFolder::Open(temp.path() + "/");
  ASSERT_TRUE(folder.ok()) << folder.status();

  EXPECT_TRUE(folder->Has("config.json"));
  EXPECT_FALSE(folder->Has("tokenizer.json"));
  EXPECT_EQ(*folder->ReadText("config.json", 2), "{}");
  EXPECT_EQ(*folder->ReadText("1_Pooling/config.json", 100), "[]");
  EXPECT_EQ(*folder->PathOf("a.gguf"), temp.Path("a.gguf"));
  EXPECT_THAT(folder->FilesEndingIn(".gguf"), ElementsAre("a.gguf", "b.gguf"));
}

TEST(ModelFolderTest, ErrorsNameTheFile) {
  const TempFolder temp;
  temp.Write("config.json", "{  }");
  temp.Write("inner/x", "");
  const auto folder = ModelFolder::Open(temp.path());

  const absl::Status missing = folder->ReadText("tokenizer.json", 9).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("tokenizer.json"));
  EXPECT_THAT(std::string(folder->ReadText("config.json", 3).status().message()),
              HasSubstr("config.json has 4 bytes, beyond the limit of 3"));
  EXPECT_EQ(folder->ReadText("inner", 9).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ModelFolder::Open(temp.Path("gone")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ModelFolder::Open(temp.Path("config.json")).status().message()),
              HasSubstr("is not a folder"));
}

TEST(ModelFolderTest, NamesStayInside) {
  const TempFolder temp;
  temp.Write("outside", "secret");
  temp.Write("model/config.json", "{}");
  const auto folder = ModelFolder::Open(temp.Path("model"));
  for (const std::string name : {"../outside", "a/../../outside", "/etc/passwd", "", ".", "..",
                                 "config.json/..", "./config.json", "1_Pooling/"}) {
    EXPECT_EQ(folder->ReadText(name, 99).status().code(), absl::StatusCode::kInvalidArgument)
        << name;
  }
  EXPECT_FALSE(folder->ReadText(std::string("config.json\0x", 13), 99).ok());
  EXPECT_FALSE(folder->ReadText(std::string(5000, 'a'), 99).ok());
}

TEST(ModelFolderTest, LinksOutOfItAreNotFollowed) {
  const TempFolder temp;
  temp.Write("outside", "secret");
  temp.Write("modelled/config.json", "{}");  // whose name begins like the folder's
  temp.Write("model/config.json", "{}");
  temp.Link("model/inner.json", "config.json");
  temp.Link("model/tokenizer.json", "../outside");
  temp.Link("model/other.json", "../modelled/config.json");
  temp.Link("model/sub", "..");
  temp.Link("by_link", "model");

  const auto folder = ModelFolder::Open(temp.Path("by_link"));

  EXPECT_EQ(*folder->ReadText("inner.json", 99), "{}");
  for (const char* name : {"tokenizer.json", "other.json", "sub/outside"}) {
    const absl::Status status = folder->ReadText(name, 99).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr("a link out of the folder"));
  }
}

// As huggingface_hub lays its cache out.
void WriteCache(const TempFolder& temp) {
  temp.Write("models--org--name/blobs/abc", "{}");
  temp.Link("models--org--name/snapshots/r1/config.json", "../../blobs/abc");
  temp.Write("models--org--name/refs/main", "r1\n");
}

TEST(ModelFolderTest, CacheLinksToItsBlobs) {
  const TempFolder temp;
  WriteCache(temp);
  temp.Write("outside", "secret");
  temp.Link("models--org--name/snapshots/r1/tokenizer.json", "../../refs/main");
  temp.Link("models--org--name/snapshots/r1/other.json", "../../../outside");

  for (const char* path : {"models--org--name", "models--org--name/snapshots/r1"}) {
    const auto folder = ModelFolder::Open(temp.Path(path));
    ASSERT_TRUE(folder.ok()) << folder.status();
    EXPECT_EQ(*folder->ReadText("config.json", 99), "{}");
    EXPECT_FALSE(folder->ReadText("tokenizer.json", 99).ok());
    EXPECT_FALSE(folder->ReadText("other.json", 99).ok());
  }
}

TEST(ModelFolderTest, CacheWithoutMainTakesTheOnlySnapshot) {
  const TempFolder temp;
  WriteCache(temp);
  temp.Write("models--org--name/refs/main", "gone");
  EXPECT_TRUE(ModelFolder::Open(temp.Path("models--org--name"))->Has("config.json"));

  temp.Write("models--org--name/refs/main", "../../..");
  EXPECT_TRUE(ModelFolder::Open(temp.Path("models--org--name"))->Has("config.json"));

  temp.Link("models--org--name/snapshots/r2/config.json", "../../blobs/abc");
  const absl::Status status = ModelFolder::Open(temp.Path("models--org--name")).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("several snapshots: r1, r2"));
}

}  // namespace
}  // namespace spillway
