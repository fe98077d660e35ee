#include "controlplane/identity/names.h"

#include <gtest/gtest.h>

namespace ringway::identity {
namespace {

TEST(AuthenticateTest, WhoMayClaimWhichNode) {
  struct Case {
    bool tls;
    std::vector<std::string> names;
    bool allowed;
  };
  for (const Case& c : std::initializer_list<Case>{
           {false, {}, true},
           {true, {"spiffe://ringway/proxy"}, true},
           {true, {"spiffe://ringway/proxy/node-1"}, true},
           {true, {"spiffe://ringway/proxy/node-2"}, false},
           {true, {"spiffe://ringway/proxy/node-2", "spiffe://ringway/proxy/node-1"}, true},
           {true, {"spiffe://ringway/proxy/node-10"}, false},
           {true, {"spiffe://ringway/proxyless"}, true},
           {true, {"ringway-controller", "spiffe://ringway/controller"}, false},
           {true, {"spiffe://ringway/controller/a"}, false},
           {true, {"proxy.example.com"}, true},
           {true, {}, true}}) {
    v1::Hello hello;
    hello.set_node_id("node-1");
    const auto answer = authenticate({.peer = "ipv4:…", .tls = c.tls, .names = c.names}, hello);
    EXPECT_EQ(answer.has_value(), c.allowed) << (c.names.empty() ? "" : c.names.front());
  }
}

}  // namespace
}  // namespace ringway::identity
