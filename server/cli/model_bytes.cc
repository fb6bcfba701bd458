#include "server/cli/model_bytes.h"

#include <filesystem>
#include <optional>
#include <string_view>

#include "common/model_name.h"

namespace spillway {
namespace {

int64_t FileBytes(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? int64_t{0} : static_cast<int64_t>(size);
}

// What the parts of one model have in common: "NAME" and "-of-00003" of "NAME-00002-of-00003.gguf".
struct Parts {
  std::string_view name;
  std::string_view count;

  bool operator==(const Parts&) const = default;
};

std::optional<Parts> PartsOf(std::string_view file_name) {
  constexpr std::string_view kSuffix = ".gguf";
  constexpr size_t kIndexBytes = 6;  // "-00002"
  if (!file_name.ends_with(kSuffix)) return std::nullopt;
  file_name.remove_suffix(kSuffix.size());
  const std::string_view number = PartNumberOf(file_name);
  if (number.empty()) return std::nullopt;
  file_name.remove_suffix(number.size());
  return Parts{.name = file_name, .count = number.substr(kIndexBytes)};
}

}  // namespace

int64_t ModelBytes(const std::string& path) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  const std::filesystem::path file(path);
  const std::string name = file.filename().string();
  const std::optional<Parts> parts = folder ? std::nullopt : PartsOf(name);
  if (!folder && !parts.has_value()) return FileBytes(file);

  std::filesystem::path parent = folder ? file : file.parent_path();
  if (parent.empty()) parent = ".";
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
    const std::string other_name = entry.path().filename().string();
    const bool belongs = folder || PartsOf(other_name) == parts;
    if (belongs && entry.is_regular_file(error)) bytes += FileBytes(entry.path());
  }
  return bytes;
}

}  // namespace spillway
