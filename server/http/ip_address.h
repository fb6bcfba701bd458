#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace spillway {

// An IP address; those of version 4 as version 6 maps them (::ffff:1.2.3.4), so that both compare.
struct IpAddress {
  std::array<uint8_t, 16> bytes = {};

  bool is_v4() const;
  std::string ToString() const;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

// "10.0.0.1", "2001:db8::1", also with a port as some proxies write it ("10.0.0.1:80", "[::1]:80").
std::optional<IpAddress> ParseIpAddress(std::string_view text);

// A network: "10.0.0.0/8", "fd00::/8", or one address.
class IpNetwork {
 public:
  // INVALID_ARGUMENT: it is none, or has bits set behind its prefix.
  static absl::StatusOr<IpNetwork> Parse(std::string_view text);
  bool Contains(const IpAddress& address) const;

 private:
  IpAddress base_;
  int prefix_bits_ = 128;
};

bool IsInAny(const IpAddress& address, std::span<const IpNetwork> networks);

// What is one client as far as a limit by address goes: an address of version 4, or the /64 of one
// of version 6, since whoever has one of these addresses usually has them all.
IpAddress ClientNetwork(const IpAddress& address);

// Who a request comes from. A trusted peer tells it in X-Forwarded-For, to which every proxy
// appends the address that it saw: so the list counts from the right, past trusted addresses, to
// the first that isn't; what stands left of it anybody may have written. An entry that is no
// address ends the search at the one right of it.
//
// `forwarded_for`: all such fields of the request, in order.
std::string ClientAddress(const std::string& peer, std::span<const std::string_view> forwarded_for,
                          std::span<const IpNetwork> trusted);

}  // namespace spillway
