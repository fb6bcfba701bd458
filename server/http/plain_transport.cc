#include <sys/socket.h>

#include <cerrno>

#include "server/http/transport.h"

namespace spillway {
namespace {

IoResult ResultOf(ssize_t count, IoResult::Status blocked) {
  if (count > 0) return {IoResult::Status::kDone, static_cast<size_t>(count)};
  if (count == 0) return {IoResult::Status::kEnd};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {blocked};
  return {IoResult::Status::kFailed};
}

class PlainTransport : public Transport {
 public:
  explicit PlainTransport(int descriptor) : descriptor_(descriptor) {}

  IoResult Read(char* into, size_t bytes_max) override {
    return ResultOf(::recv(descriptor_, into, bytes_max, 0), IoResult::Status::kBlockedOnRead);
  }
  IoResult Write(std::string_view bytes) override {
    return ResultOf(::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
                    IoResult::Status::kBlockedOnWrite);
  }
  void ShutdownSend() override { ::shutdown(descriptor_, SHUT_WR); }
  bool established() const override { return true; }

 private:
  const int descriptor_;
};

}  // namespace

std::unique_ptr<Transport> MakePlainTransport(int descriptor) {
  return std::make_unique<PlainTransport>(descriptor);
}

}  // namespace spillway
