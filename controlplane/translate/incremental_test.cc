// The invariant of Translator: the sum of its results equals one translation from scratch.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "base/random.h"
#include "controlplane/translate/testing.h"

namespace ringway::translate {
namespace {

using model::Kind;
using model::ObjectKey;
using model::ObjectPtr;

std::string read_testdata(const std::string& name) {
  std::ifstream in(std::string(TESTDATA) + "/" + name);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// Good and broken Secrets under few names, taken from testdata so that no key is made here.
std::vector<kubernetes::Secret> secret_bodies() {
  std::vector<kubernetes::Secret> bodies;
  for (const char* file : {"certificate_conflict.in.yaml", "secret_broken.in.yaml"}) {
    for (const ObjectPtr& object : objects_of(read_testdata(file))) {
      if (object->key.kind == Kind::kSecret)
        bodies.push_back(std::get<kubernetes::Secret>(object->body));
    }
  }
  return bodies;
}

// Draws objects out of so few names, hosts and values that they meet all the time.
class World {
 public:
  explicit World(uint64_t seed) : random_(seed), secrets_(secret_bodies()) {}

  ObjectPtr draw() {
    const uint32_t kind = random_.below(100);
    if (kind < 40) return make(Kind::kIngress, 6, ingress());
    if (kind < 60) return make(Kind::kService, 4, service());
    if (kind < 85) return make(Kind::kEndpointSlice, 5, slice());
    if (kind < 90) return make(Kind::kConfigMap, 2, config_map());
    if (kind < 96)
      return make(Kind::kSecret, 3,
                  secrets_[random_.below(static_cast<uint32_t>(secrets_.size()))]);
    return make(Kind::kIngressClass, 2, ingress_class());
  }
  Random& random() { return random_; }

 private:
  std::string name(uint32_t count) {
    return std::string(1, static_cast<char>('a' + random_.below(count)));
  }
  std::string host() {
    constexpr const char* kHosts[] = {
        "", "a.example.com", "b.example.com", "*.example.com", "shop.example.com", "BAD"};
    return kHosts[random_.below(6)];
  }
  std::string pick(std::initializer_list<const char*> values) {
    return values.begin()[random_.below(static_cast<uint32_t>(values.size()))];
  }

  template <class Body>
  ObjectPtr make(Kind kind, uint32_t names, Body body) {
    auto object = std::make_shared<model::Object>();
    object->key = {kind, kind == Kind::kIngressClass ? "" : pick({"default", "other"}),
                   name(names)};
    object->location = {"f.yaml", random_.below(3), 1};
    body.mutable_metadata()->set_name(object->key.name);
    body.mutable_metadata()->set_namespace_(object->key.ns);
    object->body = std::move(body);
    return object;
  }

  void backend(kubernetes::IngressBackend& to) {
    to.mutable_service()->set_name(name(5));
    if (random_.chance(50)) {
      to.mutable_service()->mutable_port()->set_number(static_cast<int32_t>(80 + random_.below(2)));
    } else {
      to.mutable_service()->mutable_port()->set_name(pick({"http", "admin"}));
    }
  }

  kubernetes::Ingress ingress() {
    kubernetes::Ingress out;
    auto& annotations = *out.mutable_metadata()->mutable_annotations();
    const auto set = [&](const char* key, const std::string& value, uint32_t percent) {
      if (random_.chance(percent))
        annotations["nginx.ingress.kubernetes.io/" + std::string(key)] = value;
    };
    set("use-regex", "true", 10);
    set("rewrite-target", "/$1", 10);
    set("ssl-redirect", pick({"true", "false", "maybe"}), 20);
    set("load-balance", pick({"round_robin", "least_request", "ewma"}), 20);
    set("permanent-redirect", "https://x.example.com", 5);
    set("backend-protocol", "GRPC", 5);
    set("ssl-passthrough", "true", 15);
    if (random_.chance(10)) annotations["ringway.dev/health-check-path"] = "/" + name(3);
    if (random_.chance(30))
      out.mutable_metadata()->set_creation_timestamp("2024-01-0" +
                                                     std::to_string(1 + random_.below(3)));
    if (random_.chance(40)) out.mutable_spec()->set_ingress_class_name(name(3));
    if (random_.chance(30)) backend(*out.mutable_spec()->mutable_default_backend());
    for (uint32_t rules = random_.below(3); rules > 0; --rules) {
      auto& rule = *out.mutable_spec()->add_rules();
      rule.set_host(host());
      for (uint32_t paths = random_.below(3); paths > 0; --paths) {
        auto& path = *rule.mutable_http()->add_paths();
        path.set_path(pick({"/", "/x", "/x/", "/x/(.*)", "/bad("}));
        path.set_path_type(pick({"Exact", "Prefix", "ImplementationSpecific"}));
        backend(*path.mutable_backend());
      }
    }
    for (uint32_t entries = random_.below(3); entries > 0; --entries) {
      auto& tls = *out.mutable_spec()->add_tls();
      if (random_.chance(80)) tls.set_secret_name(name(4));
      if (random_.chance(70))
        tls.add_hosts(pick({"shop.example.com", "a.example.com", "*.example.com"}));
    }
    return out;
  }

  kubernetes::Service service() {
    kubernetes::Service out;
    if (random_.chance(10)) {
      out.mutable_spec()->set_type("ExternalName");
      out.mutable_spec()->set_external_name(pick({"10.1.1.1", "db.example.com"}));
    }
    for (uint32_t i = random_.below(3); i > 0; --i) {
      auto& port = *out.mutable_spec()->add_ports();
      port.set_name(pick({"http", "admin"}));
      port.set_port(static_cast<int32_t>(80 + random_.below(2)));
      if (random_.chance(20)) port.set_protocol("UDP");
    }
    return out;
  }

  kubernetes::ConfigMap config_map() {
    kubernetes::ConfigMap out;
    for (uint32_t i = random_.below(4); i > 0; --i) {
      (*out.mutable_data())[pick({"53", "9000", "9001", "80", "x"})] =
          pick({"default", "other"}) + "/" + name(4) + ":" + pick({"80", "http", "admin:PROXY", "81::PROXY", ""});
    }
    for (uint32_t i = random_.below(4); i > 0; --i) {
      (*out.mutable_data())[pick({"ssl-redirect", "proxy-body-size", "keep-alive", "hsts",
                                  "upstream-keepalive-timeout", "use-proxy-protocol",
                                  "proxy-real-ip-cidr", "proxy-stream-timeout", "main-snippet"})] =
          pick({"true", "false", "75", "1m", "10.0.0.0/8", ""});
    }
    return out;
  }

  kubernetes::EndpointSlice slice() {
    kubernetes::EndpointSlice out;
    if (random_.chance(95))
      (*out.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = name(4);
    out.set_address_type(random_.chance(95) ? "IPv4" : "FQDN");
    auto& port = *out.add_ports();
    port.set_name(pick({"http", "admin"}));
    port.set_port(static_cast<int32_t>(8080 + random_.below(2)));
    for (uint32_t i = random_.below(4); i > 0; --i) {
      auto& endpoint = *out.add_endpoints();
      endpoint.add_addresses("10.0.0." + std::to_string(1 + random_.below(3)));
      if (random_.chance(30)) endpoint.mutable_conditions()->set_ready(random_.chance(50));
    }
    return out;
  }

  kubernetes::IngressClass ingress_class() {
    kubernetes::IngressClass out;
    out.mutable_spec()->set_controller(
        pick({"ringway.dev/ingress", "ringway.dev/ingress", "other"}));
    if (random_.chance(30)) {
      (*out.mutable_metadata()
            ->mutable_annotations())["ingressclass.kubernetes.io/is-default-class"] = "true";
    }
    return out;
  }

  Random random_;
  const std::vector<kubernetes::Secret> secrets_;
};

// Draws a batch of one to four changes, at most one for each key, and applies it to `objects`.
model::Changes draw_changes(World& world, std::map<ObjectKey, ObjectPtr>& objects) {
  model::Changes changes;
  std::set<ObjectKey> changed;
  for (uint32_t count = 1 + world.random().below(4); count > 0; --count) {
    const ObjectPtr object = world.draw();
    if (!changed.insert(object->key).second) continue;
    if (objects.contains(object->key) && world.random().chance(40)) {
      changes.removals.push_back(object->key);
      objects.erase(object->key);
    } else {
      changes.upserts.push_back(object);
      objects[object->key] = object;
    }
  }
  return changes;
}

TEST(TranslatorIncremental, EqualsATranslationFromScratch) {
  constexpr int64_t kNow = 4'000'000'000;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    World world(seed);
    Options options;
    options.classless = seed % 2 == 0 ? Classless::kServedWithoutClasses : Classless::kServed;
    options.external_names = seed % 3 == 0;
    options.tcp_services = "default/a";
    if (seed % 3 != 1) options.config_map = "default/a";
    options.udp_services = seed % 2 == 0 ? "default/b" : "other/a";
    options.ssl_passthrough = seed % 2 == 0;
    if (seed % 4 == 1) options.default_backend = "default/a:http";
    if (seed % 4 == 2) options.default_certificate = "default/b";
    Translator incremental(options);
    Held held;
    std::map<ObjectKey, ObjectPtr> objects;
    for (int step = 0; step < 250; ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(step));
      held.apply(incremental.apply(draw_changes(world, objects), kNow));
      Translator fresh(options, incremental.last_good());
      Held expected;
      model::Changes all;
      for (const auto& [key, object] : objects) all.upserts.push_back(object);
      expected.apply(fresh.apply(all, kNow));
      ASSERT_EQ(held.exact(), expected.exact());
      ASSERT_EQ(incremental.last_good(), fresh.last_good());
    }
  }
}

TEST(Translator, SendsNothingWhenNothingChanged) {
  Translator translator({});
  const auto objects = objects_of(read_testdata("tls_redirects.in.yaml"));
  translator.apply({.upserts = objects}, 0);
  const Translation first = translator.apply({}, 0);
  const Translation again =
      translator.apply({.upserts = objects_of(read_testdata("tls_redirects.in.yaml"))}, 0);
  EXPECT_TRUE(again.upserts.empty());
  EXPECT_TRUE(again.removals.empty());
  EXPECT_EQ(*again.problems, *first.problems);
}

TEST(Translator, ABrokenOrMissingSecretKeepsTheLastGoodCertificate) {
  Options options;
  options.classless = Classless::kServed;
  Translator translator(options);
  Held held;
  held.apply(translator.apply({.upserts = objects_of(read_testdata("tls_redirects.in.yaml"))},
                              4'000'000'000));
  const std::string name = "RESOURCE_TYPE_CERTIFICATE default/shop";
  ASSERT_TRUE(held.resources().contains(name));
  const v1::Resource good = held.resources().at(name);

  auto broken = std::make_shared<model::Object>();
  broken->key = {Kind::kSecret, "default", "shop"};
  broken->body = kubernetes::Secret();
  Translation translation = translator.apply({.upserts = {broken}}, 4'000'000'000);
  EXPECT_TRUE(translation.upserts.empty());
  EXPECT_TRUE(translation.removals.empty());
  ASSERT_EQ(translation.problems->size(), 1u);
  EXPECT_EQ(translation.problems->front().reason, model::Reason::kInvalidCertificate);

  translation = translator.apply({.removals = {broken->key}}, 4'000'000'000);
  EXPECT_TRUE(translation.removals.empty());
  EXPECT_EQ(translation.problems->front().reason, model::Reason::kSecretNotFound);
  EXPECT_EQ(translator.last_good().at("default/shop").chain_pem, good.certificate().chain_pem());

  // Once no Ingress wants it, it is forgotten, key and all.
  translation =
      translator.apply({.removals = {{Kind::kIngress, "default", "front"}}}, 4'000'000'000);
  EXPECT_TRUE(translator.last_good().empty());
}

TEST(Translator, WarnsOfCertificatesOutOfDateAsTimePasses) {
  Options options;
  options.classless = Classless::kServed;
  Translator translator(options);
  translator.apply({.upserts = objects_of(read_testdata("tls_redirects.in.yaml"))}, 4'000'000'000);
  for (const int64_t now : {int64_t{0}, int64_t{9'000'000'000}}) {
    const Translation translation = translator.apply({}, now);
    ASSERT_EQ(translation.problems->size(), 1u);
    EXPECT_EQ(translation.problems->front().reason, model::Reason::kCertificateExpired);
  }
  EXPECT_TRUE(translator.apply({}, 4'000'000'000).problems->empty());
}

// 10,000 Ingresses and Services, 30,000 endpoints. The bounds here only catch what is far off
// (debug and sanitizer builds are many times slower); the figures are in
// docs/design/0006-translate.md.
TEST(Translator, TenThousandRoutesAndOneChangedEndpoint) {
  constexpr int kCount = 10'000;
  std::vector<ObjectPtr> objects;
  const auto slice_of = [](int i, int version) {
    auto object = std::make_shared<model::Object>();
    const std::string name = "s" + std::to_string(i);
    object->key = {Kind::kEndpointSlice, "default", name};
    kubernetes::EndpointSlice slice;
    (*slice.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = name;
    auto& port = *slice.add_ports();
    port.set_name("http");
    port.set_port(8080 + version);
    for (int e = 0; e < 3; ++e) {
      slice.add_endpoints()->add_addresses("10." + std::to_string(i >> 8) + "." +
                                           std::to_string(i & 255) + "." + std::to_string(e + 1));
    }
    object->body = std::move(slice);
    return object;
  };
  for (int i = 0; i < kCount; ++i) {
    const std::string name = "s" + std::to_string(i);
    auto service = std::make_shared<model::Object>();
    service->key = {Kind::kService, "default", name};
    kubernetes::Service body;
    body.mutable_spec()->add_ports()->set_port(80);
    body.mutable_spec()->mutable_ports(0)->set_name("http");
    service->body = std::move(body);
    auto ingress = std::make_shared<model::Object>();
    ingress->key = {Kind::kIngress, "default", name};
    kubernetes::Ingress route;
    auto& rule = *route.mutable_spec()->add_rules();
    rule.set_host(name + ".example.com");
    auto& path = *rule.mutable_http()->add_paths();
    path.set_path("/");
    path.set_path_type("Prefix");
    path.mutable_backend()->mutable_service()->set_name(name);
    path.mutable_backend()->mutable_service()->mutable_port()->set_number(80);
    ingress->body = std::move(route);
    objects.insert(objects.end(), {service, ingress, slice_of(i, 0)});
  }
  Options options;
  options.classless = Classless::kServed;
  Translator translator(options);
  const auto ms = [](auto from) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - from)
        .count();
  };
  auto begin = std::chrono::steady_clock::now();
  const Translation full = translator.apply({.upserts = objects}, 0);
  const double full_ms = ms(begin);
  EXPECT_EQ(full.upserts.size(), 3u * kCount + 2);
  EXPECT_TRUE(full.problems->empty());
  begin = std::chrono::steady_clock::now();
  constexpr int kChanges = 200;
  for (int i = 0; i < kChanges; ++i) {
    EXPECT_EQ(translator.apply({.upserts = {slice_of(i * 37, 1)}}, 0).upserts.size(), 1u);
  }
  const double change_ms = ms(begin) / kChanges;
  printf("full %.0f ms, one endpoint %.3f ms\n", full_ms, change_ms);
  EXPECT_LT(full_ms, 20'000);
  EXPECT_LT(change_ms, 20);
}

}  // namespace
}  // namespace ringway::translate
