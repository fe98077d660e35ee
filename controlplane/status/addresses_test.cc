#include "controlplane/status/addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/kube/testing/fake_api.h"

namespace ringway::status {
namespace {

using kube::testing::FakeApi;
using nlohmann::json;
using ::testing::HasSubstr;

struct ServiceCase {
  const char* name;
  const char* service;
  const char* addresses;
  bool nodes = false;
};
class ServiceTest : public ::testing::TestWithParam<ServiceCase> {};
INSTANTIATE_TEST_SUITE_P(
    Types, ServiceTest,
    ::testing::Values(
        ServiceCase{"load_balancer_ip",
                    R"({"spec":{"type":"LoadBalancer","clusterIP":"10.96.0.1"},
            "status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.2"},{"ip":"192.0.2.1"}]}}})",
                    "192.0.2.1, 192.0.2.2"},
        ServiceCase{"load_balancer_hostname",
                    R"({"spec":{"type":"LoadBalancer"},
            "status":{"loadBalancer":{"ingress":[{"hostname":"lb.example.com"}]}}})",
                    "lb.example.com"},
        ServiceCase{"load_balancer_and_external_ips",
                    R"({"spec":{"type":"LoadBalancer","externalIPs":["192.0.2.9","192.0.2.1"]},
            "status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}})",
                    "192.0.2.1, 192.0.2.9"},
        ServiceCase{"load_balancer_not_ready",
                    R"({"spec":{"type":"LoadBalancer","clusterIP":"10.96.0.1"},
            "status":{"loadBalancer":{}}})",
                    "none"},
        ServiceCase{"node_port_external_ips",
                    R"({"spec":{"type":"NodePort","externalIPs":["192.0.2.9"]}})", "192.0.2.9"},
        ServiceCase{"node_port", R"({"spec":{"type":"NodePort","clusterIP":"10.96.0.1"}})", "none",
                    true},
        ServiceCase{"cluster_ip", R"({"spec":{"type":"ClusterIP","clusterIP":"10.96.0.1"}})",
                    "10.96.0.1"},
        ServiceCase{"no_type", R"({"spec":{"clusterIP":"fd00::1"}})", "fd00::1"},
        ServiceCase{"headless", R"({"spec":{"clusterIP":"None"}})", "none", true},
        ServiceCase{"external_name",
                    R"({"spec":{"type":"ExternalName","externalName":"edge.example.com"}})",
                    "edge.example.com"},
        ServiceCase{"wrong_types",
                    R"({"spec":{"type":"LoadBalancer","externalIPs":"x"},
            "status":{"loadBalancer":{"ingress":[7,{"ip":[]}]}}})",
                    "none"}),
    [](const auto& test) { return test.param.name; });

TEST_P(ServiceTest, GivesItsAddresses) {
  const ServiceAddresses found = addresses_of_service(json::parse(GetParam().service));
  EXPECT_EQ(to_text(found.addresses), GetParam().addresses);
  EXPECT_EQ(found.nodes, GetParam().nodes);
}

TEST(AddressesTest, Nodes) {
  const json both =
      json::parse(R"({"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"},
    {"type":"ExternalIP","address":"192.0.2.1"},{"type":"Hostname","address":"n1"}]}})");
  EXPECT_EQ(to_text(addresses_of_node(both, false)), "192.0.2.1");
  EXPECT_EQ(to_text(addresses_of_node(both, true)), "10.0.0.1");
  const json internal = json::parse(
      R"({"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"},
      {"type":"InternalIP","address":"fd00::1"}]}})");
  EXPECT_EQ(to_text(addresses_of_node(internal, false)), "10.0.0.1, fd00::1");
  EXPECT_EQ(to_text(addresses_of_node(json::object(), false)), "none");
}

TEST(AddressesTest, OfTheFlag) {
  EXPECT_EQ(to_text(parse_addresses("lb.example.com,192.0.2.1,192.0.2.1").value()),
            "lb.example.com, 192.0.2.1");
  EXPECT_EQ(to_json(parse_addresses("lb.example.com,2001:db8::1").value()),
            json::parse(R"([{"hostname":"lb.example.com"},{"ip":"2001:db8::1"}])"));
  for (const char* bad : {"", "a b", ",", "192.0.2.1,,x", "-x", "http://x"})
    EXPECT_FALSE(parse_addresses(bad).has_value()) << bad;
}

