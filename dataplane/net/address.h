// Socket addresses as text and back, and what kind of address one is.
//
// Text: "10.0.0.1:80", "[::1]:8080", "[fe80::1%eth0]:80", ":8080" (0.0.0.0), "unix:/path",
// "unix:@abstract". No names: nothing here asks DNS.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/io/socket_address.h"

namespace ringway::net {

// Error: one line for people, with the text that was refused.
std::expected<io::SocketAddress, std::string> parse_address(std::string_view text);
// What stands before an address of datagrams where both kinds meet: "udp:0.0.0.0:53".
inline constexpr std::string_view kUdpPrefix = "udp:";
// An address without port, brackets allowed: "10.0.0.1", "::1", "[::1]". `port` in host order.
// false: not an IP address.
bool parse_ip(std::string_view text, uint16_t port, io::SocketAddress& out);
// What parse_address() reads. An unnamed Unix address is "unix:".
std::string to_string(const io::SocketAddress& address);

// Enough for any IP address: INET6_ADDRSTRLEN with its NUL.
constexpr size_t kIpTextMax = INET6_ADDRSTRLEN;
// The IP address alone, as X-Forwarded-For wants it (RFC 7239 quotes and brackets are not its
// form), written into `buffer`; an IPv4 address mapped into IPv6 as IPv4; no scope id. Allocates
// nothing. A Unix peer has none: "". REQUIRES: buffer.size() >= kIpTextMax.
std::string_view ip_text(const io::SocketAddress& address, std::span<char> buffer);

// Host order; 0 for Unix.
uint16_t port_of(const io::SocketAddress& address);
void set_port(io::SocketAddress& address, uint16_t port);

// Of an IPv4 address mapped into IPv6 (RFC 4291, section 2.5.5.2), each tells about the IPv4
// address.
// Loopback: 127.0.0.0/8, ::1, every Unix address. Link local: 169.254.0.0/16, where clouds have
// their metadata service, fe80::/10. Unspecified: 0.0.0.0/8, ::. Multicast: 224.0.0.0/4 and the
// broadcast address, ff00::/8.
bool is_loopback(const io::SocketAddress& address);
bool is_link_local(const io::SocketAddress& address);
bool is_unspecified(const io::SocketAddress& address);
bool is_multicast(const io::SocketAddress& address);

}  // namespace ringway::net
