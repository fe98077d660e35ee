#include "dataplane/tls/server_name.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <string>
#include <vector>

namespace ringway::tls {
namespace {

using namespace std::string_literals;

std::string number(size_t value, size_t bytes) {
  std::string out;
  for (size_t i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i) & 255);
  return out;
}
std::string vector(size_t length_bytes, const std::string& body) {
  return number(body.size(), length_bytes) + body;
}
std::string record(const std::string& fragment) { return "\x16\x03\x01"s + vector(2, fragment); }
std::string extension(size_t type, const std::string& body) {
  return number(type, 2) + vector(2, body);
}
std::string name_extension(const std::string& name) {
  return extension(0, vector(2, "\0"s + vector(2, name)));
}

std::string hello_message(const std::string& extensions) {
  const std::string body = "\x03\x03"s + std::string(32, 'r') + vector(1, std::string(32, 's')) +
                           vector(2, "\x13\x01"s) + vector(1, "\0"s) + vector(2, extensions);
  return "\x01"s + vector(3, body);
}

HelloParse parse(const std::string& bytes, std::string* name = nullptr) {
  ServerName out;
  const HelloParse result = read_server_name(std::as_bytes(std::span(bytes)), out);
  if (name != nullptr) *name = out.view();
  return result;
}

// What BoringSSL itself sends.
std::string real_hello(const char* name) {
  SSL_CTX* context = SSL_CTX_new(TLS_method());
  SSL* ssl = SSL_new(context);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  if (name != nullptr) SSL_set_tlsext_host_name(ssl, name);
  SSL_do_handshake(ssl);
  const uint8_t* data = nullptr;
  size_t size = 0;
  BIO_mem_contents(out, &data, &size);
  std::string bytes(reinterpret_cast<const char*>(data), size);
  SSL_free(ssl);
  SSL_CTX_free(context);
  return bytes;
}

TEST(ServerName, ReadsARealHello) {
  std::string name;
  EXPECT_EQ(parse(real_hello("Shop.Example.COM"), &name), HelloParse::kName);
  EXPECT_EQ(name, "shop.example.com");
  EXPECT_EQ(parse(real_hello(nullptr)), HelloParse::kNoName);
}

TEST(ServerName, EveryPrefixIsIncomplete) {
  const std::string hello = real_hello("a.example.com");
  for (size_t size = 0; size < hello.size(); ++size) {
    EXPECT_EQ(parse(hello.substr(0, size)), HelloParse::kIncomplete) << size;
  }
  // What follows, early data, is not looked at.
  EXPECT_EQ(parse(hello + "\x14\x03\x03\x00\x01\x01"s), HelloParse::kName);
}

TEST(ServerName, AMessageOverManyRecords) {
  const std::string message = hello_message(name_extension("a.example.com"));
  for (const size_t piece : {1, 3, 7, 60}) {
    std::string bytes;
    for (size_t at = 0; at < message.size(); at += piece)
      bytes += record(message.substr(at, piece));
    std::string name;
    EXPECT_EQ(parse(bytes, &name), HelloParse::kName) << piece;
    EXPECT_EQ(name, "a.example.com");
    for (size_t size = 0; size < bytes.size(); ++size)
      EXPECT_EQ(parse(bytes.substr(0, size)), HelloParse::kIncomplete);
  }
}

TEST(ServerName, WithoutExtensions) {
  const std::string body = "\x03\x03"s + std::string(32, 'r') + vector(1, "") +
                           vector(2, "\x13\x01"s) + vector(1, "\0"s);
  EXPECT_EQ(parse(record("\x01"s + vector(3, body))), HelloParse::kNoName);
  EXPECT_EQ(parse(record(hello_message(extension(16, "x")))), HelloParse::kNoName);
}

TEST(ServerName, RefusesWhatTwoReadersCouldTakeDifferently) {
  const std::string name = name_extension("a.example.com");
  EXPECT_EQ(parse(record(hello_message(name + name))), HelloParse::kMalformed);
  EXPECT_EQ(parse(record(hello_message(extension(0, "")))), HelloParse::kMalformed);
  EXPECT_EQ(parse(record(hello_message(extension(0, vector(2, ""))))), HelloParse::kMalformed);
  EXPECT_EQ(parse(record(hello_message(name_extension("")))), HelloParse::kMalformed);
  EXPECT_EQ(parse(record(hello_message(name_extension(std::string(254, 'a'))))),
            HelloParse::kMalformed);
  EXPECT_EQ(parse(record(hello_message(name_extension("a\0b"s)))), HelloParse::kMalformed);
  EXPECT_EQ(parse(record(hello_message(name_extension("a b")))), HelloParse::kMalformed);
  const std::string entry = "\0"s + vector(2, "a");
  EXPECT_EQ(parse(record(hello_message(extension(0, vector(2, entry + entry))))),
            HelloParse::kMalformed);
  EXPECT_EQ(parse(record(hello_message(extension(0, vector(2, entry) + "x")))),
            HelloParse::kMalformed);
  EXPECT_EQ(parse(record(hello_message(extension(0, vector(2, "\x01"s + vector(2, "a")))))),
            HelloParse::kMalformed);
}

TEST(ServerName, RefusesWhatIsNoHello) {
  EXPECT_EQ(parse("GET / HTTP/1.1\r\n"), HelloParse::kMalformed);
  EXPECT_EQ(parse("\x80\x2e\x01\x03\x01"s), HelloParse::kMalformed);  // SSL 2.
  EXPECT_EQ(parse("\x16\x02\x00"s), HelloParse::kMalformed);
  EXPECT_EQ(parse("\x16\x03\x01\x00\x00"s), HelloParse::kMalformed);  // An empty record.
  EXPECT_EQ(parse("\x16\x03\x01\x40\x01"s), HelloParse::kMalformed);
  EXPECT_EQ(parse(record("\x02")), HelloParse::kMalformed);               // ServerHello.
  EXPECT_EQ(parse(record("\x01\x00\x40\x00"s)), HelloParse::kMalformed);  // 16 KiB.
  EXPECT_EQ(parse(record("\x01"s + vector(3, "short"))), HelloParse::kMalformed);
  EXPECT_EQ(parse(record("\x01\x00\x00\x00"s)), HelloParse::kMalformed);
  EXPECT_EQ(parse(record("\x01\x00\x10\x00"s) + "\x15\x03\x01"),
            HelloParse::kMalformed);  // An alert inside.
}

TEST(ServerName, IsBoundedHoweverItIsSplit) {
  std::string bytes = record("\x01\x00\x3f\x00"s);
  while (bytes.size() <= kHelloBytesMax) bytes += record("x");
  EXPECT_EQ(parse(bytes), HelloParse::kMalformed);
}

}  // namespace
}  // namespace ringway::tls
