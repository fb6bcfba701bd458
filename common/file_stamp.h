#pragma once

#include <cstdint>
#include <string>

namespace spillway {

// What tells two versions of a file apart, whether it was written anew or replaced.
struct FileStamp {
  uint64_t inode = 0;
  int64_t bytes = 0;
  int64_t modified_ns = 0;

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

// Of the file that `path` leads to; all zero when there is none.
FileStamp StampOf(const std::string& path);

}  // namespace spillway
