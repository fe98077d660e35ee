#include "dataplane/net/proxy_protocol.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dataplane/net/address.h"

namespace ringway::net {
namespace {

using namespace std::string_literals;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string v2(char command, char family, const std::string& body) {
  return kSignature + command + family + static_cast<char>(body.size() >> 8) +
         static_cast<char>(body.size() & 255) + body;
}

const std::string kV4Body =
    "\xC0\x00\x02\x01\x0A\x00\x00\x05\x9C\x40\x01\xBB"s;  // 192.0.2.1:40000 -> 10.0.0.5:443

TEST(ProxyProtocol, ReadsVersion1) {
  ProxyHeader header;
  const std::string text = "PROXY TCP4 192.0.2.1 10.0.0.5 40000 443\r\nGET /";
  ASSERT_EQ(parse_proxy_header(bytes_of(text), header), ProxyParse::kAddresses);
  EXPECT_EQ(to_string(header.source), "192.0.2.1:40000");
  EXPECT_EQ(to_string(header.destination), "10.0.0.5:443");
  EXPECT_EQ(text.substr(header.bytes), "GET /");
  ASSERT_EQ(parse_proxy_header(bytes_of("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), header),
            ProxyParse::kAddresses);
  EXPECT_EQ(to_string(header.source), "[2001:db8::1]:1");
  EXPECT_EQ(to_string(header.destination), "[::1]:65535");
}

TEST(ProxyProtocol, ReadsVersion2) {
  ProxyHeader header;
  const std::string text = v2('\x21', '\x11', kV4Body) + "hello";
  ASSERT_EQ(parse_proxy_header(bytes_of(text), header), ProxyParse::kAddresses);
  EXPECT_EQ(to_string(header.source), "192.0.2.1:40000");
  EXPECT_EQ(to_string(header.destination), "10.0.0.5:443");
  EXPECT_EQ(text.substr(header.bytes), "hello");
  std::string v6(36, '\0');
  v6[15] = 1;
  v6[31] = 2;
  v6[33] = 80;
  v6[35] = 81;
  ASSERT_EQ(parse_proxy_header(bytes_of(v2('\x21', '\x21', v6)), header), ProxyParse::kAddresses);
  EXPECT_EQ(to_string(header.source), "[::1]:80");
  EXPECT_EQ(to_string(header.destination), "[::2]:81");
  // TLVs behind the addresses are skipped.
  const std::string with_tlv = v2('\x21', '\x11', kV4Body + "\x04\x00\x01\x00"s);
  ASSERT_EQ(parse_proxy_header(bytes_of(with_tlv), header), ProxyParse::kAddresses);
  EXPECT_EQ(header.bytes, with_tlv.size());
}

TEST(ProxyProtocol, HeadersWithoutAddresses) {
  ProxyHeader header;
  for (const std::string& text :
       {"PROXY UNKNOWN\r\n"s, "PROXY UNKNOWN ffff:: ffff:: 1 2\r\n"s, v2('\x20', '\x00', ""),
        v2('\x20', '\x11', kV4Body), v2('\x21', '\x00', "anything"),
        v2('\x21', '\x31', std::string(216, 'x')), v2('\x21', '\x12', kV4Body)}) {
    EXPECT_EQ(parse_proxy_header(bytes_of(text), header), ProxyParse::kLocal) << text;
    EXPECT_EQ(header.bytes, text.size());
  }
}

TEST(ProxyProtocol, EveryPrefixIsIncompleteAndNothingElse) {
  for (const std::string& text :
       {"PROXY TCP4 192.0.2.1 10.0.0.5 40000 443\r\n"s, "PROXY UNKNOWN\r\n"s,
        v2('\x21', '\x11', kV4Body), v2('\x20', '\x00', "")}) {
    for (size_t size = 0; size < text.size(); ++size) {
      ProxyHeader header;
      EXPECT_EQ(parse_proxy_header(bytes_of(text.substr(0, size)), header), ProxyParse::kIncomplete)
          << text << " at " << size;
    }
  }
}

TEST(ProxyProtocol, RefusesWhatIsNoHeader) {
  for (const std::string& text : {"GET / HTTP/1.1\r\n"s,
                                  "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n"s,
                                  "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n"s,
                                  "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"s,
                                  "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n"s,
                                  "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n"s,
                                  "PROXY TCP4 ::1 ::1 1 1\r\n"s,
                                  "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n"s,
                                  "PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n"s,
                                  "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n"s,
                                  "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n"s,
                                  "PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n"s,
                                  "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n"s,
                                  "PROXY\r\n"s,
                                  "PROXY \r\n"s,
                                  "PROXY TCP6 fe80::1%1 ::1 1 1\r\n"s,
                                  "PROXY TCP6 [::1] [::1] 1 1\r\n"s,
                                  "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n"s,
                                  "PROXY UNKNOWN\r\r\n"s,
                                  "PROXY UNKNOWN \0\r\n"s,
                                  "PROXY UNKNOWN "s + std::string(200, 'x') + "\r\n",
                                  "PROXY UNKNOWN "s + std::string(93, 'x'),
                                  "\x16\x03\x01"s,
                                  kSignature.substr(0, 11) + "x",
                                  v2('\x31', '\x11', kV4Body),
                                  v2('\x22', '\x11', kV4Body),
                                  v2('\x21', '\x11', kV4Body.substr(0, 11)),
                                  v2('\x21', '\x21', std::string(35, 'x')),
                                  v2('\x20', '\x00', std::string(2049, 'x')),
                                  "\0"s}) {
    ProxyHeader header;
    EXPECT_EQ(parse_proxy_header(bytes_of(text), header), ProxyParse::kMalformed) << text;
  }
}

std::string written(ProxyVersion version, const char* source, const char* destination) {
  std::array<std::byte, kProxyWriteBytesMax> out;
  const auto to = destination == nullptr ? io::SocketAddress() : *parse_address(destination);
  const size_t size = write_proxy_header(version, *parse_address(source), to, out);
  return {reinterpret_cast<const char*>(out.data()), size};
}

TEST(ProxyProtocol, WritesBothVersions) {
  EXPECT_EQ(written(ProxyVersion::kV1, "192.0.2.1:40000", "10.0.0.5:443"),
            "PROXY TCP4 192.0.2.1 10.0.0.5 40000 443\r\n");
  EXPECT_EQ(written(ProxyVersion::kV1, "[2001:db8::1]:1", "[::1]:2"),
            "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
  EXPECT_EQ(written(ProxyVersion::kV1, "[::ffff:192.0.2.1]:9", "[::]:2"),
            "PROXY TCP4 192.0.2.1 0.0.0.0 9 2\r\n");
  EXPECT_EQ(written(ProxyVersion::kV1, "unix:/x", "unix:/y"), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(written(ProxyVersion::kV1, "192.0.2.1:1", "[::1]:2"), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(written(ProxyVersion::kV2, "192.0.2.1:40000", "10.0.0.5:443"),
            v2('\x21', '\x11', kV4Body));
  EXPECT_EQ(written(ProxyVersion::kV2, "unix:/x", nullptr), v2('\x20', '\x00', ""));
}

TEST(ProxyProtocol, WhatIsWrittenIsRead) {
  for (const ProxyVersion version : {ProxyVersion::kV1, ProxyVersion::kV2}) {
    for (const auto& [source, destination] : std::vector<std::pair<const char*, const char*>>{
             {"255.255.255.255:65535", "255.255.255.255:65535"},
             {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
              "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"}}) {
      const std::string text = written(version, source, destination);
      ProxyHeader header;
      ASSERT_EQ(parse_proxy_header(bytes_of(text), header), ProxyParse::kAddresses) << text;
      EXPECT_EQ(to_string(header.source), source);
      EXPECT_EQ(to_string(header.destination), destination);
      EXPECT_EQ(header.bytes, text.size());
    }
  }
}

}  // namespace
}  // namespace ringway::net
