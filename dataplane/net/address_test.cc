#include "dataplane/net/address.h"

#include <gtest/gtest.h>

#include <array>

namespace ringway::net {
namespace {

struct ParseCase {
  const char* name;
  std::string text;
  std::string printed;  // "" when refused.
  std::string refusal;  // A part of the message.
};

class ParseAddressTest : public testing::TestWithParam<ParseCase> {};
INSTANTIATE_TEST_SUITE_P(
    Addresses, ParseAddressTest,
    testing::Values(ParseCase{"v4", "10.0.0.1:80", "10.0.0.1:80", ""},
                    ParseCase{"v4_any", "0.0.0.0:65535", "0.0.0.0:65535", ""},
                    ParseCase{"port_only", ":8080", "0.0.0.0:8080", ""},
                    ParseCase{"port_zero", "127.0.0.1:0", "127.0.0.1:0", ""},
                    ParseCase{"v6", "[::1]:8080", "[::1]:8080", ""},
                    ParseCase{"v6_any", "[::]:80", "[::]:80", ""},
                    ParseCase{"v6_long", "[2001:db8:0:0:0:0:0:1]:443", "[2001:db8::1]:443", ""},
                    ParseCase{"v6_mapped", "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80", ""},
                    ParseCase{"v6_scope_number", "[fe80::1%1]:80", "[fe80::1%1]:80", ""},
                    ParseCase{"v6_scope_name", "[fe80::1%lo]:80", "[fe80::1%1]:80", ""},
                    ParseCase{"unix_path", "unix:/run/a.sock", "unix:/run/a.sock", ""},
                    ParseCase{"unix_relative", "unix:a.sock", "unix:a.sock", ""},
                    ParseCase{"unix_abstract", "unix:@ringway", "unix:@ringway", ""},
                    ParseCase{"unix_longest", "unix:/" + std::string(106, 'a'),
                              "unix:/" + std::string(106, 'a'), ""},
                    ParseCase{"unix_too_long", "unix:/" + std::string(107, 'a'), "", "longer than"},
                    ParseCase{"unix_empty", "unix:", "", "must follow"},
                    ParseCase{"unix_at_only", "unix:@", "", "must follow"},
                    ParseCase{"unix_nul", std::string("unix:/a\0b", 9), "", "NUL"},
                    ParseCase{"empty", "", "", "no port"},
                    ParseCase{"no_port", "10.0.0.1", "", "no port"},
                    ParseCase{"empty_port", "10.0.0.1:", "", "port"},
                    ParseCase{"port_too_large", "10.0.0.1:65536", "", "port"},
                    ParseCase{"port_sign", "10.0.0.1:+80", "", "port"},
                    ParseCase{"port_space", "10.0.0.1: 80", "", "port"},
                    ParseCase{"port_trailing", "10.0.0.1:80x", "", "port"},
                    ParseCase{"v6_bare", "::1:80", "", "brackets"},
                    ParseCase{"v6_open", "[::1:80", "", "not an IPv4"},
                    ParseCase{"v4_in_brackets", "[10.0.0.1]:80", "", "not an IPv4"},
                    ParseCase{"v4_octal", "010.0.0.1:80", "", "not an IPv4"},
                    ParseCase{"v4_short", "10.1:80", "", "not an IPv4"},
                    ParseCase{"v4_nul", std::string("10.0.0.1\0:80", 12), "", "not an IPv4"},
                    ParseCase{"v4_scope", "10.0.0.1%lo:80", "", "not an IPv4"},
                    ParseCase{"v6_scope_unknown", "[fe80::1%nosuchif]:80", "", "not an IPv4"},
                    ParseCase{"v6_scope_empty", "[fe80::1%]:80", "", "not an IPv4"},
                    ParseCase{"host_name", "localhost:80", "", "not resolved"},
                    ParseCase{"very_long", std::string(300, '1') + ":80", "", "not an IPv4"}),
    [](const auto& test) { return test.param.name; });

TEST_P(ParseAddressTest, PrintsWhatItReadOrRefuses) {
  const ParseCase& c = GetParam();
  const auto address = parse_address(c.text);
  ASSERT_EQ(address.has_value(), c.refusal.empty())
      << (address ? to_string(*address) : address.error());
  if (!address) {
    EXPECT_NE(address.error().find(c.refusal), std::string::npos) << address.error();
    return;
  }
  EXPECT_EQ(to_string(*address), c.printed);
  const auto again = parse_address(to_string(*address));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(*again, *address);
}

struct KindCase {
  const char* name;
  const char* text;
  const char* ip;
  bool loopback, link_local, unspecified, multicast;
};

class AddressKindTest : public testing::TestWithParam<KindCase> {};
INSTANTIATE_TEST_SUITE_P(
    Addresses, AddressKindTest,
    testing::Values(
        KindCase{"v4", "10.1.2.3:1", "10.1.2.3", false, false, false, false},
        KindCase{"v4_loopback", "127.8.0.1:1", "127.8.0.1", true, false, false, false},
        KindCase{"v4_metadata", "169.254.169.254:80", "169.254.169.254", false, true, false, false},
        KindCase{"v4_any", "0.0.0.0:1", "0.0.0.0", false, false, true, false},
        KindCase{"v4_multicast", "239.255.255.250:1", "239.255.255.250", false, false, false, true},
        KindCase{"v4_broadcast", "255.255.255.255:1", "255.255.255.255", false, false, false, true},
        KindCase{"v6", "[2001:db8::1]:1", "2001:db8::1", false, false, false, false},
        KindCase{"v6_loopback", "[::1]:1", "::1", true, false, false, false},
        KindCase{"v6_link_local", "[febf::1%1]:1", "febf::1", false, true, false, false},
        KindCase{"v6_any", "[::]:1", "::", false, false, true, false},
        KindCase{"v6_multicast", "[ff02::1]:1", "ff02::1", false, false, false, true},
        KindCase{"mapped", "[::ffff:10.1.2.3]:1", "10.1.2.3", false, false, false, false},
        KindCase{"mapped_loopback", "[::ffff:127.0.0.1]:1", "127.0.0.1", true, false, false, false},
        KindCase{"mapped_metadata", "[::ffff:a9fe:a9fe]:80", "169.254.169.254", false, true, false,
                 false},
        KindCase{"unix_path", "unix:/a", "", true, false, false, false}),
    [](const auto& test) { return test.param.name; });

TEST_P(AddressKindTest, ClassifiesAndWritesTheIp) {
  const KindCase& c = GetParam();
  const auto address = parse_address(c.text);
  ASSERT_TRUE(address.has_value()) << address.error();
  std::array<char, kIpTextMax> buffer;
  EXPECT_EQ(ip_text(*address, buffer), c.ip);
  EXPECT_EQ(is_loopback(*address), c.loopback);
  EXPECT_EQ(is_link_local(*address), c.link_local);
  EXPECT_EQ(is_unspecified(*address), c.unspecified);
  EXPECT_EQ(is_multicast(*address), c.multicast);
}

TEST(AddressTest, TheLongestIpFitsTheBuffer) {
  io::SocketAddress address;
  ASSERT_TRUE(parse_ip("1111:2222:3333:4444:5555:6666:7777:8888", 1, address));
  std::array<char, kIpTextMax> buffer;
  EXPECT_EQ(ip_text(address, buffer), "1111:2222:3333:4444:5555:6666:7777:8888");
}

TEST(AddressTest, ChangesThePort) {
  io::SocketAddress address = *parse_address("[::1]:80");
  set_port(address, 8443);
  EXPECT_EQ(port_of(address), 8443);
  EXPECT_EQ(to_string(address), "[::1]:8443");
}

TEST(AddressTest, PrintsAnUnnamedUnixPeer) {
  io::SocketAddress address;  // What accept() gives for a client that did not bind.
  address.local.sun_family = AF_UNIX;
  address.length = sizeof(sa_family_t);
  EXPECT_EQ(to_string(address), "unix:");
  std::array<char, kIpTextMax> buffer;
  EXPECT_EQ(ip_text(address, buffer), "");
}

}  // namespace
}  // namespace ringway::net
