#include "server/cli/model_bytes.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string_view>

namespace spillway {
namespace {

int64_t FileBytes(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? int64_t{0} : static_cast<int64_t>(size);
}

// "NAME-" and "-of-00003.gguf" for "NAME-00002-of-00003.gguf".
struct PartName {
  std::string_view begin;
  std::string_view end;
};

bool AllDigits(std::string_view text) {
  return std::ranges::all_of(text,
                             [](char c) { return std::isdigit(static_cast<unsigned char>(c)); });
}

bool ReadPartName(std::string_view name, PartName& part) {
  constexpr size_t kDigits = 5;
  constexpr std::string_view kOf = "-of-";
  constexpr std::string_view kSuffix = ".gguf";
  constexpr size_t kEndSize = kOf.size() + kDigits + kSuffix.size();
  if (name.size() < 1 + kDigits + kEndSize) return false;
  part = {.begin = name.substr(0, name.size() - kEndSize - kDigits),
          .end = name.substr(name.size() - kEndSize)};
  return part.begin.ends_with('-') && part.end.starts_with(kOf) && part.end.ends_with(kSuffix) &&
         AllDigits(name.substr(part.begin.size(), kDigits)) &&
         AllDigits(part.end.substr(kOf.size(), kDigits));
}

}  // namespace

int64_t ModelBytes(const std::string& path) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  const std::filesystem::path file(path);
  const std::string name = file.filename().string();
  PartName part;
  if (!folder && !ReadPartName(name, part)) return FileBytes(file);

  std::filesystem::path parent = folder ? file : file.parent_path();
  if (parent.empty()) parent = ".";
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
    const std::string other_name = entry.path().filename().string();
    PartName other;
    const bool belongs = folder || (ReadPartName(other_name, other) && other.begin == part.begin &&
                                    other.end == part.end);
    if (belongs && entry.is_regular_file(error)) bytes += FileBytes(entry.path());
  }
  return bytes;
}

}  // namespace spillway
