// The server over real sockets: who gets in, what is bounded, and files that change under it.
#include "controlplane/admission/webhook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.h"
#include "controlplane/admission/review.h"
#include "controlplane/identity/x509.h"

namespace ringway::admission {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr identity::Validity kLong{1'000'000'000, 4'000'000'000};

std::string review(const std::string& name = "front") {
  return R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1",
    "kind":{"group":"networking.k8s.io","version":"v1","kind":"Ingress"},"operation":"CREATE",
    "object":{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":")" +
         name + R"(","namespace":"shop"},"spec":{}}}})";
}

class WebhookTest : public ::testing::Test {
 protected:
  WebhookTest()
      : folder_("/tmp/ringway-webhook-" + std::to_string(::getpid())),
        ca_(identity::make_authority("server ca", kLong)),
        clients_(identity::make_authority("client ca", kLong)) {
    std::filesystem::create_directory(folder_);
    write("ca.crt", ca_.certificate);
    write("clients.crt", clients_.certificate);
    write_pair("server", ca_, "first");
    write_pair("apiserver", clients_, "kube-apiserver");
    write_pair("stranger", ca_, "stranger");
  }
  ~WebhookTest() override {
    webhook_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string file(const std::string& name) const { return folder_ + "/" + name; }
  // As others do it: beside, then over it.
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name + ".new")) << text;
    std::filesystem::rename(file(name + ".new"), file(name));
  }
  void write_pair(const std::string& name, const identity::KeyPair& ca,
                  const std::string& common_name) const {
    const std::string key = identity::make_key();
    const auto leaf = identity::sign(
        ca, key,
        {.common_name = common_name, .names = {"127.0.0.1"}, .server = true, .client = true},
        kLong);
    write(name + ".crt", leaf.value());
    write(name + ".key", key);
  }

  void start(bool with_client_ca = false) {
    WebhookOptions options{"127.0.0.1:0", {file("server.crt"), file("server.key"), ""}};
    if (with_client_ca) options.tls.client_ca = file("clients.crt");
    auto started = Webhook::start(
        options,
        [this](const model::Object& object) -> std::optional<translate::Preview> {
          if (not_ready_) return std::nullopt;
          if (object.key.name == "boom") throw std::runtime_error("a bug");
          translate::Preview preview{.served = true};
          if (object.key.name == "bad") {
            preview.problems.push_back({.object = object.key,
                                        .field = "spec.rules",
                                        .reason = model::Reason::kInvalidValue,
                                        .message = "is bad"});
          }
          return preview;
        },
        stats_);
    ASSERT_TRUE(started.has_value()) << started.error();
    webhook_ = *std::move(started);
  }

  std::unique_ptr<httplib::SSLClient> client(const std::string& certificate = "") const {
    auto made = certificate.empty()
                    ? std::make_unique<httplib::SSLClient>("127.0.0.1", webhook_->port())
                    : std::make_unique<httplib::SSLClient>("127.0.0.1", webhook_->port(),
                                                           file(certificate + ".crt"),
                                                           file(certificate + ".key"));
    made->set_ca_cert_path(file("ca.crt"));
    made->set_keep_alive(true);
    return made;
  }
  httplib::Result post(const std::string& body, const std::string& certificate = "",
                       const std::string& type = "application/json") const {
    return client(certificate)->Post("/networking/v1/ingresses?timeout=10s", body, type);
  }

  const std::string folder_;
  const identity::KeyPair ca_, clients_;
  bool not_ready_ = false;
  WebhookStats stats_;
  std::unique_ptr<Webhook> webhook_;
};

TEST_F(WebhookTest, AnswersReviews) {
  start();
  const auto yes = post(review());
  ASSERT_TRUE(yes) << to_string(yes.error());
  EXPECT_EQ(yes->status, 200);
  EXPECT_EQ(json::parse(yes->body)["response"]["allowed"], true);
  const auto no = post(review("bad"));
  ASSERT_TRUE(no);
  EXPECT_EQ(no->status, 200);
  EXPECT_EQ(json::parse(no->body)["response"]["allowed"], false);
  EXPECT_THAT(json::parse(no->body)["response"]["status"]["message"].get<std::string>(),
              HasSubstr("spec.rules: is bad"));
  EXPECT_EQ(stats_.allowed, 1u);
  EXPECT_EQ(stats_.refused, 1u);
  EXPECT_GT(stats_.roundtrip_ns_last, 0u);
}

