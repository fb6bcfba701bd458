#include "worker/connection_acceptor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <string>
#include <utility>

#include "common/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/socket_dir.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// Connects `client` to 127.0.0.1 and the port at the end of `address`.
bool Connect(int client, const std::string& address) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  to.sin_port = ::htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  return ::connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// As a process does that is killed.
void LeaveSocketAt(const std::string& path) {
  const sockaddr_un at = AddressOf(path);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
  ::close(listener);
}

// Closes what it takes, and tells of the first.
ConnectionAcceptor::Take TellFirst(std::promise<void>& taken) {
  return [&taken, told = false](int connection) mutable {
    ::close(connection);
    if (!std::exchange(told, true)) taken.set_value();
  };
}

TEST(ConnectionAcceptorTest, TakesConnectionsAtAFreePort) {
  const auto acceptor = ConnectionAcceptor::Listen("127.0.0.1:0").value();
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_TRUE(Connect(client, acceptor->address())) << "before Start()";
  std::promise<void> taken;
  acceptor->Start(TellFirst(taken));
  taken.get_future().wait();
  ::close(client);
}

TEST(ConnectionAcceptorTest, TakesConnectionsAtAPathAndRemovesIt) {
  const SocketDir folder;
  const std::string path = folder.Path("socket");
  std::promise<void> taken;
  {
    LeaveSocketAt(path);
    const auto acceptor = ConnectionAcceptor::Listen("unix:" + path).value();
    acceptor->Start(TellFirst(taken));
    struct stat info = {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0077, 0u) << "for this user alone";
    const sockaddr_un to = AddressOf(path);
    const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
    taken.get_future().wait();
    ::close(client);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ConnectionAcceptorTest, SaysWhyItCantListen) {
  const auto first = ConnectionAcceptor::Listen("127.0.0.1:0").value();
  const auto why = [](const std::string& address) {
    const absl::Status status = ConnectionAcceptor::Listen(address).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    return std::string(status.message());
  };
  EXPECT_THAT(why(first->address()),
              HasSubstr("can't listen on " + first->address() + ": Address already in use"));
  EXPECT_THAT(why("nonsense"), HasSubstr("neither unix:PATH nor HOST:PORT"));
  EXPECT_THAT(why("unix:" + std::string(200, 'x')), HasSubstr("the path has 200 bytes"));
  EXPECT_THAT(why("unix:/gone/socket"), HasSubstr("No such file"));
}

TEST(ConnectionAcceptorTest, OutOfFilesItTakesTheConnectionLater) {
  const auto acceptor = ConnectionAcceptor::Listen("127.0.0.1:0").value();
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  // UBSan opens a pipe to look at an object the first time, which is no longer possible below.
  LogWarning("a warning, before there is another one");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  std::promise<void> taken;
  std::future<void> at_last = taken.get_future();
  acceptor->Start(TellFirst(taken));
  ASSERT_TRUE(Connect(client, acceptor->address())) << "the kernel has it";
  EXPECT_EQ(at_last.wait_for(std::chrono::milliseconds(150)), std::future_status::timeout);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  at_last.wait();
  ::close(client);
}

}  // namespace
}  // namespace spillway
