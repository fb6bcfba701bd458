#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "server/http/tls_credentials.h"

namespace spillway {

struct IoResult {
  enum class Status {
    kDone,            // `bytes` of them, at least one
    kBlockedOnRead,   // again when the socket is readable
    kBlockedOnWrite,  // again when it is writable
    kEnd,             // of a Read(): the peer has closed its side in good order
    kFailed,          // the connection is broken
  };
  Status status = Status::kFailed;
  size_t bytes = 0;
};

// How bytes go over a connected, non-blocking socket: as they are, or encrypted. A read may be
// blocked on a write and the other way round.
//
// Doesn't own the socket, which must outlive it. Not thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual IoResult Read(char* into, size_t bytes_max) = 0;
  // Sends some of the front of `bytes`. After kBlocked… the same bytes, maybe more behind them,
  // must be given again.
  virtual IoResult Write(std::string_view bytes) = 0;
  // Tells the peer that nothing more will come. What was written still arrives.
  virtual void ShutdownSend() = 0;
  // Whether both sides have agreed on how to talk.
  virtual bool established() const = 0;
  // After kFailed, for people; empty: nothing is known but that it broke.
  virtual std::string why_failed() const { return ""; }
};

std::unique_ptr<Transport> MakePlainTransport(int descriptor);

// The server's side of TLS. The process must ignore SIGPIPE: OpenSSL writes with write().
std::unique_ptr<Transport> MakeTlsTransport(int descriptor, TlsCredentials::Context context);

}  // namespace spillway
