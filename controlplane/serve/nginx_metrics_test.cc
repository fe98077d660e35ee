#include "controlplane/serve/nginx_metrics.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace ringway::serve {
namespace {

constexpr long kValidSeconds = 86'400;

std::string certificate(const char* organization, const char* common_name, long serial) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* made = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(made), serial);
  ASN1_TIME_set(X509_getm_notBefore(made), 1'800'000'000);
  ASN1_TIME_set(X509_getm_notAfter(made), 1'800'000'000 + kValidSeconds);
  X509_NAME* issuer = X509_get_issuer_name(made);
  const auto add = [&](const char* field, const char* text) {
    if (text != nullptr)
      X509_NAME_add_entry_by_txt(issuer, field, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(text), -1, -1, 0);
  };
  add("O", organization);
  add("CN", common_name);
  X509_set_pubkey(made, key);
  X509_sign(made, key, EVP_sha256());
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, made);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  X509_free(made);
  EVP_PKEY_free(key);
  return text;
}

v1::Resource certificate_resource(const std::string& name, const std::string& chain,
                                  const std::vector<std::string>& hosts) {
  v1::Resource resource;
  resource.set_name(name);
  resource.mutable_certificate()->set_chain_pem(chain);
  for (const std::string& host : hosts) resource.mutable_certificate()->add_hosts(host);
  return resource;
}

v1::Resource table(const std::string& name, const std::string& ingress,
                   const std::vector<std::string>& clusters) {
  v1::Resource resource;
  resource.set_name(name);
  for (const std::string& cluster : clusters) {
    v1::Route& route = *resource.mutable_route_table()->add_routes();
    route.mutable_metadata()->set_namespace_("shop");
    route.mutable_metadata()->set_ingress(ingress);
    route.mutable_backend()->add_clusters()->set_cluster(cluster);
  }
  return resource;
}

v1::Resource endpoints(const std::string& name, bool ready) {
  v1::Resource resource;
  resource.set_name(name);
  resource.mutable_endpoints()->add_endpoints()->set_ready(ready);
  return resource;
}

using Samples = std::vector<std::pair<std::map<std::string, std::string>, double>>;

Samples samples(const NginxMetrics& metrics, const std::string& name) {
  std::vector<prometheus::MetricFamily> families;
  metrics.collect(families);
  Samples out;
  for (const auto& family : families) {
    if (family.name != "nginx_ingress_controller_" + name) continue;
    for (const auto& metric : family.metric) {
      std::map<std::string, std::string> labels;
      for (const auto& label : metric.label) labels[label.name] = label.value;
      out.emplace_back(labels, metric.gauge.value);
    }
  }
  return out;
}

class NginxMetricsTest : public testing::Test {
 protected:
  snapshot::Store store_;
  NginxMetrics metrics_{{true, "edge", "ringway.dev/ingress", "controller-0"}, store_};
};

TEST_F(NginxMetricsTest, AnExpiryForEachHost) {
  store_.apply(
      {certificate_resource("shop/tls", certificate("Acme", "Root", 77), {"a.test", "b.test"}),
       certificate_resource("edge/default", certificate(nullptr, nullptr, 1), {})},
      {});
  const Samples expiry = samples(metrics_, "ssl_expire_time_seconds");
  ASSERT_EQ(expiry.size(), 3u);
  EXPECT_EQ(expiry[0].first.at("host"), "_");
  EXPECT_EQ(expiry[0].first.at("secret_name"), "default");
  EXPECT_EQ(expiry[1].first, (std::map<std::string, std::string>{{"namespace", "shop"},
                                                                 {"class", "ringway.dev/ingress"},
                                                                 {"host", "a.test"},
                                                                 {"secret_name", "tls"},
                                                                 {"identifier", "Acme-77"}}));
  EXPECT_EQ(expiry[2].second, 1'800'000'000 + kValidSeconds);
  const Samples info = samples(metrics_, "ssl_certificate_info");
  ASSERT_EQ(info.size(), 3u);
  EXPECT_EQ(info[1].first.at("issuer_organization"), "Acme");
  EXPECT_EQ(info[1].first.at("issuer_common_name"), "Root");
  EXPECT_EQ(info[1].first.at("serial_number"), "77");
  EXPECT_EQ(info[1].first.at("public_key_algorithm"), "ECDSA");
}

TEST_F(NginxMetricsTest, ACertificateThatIsReplacedOrRemovedOrNone) {
  store_.apply({certificate_resource("shop/tls", certificate("Old", nullptr, 1), {"a.test"})}, {});
  EXPECT_EQ(samples(metrics_, "ssl_expire_time_seconds")[0].first.at("identifier"), "Old-1");
  store_.apply({certificate_resource("shop/tls", certificate("New", nullptr, 2), {"a.test"})}, {});
  EXPECT_EQ(samples(metrics_, "ssl_expire_time_seconds")[0].first.at("identifier"), "New-2");
  store_.apply({certificate_resource("shop/tls", "no certificate", {"a.test"})}, {});
  EXPECT_TRUE(samples(metrics_, "ssl_expire_time_seconds").empty());
}

TEST_F(NginxMetricsTest, OrphansByWhatIsMissing) {
  store_.apply({table("http/a.test", "good", {"shop/web:80"}), endpoints("shop/web:80", true),
                table("http/b.test", "unready", {"shop/cart:80", "shop/web:80"}),
                endpoints("shop/cart:80", false), table("http/c.test", "bare", {"shop/none:80"}),
                table("http/d.test", "nothing", {""})},
               {});
  const Samples orphans = samples(metrics_, "orphan_ingress");
  ASSERT_EQ(orphans.size(), 3u);
  std::map<std::string, std::string> types;
  for (const auto& [labels, value] : orphans) {
    EXPECT_EQ(value, 1);
    EXPECT_EQ(labels.at("namespace"), "shop");
    EXPECT_EQ(labels.at("controller_pod"), "controller-0");
    types[labels.at("ingress")] = labels.at("type");
  }
  EXPECT_EQ(types,
            (std::map<std::string, std::string>{
                {"unready", "no-endpoint"}, {"bare", "no-endpoint"}, {"nothing", "no-service"}}));
  store_.apply({endpoints("shop/cart:80", true), endpoints("shop/none:80", true),
                table("http/d.test", "nothing", {"shop/web:80"})},
               {});
  EXPECT_TRUE(samples(metrics_, "orphan_ingress").empty());
}

TEST_F(NginxMetricsTest, CanBeOff) {
  const NginxMetrics off({.on = false}, store_);
  std::vector<prometheus::MetricFamily> families;
  off.collect(families);
  EXPECT_TRUE(families.empty());
}

TEST(CertificateFactsTest, WhatIsNoCertificate) {
  EXPECT_FALSE(read_certificate("").has_value());
  EXPECT_FALSE(read_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
                   .has_value());
  EXPECT_FALSE(read_certificate(std::string_view("\0\0", 2)).has_value());
}

TEST(CertificateFactsTest, AnIssuerWithoutACommonName) {
  const std::string chain = certificate("Acme", nullptr, 5);
  EXPECT_EQ(read_certificate(chain)->issuer_common_name, "");
  EXPECT_EQ(read_certificate(chain)->identifier(), "Acme-5");
}

}  // namespace
}  // namespace ringway::serve
