#include "dataplane/net/cidr.h"

#include <gtest/gtest.h>

#include "dataplane/net/address.h"

namespace ringway::net {
namespace {

bool holds(const char* range, const char* address) {
  const auto cidr = Cidr::parse(range);
  EXPECT_TRUE(cidr.has_value()) << range;
  const auto parsed = parse_address(address);
  EXPECT_TRUE(parsed.has_value()) << address;
  return cidr->contains(*parsed);
}

TEST(Cidr, Contains) {
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.1.2:80"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.0:80"));
  EXPECT_TRUE(holds("10.0.0.64/26", "10.0.0.127:1"));
  EXPECT_FALSE(holds("10.0.0.64/26", "10.0.0.128:1"));
  EXPECT_TRUE(holds("0.0.0.0/0", "203.0.113.9:1"));
  EXPECT_FALSE(holds("0.0.0.0/0", "[2001:db8::1]:1"));
  EXPECT_TRUE(holds("192.0.2.7", "192.0.2.7:443"));
  EXPECT_FALSE(holds("192.0.2.7", "192.0.2.6:443"));
  EXPECT_TRUE(holds("2001:db8::/33", "[2001:db8:7fff::1]:1"));
  EXPECT_FALSE(holds("2001:db8::/33", "[2001:db8:8000::1]:1"));
  EXPECT_TRUE(holds("::/0", "[2001:db8::1]:1"));
}

TEST(Cidr, MappedIpv4CountsAsIpv4) {
  EXPECT_TRUE(holds("10.0.0.0/8", "[::ffff:10.1.2.3]:80"));
  EXPECT_TRUE(holds("::ffff:10.0.0.0/104", "10.1.2.3:80"));
  EXPECT_FALSE(holds("::/0", "[::ffff:10.1.2.3]:80"));
}

TEST(Cidr, UnixPeersAreInNone) { EXPECT_FALSE(holds("0.0.0.0/0", "unix:/tmp/x")); }

TEST(Cidr, RefusesWhatIsNoRange) {
  for (const char* bad : {"", "/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/8x",
                          "10.0.0.0/-1", "[::1]/128", "fe80::1%1/64", "example.com", "10.0.0/8"}) {
    EXPECT_FALSE(Cidr::parse(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace ringway::net
