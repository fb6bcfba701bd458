#include "server/http/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kV4Bits = 32;
constexpr int kV6Bits = 128;
constexpr size_t kClientNetworkBytes = 8;  // of version 6

bool BitsAreEqual(const IpAddress& a, const IpAddress& b, int count) {
  const auto whole = static_cast<size_t>(count / 8);
  if (!std::equal(a.bytes.begin(), a.bytes.begin() + static_cast<std::ptrdiff_t>(whole),
                  b.bytes.begin())) {
    return false;
  }
  if (count % 8 == 0) return true;
  const int shift = 8 - count % 8;
  return a.bytes[whole] >> shift == b.bytes[whole] >> shift;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Without the port, if there is one.
std::string_view HostOf(std::string_view text) {
  if (!text.empty() && text.front() == '[') {
    const size_t end = text.find(']');
    return end == std::string_view::npos ? std::string_view() : text.substr(1, end - 1);
  }
  const size_t colon = text.find(':');
  return colon == text.rfind(':') ? text.substr(0, colon) : text;
}

// Without a port.
std::optional<IpAddress> ParseHost(const std::string& host) {
  IpAddress address;
  if (host.find(':') != std::string::npos) {
    if (::inet_pton(AF_INET6, host.c_str(), address.bytes.data()) != 1) return std::nullopt;
    return address;
  }
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes.begin());
  if (::inet_pton(AF_INET, host.c_str(), address.bytes.data() + kMappedPrefix.size()) != 1) {
    return std::nullopt;
  }
  return address;
}

}  // namespace

bool IpAddress::is_v4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (is_v4()) {
    ::inet_ntop(AF_INET, bytes.data() + kMappedPrefix.size(), text, sizeof(text));
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), text, sizeof(text));
  }
  return text;
}

std::optional<IpAddress> ParseIpAddress(std::string_view text) {
  return ParseHost(std::string(HostOf(text)));
}

absl::StatusOr<IpNetwork> IpNetwork::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<IpAddress> base = ParseHost(std::string(text.substr(0, slash)));
  IpNetwork network;
  if (base) network.base_ = *base;
  if (base && slash != std::string_view::npos) {
    const int bits_max = base->is_v4() ? kV4Bits : kV6Bits;
    const std::string digits(text.substr(slash + 1));
    int bits = -1;
    if (!absl::SimpleAtoi(digits, &bits) || bits < 0 || bits > bits_max) bits = -1;
    network.prefix_bits_ = bits < 0 ? -1 : kV6Bits - bits_max + bits;
  }
  IpAddress masked = network.base_;
  for (int bit = std::max(0, network.prefix_bits_); bit < kV6Bits; ++bit) {
    masked.bytes[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
  }
  if (!base || network.prefix_bits_ < 0 || masked != network.base_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", std::string(text), "\" is not a network such as 10.0.0.0/8 or fd00::/8"));
  }
  return network;
}

bool IpNetwork::Contains(const IpAddress& address) const {
  return BitsAreEqual(base_, address, prefix_bits_);
}

bool IsInAny(const IpAddress& address, std::span<const IpNetwork> networks) {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const IpNetwork& network) { return network.Contains(address); });
}

IpAddress ClientNetwork(const IpAddress& address) {
  if (address.is_v4()) return address;
  IpAddress network = address;
  std::fill(network.bytes.begin() + kClientNetworkBytes, network.bytes.end(), uint8_t{0});
  return network;
}

std::string ClientAddress(const std::string& peer, std::span<const std::string_view> forwarded_for,
                          std::span<const IpNetwork> trusted) {
  std::optional<IpAddress> client = ParseIpAddress(peer);
  if (!client) return peer;
  for (size_t i = forwarded_for.size(); i-- > 0;) {
    std::string_view list = forwarded_for[i];
    while (true) {
      if (!IsInAny(*client, trusted)) return client->ToString();
      const size_t comma = list.rfind(',');
      const std::string_view last =
          Trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
      const std::optional<IpAddress> next = ParseIpAddress(last);
      if (!next) return client->ToString();
      client = next;
      if (comma == std::string_view::npos) break;
      list = list.substr(0, comma);
    }
  }
  return client->ToString();
}

}  // namespace spillway
