#pragma once

namespace spillway {

// Opens /dev/null in the place of each of stdin, stdout and stderr that is closed. Else the next
// file or connection that is opened takes its number, and gets what is written to stderr. A
// program that calls this anywhere has it done before main.
void KeepStandardFilesOpen();

}  // namespace spillway
