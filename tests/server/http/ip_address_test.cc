#include "server/http/ip_address.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

std::vector<IpNetwork> Networks(const std::vector<std::string>& texts) {
  std::vector<IpNetwork> networks;
  for (const std::string& text : texts) networks.push_back(IpNetwork::Parse(text).value());
  return networks;
}

TEST(IpAddressTest, AddressesWithAndWithoutPorts) {
  for (const char* text : {"1.2.3.4", "1.2.3.4:80", "::ffff:1.2.3.4"}) {
    ASSERT_TRUE(ParseIpAddress(text).has_value()) << text;
    EXPECT_EQ(ParseIpAddress(text)->ToString(), "1.2.3.4") << text;
  }
  for (const char* text : {"2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80"}) {
    ASSERT_TRUE(ParseIpAddress(text).has_value()) << text;
    EXPECT_EQ(ParseIpAddress(text)->ToString(), "2001:db8::1") << text;
  }
  for (const char* text : {"", "unknown", "1.2.3", "1.2.3.4.5", "_hidden", "[::1", "1.2.3.256"}) {
    EXPECT_FALSE(ParseIpAddress(text).has_value()) << text;
  }
}

TEST(IpAddressTest, Networks) {
  const auto contains = [](const char* network, const char* address) {
    return IpNetwork::Parse(network)->Contains(*ParseIpAddress(address));
  };
  EXPECT_TRUE(contains("10.0.0.0/8", "10.255.1.2"));
  EXPECT_FALSE(contains("10.0.0.0/8", "11.0.0.0"));
  EXPECT_TRUE(contains("10.0.0.8/29", "10.0.0.15"));
  EXPECT_FALSE(contains("10.0.0.8/29", "10.0.0.16"));
  EXPECT_TRUE(contains("127.0.0.1", "127.0.0.1"));
  EXPECT_FALSE(contains("127.0.0.1", "127.0.0.2"));
  EXPECT_TRUE(contains("0.0.0.0/0", "1.2.3.4"));
  EXPECT_FALSE(contains("0.0.0.0/0", "::1"));
  EXPECT_TRUE(contains("fd00::/8", "fdab::1"));
  EXPECT_TRUE(contains("::/0", "1.2.3.4"));
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/-1",
                          "fd00::/129", "fd00::1/8", "host/8", "10.0.0.0:80"}) {
    EXPECT_EQ(IpNetwork::Parse(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(IpAddressTest, NeighboursOfVersion6AreOneClient) {
  const auto network = [](const char* text) {
    return ClientNetwork(*ParseIpAddress(text)).ToString();
  };
  EXPECT_EQ(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
  EXPECT_EQ(network("1.2.3.4"), "1.2.3.4");
}

TEST(IpAddressTest, ClientIsTheFirstFromTheRightThatIsNotTrusted) {
  const std::vector<IpNetwork> trusted = Networks({"127.0.0.1", "10.0.0.0/8"});
  const auto client = [&](const char* peer, std::vector<std::string_view> forwarded_for) {
    return ClientAddress(peer, forwarded_for, trusted);
  };
  EXPECT_EQ(client("127.0.0.1", {"6.6.6.6, 1.2.3.4"}), "1.2.3.4");
  EXPECT_EQ(client("127.0.0.1", {"6.6.6.6, 1.2.3.4, 10.1.1.1"}), "1.2.3.4");
  EXPECT_EQ(client("127.0.0.1", {"6.6.6.6", "1.2.3.4", "10.1.1.1 ,10.2.2.2"}), "1.2.3.4");
  EXPECT_EQ(client("127.0.0.1", {"1.2.3.4:5555"}), "1.2.3.4");
  EXPECT_EQ(client("127.0.0.1", {"10.3.3.3, 10.1.1.1"}), "10.3.3.3");
  EXPECT_EQ(client("127.0.0.1", {}), "127.0.0.1");
  // Who isn't trusted can't speak for others.
  EXPECT_EQ(client("9.9.9.9", {"1.2.3.4"}), "9.9.9.9");
  // What is no address hides what stands left of it.
  EXPECT_EQ(client("127.0.0.1", {"1.2.3.4, unknown, 10.1.1.1"}), "10.1.1.1");
  EXPECT_EQ(client("127.0.0.1", {"1.2.3.4,"}), "127.0.0.1");
}

}  // namespace
}  // namespace spillway
