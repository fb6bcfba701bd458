#include "worker/model/model_folder.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/model/mapped_file.h"
#include "worker/model/printable_name.h"

namespace spillway {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNameBytesMax = 1024;
constexpr size_t kRevisionBytesMax = 256;
constexpr size_t kSnapshotsShown = 8;

// Relative, and stays where it begins.
bool IsPlainName(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || name.find('\0') != std::string_view::npos) {
    return false;
  }
  const fs::path path(name);
  if (path.is_absolute()) return false;
  return std::all_of(path.begin(), path.end(), [](const fs::path& part) {
    return !part.empty() && part != "." && part != "..";
  });
}

bool IsInside(const fs::path& path, const fs::path& folder) {
  if (folder.empty()) return false;
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first ==
         folder.end();
}

absl::Status ToStatus(const std::error_code& error, std::string_view name) {
  return absl::ErrnoToStatus(error.value(), std::string(name));
}

// A cache's repository holds snapshots/REVISION and refs/NAME, a file with a revision.
absl::StatusOr<fs::path> ChooseSnapshot(const fs::path& repository) {
  const fs::path snapshots = repository / "snapshots";
  if (auto main = MappedFile::Open((repository / "refs" / "main").string()); main.ok()) {
    const auto bytes = (*main)->bytes();
    std::string revision(reinterpret_cast<const char*>(bytes.data()),
                         std::min(bytes.size(), kRevisionBytesMax));
    absl::StripAsciiWhitespace(&revision);
    std::error_code ignored;
    if (IsPlainName(revision) && fs::is_directory(snapshots / revision, ignored)) {
      return snapshots / revision;
    }
  }
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator at(snapshots, error), end;
       at != end && found.size() < kSnapshotsShown; at.increment(error)) {
    found.push_back(at->path().filename().string());
  }
  if (error) return ToStatus(error, snapshots.string());
  if (found.size() == 1) return snapshots / found.front();
  std::sort(found.begin(), found.end());
  return absl::InvalidArgumentError(absl::StrCat(
      repository.string(), " is a repository with ",
      found.empty() ? "no snapshot" : "several snapshots: ", absl::StrJoin(found, ", "),
      found.empty() ? "" : "; name one of them by snapshots/REVISION"));
}

}  // namespace

ModelFolder::ModelFolder(fs::path root) : root_(std::move(root)) {
  if (root_.parent_path().filename() == "snapshots") {
    blobs_ = root_.parent_path().parent_path() / "blobs";
  }
}

absl::StatusOr<ModelFolder> ModelFolder::Open(const std::string& path) {
  std::error_code error;
  fs::path root = fs::canonical(path, error);
  if (error) return ToStatus(error, path);
  if (!fs::is_directory(root, error)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a folder"));
  }
  if (!fs::exists(root / "config.json", error) && fs::is_directory(root / "snapshots", error)) {
    ASSIGN_OR_RETURN(const fs::path snapshot, ChooseSnapshot(root));
    root = fs::canonical(snapshot, error);
    if (error) return ToStatus(error, snapshot.string());
  }
  return ModelFolder(std::move(root));
}

absl::StatusOr<std::string> ModelFolder::PathOf(std::string_view name) const {
  if (!IsPlainName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", PrintableName(name), "\" does not name a file of the folder"));
  }
  std::error_code error;
  const fs::path path = fs::canonical(root_ / name, error);
  if (error) return ToStatus(error, name);
  if (!IsInside(path, root_) && !IsInside(path, blobs_)) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(name), " is a link out of the folder, to ", path.string(),
                     "; only the links of Hugging Face's cache are followed"));
  }
  return path.string();
}

bool ModelFolder::Has(std::string_view name) const {
  return !absl::IsNotFound(PathOf(name).status());
}

absl::StatusOr<std::string> ModelFolder::ReadText(std::string_view name, size_t bytes_max) const {
  ASSIGN_OR_RETURN(const std::string path, PathOf(name));
  const absl::StatusOr<std::unique_ptr<MappedFile>> file = MappedFile::Open(path);
  if (!file.ok()) {
    return absl::Status(file.status().code(),
                        absl::StrCat(std::string(name), ": ", file.status().message()));
  }
  const auto bytes = (*file)->bytes();
  if (bytes.size() > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(name), " has ", bytes.size(),
                                                   " bytes, beyond the limit of ", bytes_max));
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::vector<std::string> ModelFolder::FilesEndingIn(std::string_view suffix,
                                                    std::string_view inner_folder) const {
  std::vector<std::string> names;
  std::error_code error;
  size_t seen = 0;
  for (fs::directory_iterator at(root_ / inner_folder, error), end; at != end && seen < kFilesMax;
       at.increment(error), ++seen) {
    std::string name = at->path().filename().string();
    if (name.ends_with(suffix)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace spillway
