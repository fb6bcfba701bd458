#include "common/standard_files.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace spillway {
namespace {

// Libraries open files before main (gRPC an eventfd), so this runs before their initialisers: from
// .preinit_array, which only a program has, and so early that it may call no function that a
// sanitizer watches.
__attribute__((no_sanitize("address", "thread", "undefined"))) void OpenMissing(int, char**,
                                                                                char**) {
  // open() takes the lowest free number, so each lands where it is missing.
  for (int file = STDIN_FILENO; file <= STDERR_FILENO; ++file) {
    if (::syscall(SYS_fcntl, file, F_GETFD) == -1) {
      ::syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
    }
  }
}

__attribute__((section(".preinit_array"), used)) void (*const kOpenMissing)(int, char**,
                                                                            char**) = OpenMissing;

}  // namespace

void KeepStandardFilesOpen() {}

}  // namespace spillway