class ReaderTest : public ::testing::Test {
 protected:
  std::expected<Published, std::string> read() { return AddressReader(api_, options_).read(); }
  void add_node(const std::string& name, const std::string& ip) {
    api_.put("/api/v1/nodes/" + name,
             {{"status", {{"addresses", {{{"type", "InternalIP"}, {"address", ip}}}}}}});
  }
  FakeApi api_;
  PublishOptions options_{.service_ns = "ns", .service_name = "proxy"};
};

TEST_F(ReaderTest, AFixedAddressAsksNobody) {
  options_.fixed = {address_of("192.0.2.1")};
  EXPECT_EQ(to_text(read()->addresses), "192.0.2.1");
  EXPECT_EQ(api_.reads(), 0u);
}

TEST_F(ReaderTest, AServiceThatIsGoneOrGoing) {
  EXPECT_TRUE(read()->gone);
  api_.put("/api/v1/namespaces/ns/services/proxy",
           {{"metadata", {{"deletionTimestamp", "2026-01-01T00:00:00Z"}}},
            {"spec", {{"clusterIP", "10.96.0.1"}}}});
  EXPECT_TRUE(read()->gone);
  api_.put("/api/v1/namespaces/ns/services/proxy", {{"spec", {{"clusterIP", "10.96.0.1"}}}});
  EXPECT_FALSE(read()->gone);
  EXPECT_EQ(to_text(read()->addresses), "10.96.0.1");
}

TEST_F(ReaderTest, ANodePortIsTheNodesOfItsReadyEndpoints) {
  api_.put("/api/v1/namespaces/ns/services/proxy", {{"spec", {{"type", "NodePort"}}}});
  const auto slice = [&](const std::string& name, const std::string& service,
                         const char* endpoints) {
    api_.put("/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices/" + name,
             {{"metadata", {{"name", name}, {"labels", {{"kubernetes.io/service-name", service}}}}},
              {"endpoints", json::parse(endpoints)}});
  };
  slice("a", "proxy", R"([{"nodeName":"n1","conditions":{"ready":true}},{"nodeName":"n1"},
                          {"nodeName":"n2","conditions":{"ready":false}}])");
  slice("b", "proxy", R"([{"nodeName":"n3"},{"nodeName":"deleted"},{}])");
  slice("c", "other", R"([{"nodeName":"n4"}])");
  for (int i = 1; i <= 4; ++i) add_node("n" + std::to_string(i), "10.0.0." + std::to_string(i));
  EXPECT_EQ(to_text(read()->addresses), "10.0.0.1, 10.0.0.3");
}

TEST_F(ReaderTest, PodsAreReadByTheirLabels) {
  options_ = {.pods_ns = "ns", .pods_selector = "app=proxy"};
  const auto pod = [&](const std::string& name, const std::string& node, const char* ready) {
    api_.put("/api/v1/namespaces/ns/pods/" + name,
             {{"metadata", {{"name", name}, {"labels", {{"app", "proxy"}}}}},
              {"spec", {{"nodeName", node}}},
              {"status", {{"conditions", {{{"type", "Ready"}, {"status", ready}}}}}}});
  };
  pod("a", "n1", "True");
  pod("b", "n2", "False");
  add_node("n1", "10.0.0.1");
  add_node("n2", "10.0.0.2");
  EXPECT_EQ(to_text(read()->addresses), "10.0.0.1");
}

TEST_F(ReaderTest, WhatCannotBeReadIsNotKnown) {
  api_.set_cut_off(true);
  EXPECT_THAT(read().error(), HasSubstr("connection refused"));
  api_.set_cut_off(false);
  api_.set_fault([](const kube::Request&) -> std::optional<kube::Result> {
    return kube::Response{.status = 403, .body = R"({"message":"services is forbidden"})"};
  });
  EXPECT_THAT(read().error(), HasSubstr("forbidden"));
  api_.set_fault([](const kube::Request&) -> std::optional<kube::Result> {
    return kube::Response{.status = 200, .body = "[1"};
  });
  EXPECT_FALSE(read().has_value());
}

}  // namespace
}  // namespace ringway::status