TEST_F(WebhookTest, WhatIsNoReviewIsAnErrorAndNotAVerdict) {
  start();
  EXPECT_EQ(post("{")->status, 400);
  EXPECT_EQ(post(review(), "", "text/plain")->status, 415);
  EXPECT_EQ(post(review("boom"))->status, 500);
  EXPECT_EQ(client()->Get("/anything")->status, 404);
  EXPECT_EQ(client()->Get("/healthz")->status, 200);
  not_ready_ = true;
  EXPECT_EQ(post(review())->status, 503);
  EXPECT_EQ(stats_.failed, 4u);
  not_ready_ = false;
  EXPECT_EQ(post(review())->status, 200) << "and it goes on";
}

TEST_F(WebhookTest, ABodyIsBounded) {
  start();
  const auto large = post(std::string(kReviewBytesMax + 1, ' '));
  if (large) {
    EXPECT_EQ(large->status, 413);
  }  // Or the connection ended while it was sent.
  auto chunked = client()->Post(
      "/", httplib::Headers(),
      [](size_t offset, httplib::DataSink& sink) {
        const std::string piece(1 << 20, ' ');
        if (offset > 64u << 20 || !sink.write(piece.data(), piece.size())) return false;
        return true;
      },
      "application/json");
  EXPECT_FALSE(chunked && chunked->status == 200);
  EXPECT_EQ(post(review())->status, 200);
}

TEST_F(WebhookTest, WithAClientCaOnlyItsClientsGetIn) {
  start(true);
  EXPECT_FALSE(post(review())) << "no certificate";
  EXPECT_FALSE(post(review(), "stranger")) << "of another CA";
  EXPECT_EQ(stats_.allowed + stats_.failed, 0u) << "nothing of theirs was read";
  const auto known = post(review(), "apiserver");
  ASSERT_TRUE(known) << to_string(known.error());
  EXPECT_EQ(known->status, 200);
}

TEST_F(WebhookTest, FilesThatChangeAreReadAgain) {
  auto files = TlsFiles::load({file("server.crt"), file("server.key"), file("clients.crt")});
  ASSERT_TRUE(files.has_value()) << files.error();
  const auto first = (*files)->current();
  const auto look = [&] {  // Looks are a second apart.
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    return (*files)->current();
  };
  write("server.crt", "half written");
  EXPECT_EQ(look(), first) << "unusable: the old one stays";
  write_pair("server", ca_, "second");
  const auto second = look();
  EXPECT_NE(second, first);
  EXPECT_EQ(look(), second) << "unchanged files are not read";
}

TEST_F(WebhookTest, AHandshakeUsesTheNewCertificate) {
  start();
  ASSERT_TRUE(post(review()));
  const auto other = identity::make_authority("other ca", kLong);
  write_pair("server", other, "second");
  write("ca.crt", other.certificate);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  const auto after = post(review());
  ASSERT_TRUE(after) << to_string(after.error());
  EXPECT_EQ(after->status, 200);
}

TEST_F(WebhookTest, BadFilesAndAddressesAreOneLine) {
  const auto error = [&](const std::string& address, TlsPaths paths) {
    auto started = Webhook::start({address, std::move(paths)}, nullptr, stats_);
    return started ? "" : started.error();
  };
  const TlsPaths good{file("server.crt"), file("server.key"), ""};
  EXPECT_THAT(error("127.0.0.1:0", {file("none"), good.key, ""}), HasSubstr("No such file"));
  EXPECT_THAT(error("127.0.0.1:0", {good.key, good.key, ""}), HasSubstr("no PEM certificate"));
  EXPECT_THAT(error("127.0.0.1:0", {good.certificate, good.certificate, ""}),
              HasSubstr("no PEM private key"));
  EXPECT_THAT(error("127.0.0.1:0", {good.certificate, file("stranger.key"), ""}),
              HasSubstr("does not match"));
  EXPECT_THAT(error("127.0.0.1:0", {good.certificate, good.key, file("server.key")}),
              HasSubstr("no PEM certificate"));
  start();
  EXPECT_THAT(error("127.0.0.1:" + std::to_string(webhook_->port()), good),
              HasSubstr("cannot listen"));
}

}  // namespace
}  // namespace ringway::admission
