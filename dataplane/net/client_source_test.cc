#include "dataplane/net/client_source.h"

#include <gtest/gtest.h>

#include "dataplane/net/address.h"

namespace ringway::net {
namespace {

std::string source(const char* client, const char* target) {
  const auto out = client_source(parse_address(client).value(), parse_address(target).value());
  return out ? to_string(*out) : "own";
}

TEST(ClientSource, IsTheAddressWithoutThePort) {
  EXPECT_EQ(source("203.0.113.9:4711", "10.0.0.1:80"), "203.0.113.9:0");
  EXPECT_EQ(source("[2001:db8::9]:4711", "[2001:db8:1::1]:80"), "[2001:db8::9]:0");
  EXPECT_EQ(source("[::ffff:203.0.113.9]:4711", "10.0.0.1:80"), "203.0.113.9:0");
}

TEST(ClientSource, FitsTheSocketOfTheEndpoint) {
  EXPECT_EQ(source("203.0.113.9:4711", "[2001:db8:1::1]:80"), "own");
  EXPECT_EQ(source("[2001:db8::9]:4711", "10.0.0.1:80"), "own");
  EXPECT_EQ(source("203.0.113.9:4711", "[::ffff:10.0.0.1]:80"), "own");
  EXPECT_EQ(source("203.0.113.9:4711", "unix:/run/server"), "own");
  EXPECT_EQ(source("unix:@client", "10.0.0.1:80"), "own");
  EXPECT_FALSE(client_source({}, parse_address("10.0.0.1:80").value()));
}

TEST(ClientSource, IsNotWhatNobodyCouldAnswer) {
  for (const char* client :
       {"0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "169.254.1.1:1", "127.0.0.1:1"})
    EXPECT_EQ(source(client, "10.0.0.1:80"), "own") << client;
  for (const char* client : {"[::]:1", "[ff02::1]:1", "[fe80::1]:1", "[::1]:1"})
    EXPECT_EQ(source(client, "[2001:db8:1::1]:80"), "own") << client;
}

TEST(ClientSource, OfThisHostWorksOnThisHost) {
  EXPECT_EQ(source("127.0.0.9:1", "127.0.0.1:80"), "127.0.0.9:0");
  EXPECT_EQ(source("127.0.0.1:1", "127.0.0.1:80"), "127.0.0.1:0");
  EXPECT_EQ(source("[::1]:1", "[::1]:80"), "[::1]:0");
  EXPECT_EQ(source("203.0.113.9:1", "127.0.0.1:80"), "203.0.113.9:0");
}

TEST(ClientSource, IsNotTheEndpointItself) {
  EXPECT_EQ(source("10.0.0.1:4711", "10.0.0.1:80"), "own");
  EXPECT_EQ(source("[2001:db8::1]:4711", "[2001:db8::1]:80"), "own");
}

}  // namespace
}  // namespace ringway::net
