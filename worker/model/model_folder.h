#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace spillway {

// A folder that holds a model, and what may be read of it. Names of files come from the folder's
// own files (indices, modules.json) and are as untrusted as these: only what lies in the folder is
// read, through links only where Hugging Face's cache makes them, from snapshots/… to blobs/….
// Immutable.
class ModelFolder {
 public:
  // `path` may also be a repository's folder in Hugging Face's cache ("models--org--name"): the
  // snapshot that refs/main names is taken, or the only one.
  // NOT_FOUND, PERMISSION_DENIED…: as the file system says. INVALID_ARGUMENT: no folder, or several
  // snapshots to choose from, by name.
  static absl::StatusOr<ModelFolder> Open(const std::string& path);

  // Where the file `name` ("config.json", "1_Pooling/config.json") is. NOT_FOUND without it;
  // INVALID_ARGUMENT: the name or a link leads out of the folder.
  absl::StatusOr<std::string> PathOf(std::string_view name) const;
  // Whether PathOf() would not say NOT_FOUND.
  bool Has(std::string_view name) const;
  // A file's bytes. INVALID_ARGUMENT beyond `bytes_max`; else as PathOf() and the file system say.
  // Every message begins with `name`.
  absl::StatusOr<std::string> ReadText(std::string_view name, size_t bytes_max) const;
  // The names of the files that end in `suffix`, sorted: of the folder, or of one in it. At most
  // kFilesMax are looked at.
  std::vector<std::string> FilesEndingIn(std::string_view suffix,
                                         std::string_view inner_folder = {}) const;

  static constexpr size_t kFilesMax = 10'000;

 private:
  explicit ModelFolder(std::filesystem::path root);

  std::filesystem::path root_;   // no links in it
  std::filesystem::path blobs_;  // where links may lead; empty: nowhere
};

}  // namespace spillway
