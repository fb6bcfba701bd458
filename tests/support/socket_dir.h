#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/check.h"

namespace spillway {

// An empty folder for unix sockets, gone with this object. Under /tmp, since a socket's path may
// have 107 bytes only.
class SocketDir {
 public:
  SocketDir() {
    char path[] = "/tmp/spillway.XXXXXX";
    CHECK(mkdtemp(path) != nullptr);
    path_ = path;
  }
  ~SocketDir() { std::filesystem::remove_all(path_); }
  SocketDir(const SocketDir&) = delete;
  SocketDir& operator=(const SocketDir&) = delete;

  std::string Path(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace spillway
