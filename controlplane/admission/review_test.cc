#include "controlplane/admission/review.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/random.h"

namespace ringway::admission {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

json ingress(const std::string& path = "/") {
  return json::parse(R"({"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":
    {"name":"front","namespace":"shop","uid":"u","managedFields":[{"fieldsV1":{"f:spec":{}}}]},
    "spec":{"ingressClassName":"ringway","rules":[{"host":"a.example.com","http":{"paths":[
    {"pathType":"Prefix","path":")" +
                     path + R"(","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]},
    "status":{"loadBalancer":{}}})");
}

std::string review_of(const json& object, const json& old = nullptr,
                      const std::string& operation = "CREATE") {
  return json{{"apiVersion", "admission.k8s.io/v1"},
              {"kind", "AdmissionReview"},
              {"request",
               {{"uid", "705ab4f5-6393-11e8-b7cc-42010a800002"},
                {"kind", {{"group", "networking.k8s.io"}, {"version", "v1"}, {"kind", "Ingress"}}},
                {"operation", operation},
                {"object", object},
                {"oldObject", old},
                {"dryRun", false}}}}
      .dump();
}

model::Problem problem(model::Reason reason, model::Severity severity, std::string message) {
  return {.object = {model::Kind::kIngress, "shop", "front"},
          .field = "spec",
          .reason = reason,
          .severity = severity,
          .message = std::move(message)};
}

TEST(ReadReviewTest, AnIngressToJudge) {
  const auto review = read_review(review_of(ingress()));
  ASSERT_TRUE(review.has_value()) << review.error();
  ASSERT_NE(review->ingress, nullptr);
  EXPECT_EQ(review->uid, "705ab4f5-6393-11e8-b7cc-42010a800002");
  EXPECT_EQ(review->ingress->key.ns, "shop");
  EXPECT_EQ(review->reason_to_allow, "");
  EXPECT_THAT(review->problems, IsEmpty());
}

TEST(ReadReviewTest, WhatIsNotJudged) {
  json deleted = ingress();
  deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  json labelled = ingress();
  labelled["metadata"]["labels"] = {{"a", "b"}};
  labelled["metadata"]["resourceVersion"] = "7";
  labelled["status"]["loadBalancer"]["ingress"] = json::array({{{"ip", "192.0.2.1"}}});
  json pod = json::parse(review_of(ingress()));
  pod["request"]["kind"] = {{"group", ""}, {"version", "v1"}, {"kind", "Pod"}};
  for (const auto& [body, reason] : std::vector<std::pair<std::string, std::string>>{
           {review_of(nullptr, ingress(), "DELETE"), "DELETE"},
           {review_of(ingress(), nullptr, "CONNECT"), "CONNECT"},
           {review_of(deleted, ingress(), "UPDATE"), "being deleted"},
           {review_of(labelled, ingress(), "UPDATE"), "unchanged"},
           {pod.dump(), "only Ingresses"}}) {
    const auto review = read_review(body);
    ASSERT_TRUE(review.has_value()) << reason << ": " << review.error();
    EXPECT_THAT(review->reason_to_allow, HasSubstr(reason));
    EXPECT_EQ(review->ingress, nullptr);
    EXPECT_TRUE(judge(*review, {}).allowed);
  }
}

TEST(ReadReviewTest, AChangeOfWhatIsReadIsJudged) {
  const auto path = read_review(review_of(ingress("/new"), ingress("/old"), "UPDATE"));
  ASSERT_TRUE(path.has_value());
  EXPECT_NE(path->ingress, nullptr);
  json annotated = ingress();
  annotated["metadata"]["annotations"] = {{"nginx.ingress.kubernetes.io/ssl-redirect", "maybe"}};
  const auto annotation = read_review(review_of(annotated, ingress(), "UPDATE"));
  ASSERT_TRUE(annotation.has_value());
  EXPECT_NE(annotation->ingress, nullptr);
}

TEST(ReadReviewTest, NoReviewAtAll) {
  json v1beta1 = json::parse(review_of(ingress()));
  v1beta1["apiVersion"] = "admission.k8s.io/v1beta1";
  json nameless = json::parse(review_of(ingress()));
  nameless["request"].erase("uid");
  json wrong_uid = json::parse(review_of(ingress()));
  wrong_uid["request"]["uid"] = json::array({1});
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"),
        std::string(R"({"kind":"AdmissionReview"})"), v1beta1.dump(), nameless.dump(),
        wrong_uid.dump(), review_of(nullptr), std::string(100'000, '['),
        std::string(kReviewBytesMax + 1, ' ')}) {
    EXPECT_FALSE(read_review(body).has_value()) << body.substr(0, 60);
  }
}

TEST(ReadReviewTest, AnObjectThatDoesNotDecodeIsRefusedWithItsField) {
  json wrong = ingress();
  wrong["spec"]["rules"][0]["host"] = 7;
  const auto review = read_review(review_of(wrong));
  ASSERT_TRUE(review.has_value());
  const Verdict verdict = judge(*review, {});
  EXPECT_FALSE(verdict.allowed);
  EXPECT_THAT(verdict.message, HasSubstr("spec.rules[0].host"));
}

TEST(ReadReviewTest, AnyBytesEndInAnAnswer) {
  const std::string good = review_of(ingress(), ingress("/o"), "UPDATE");
  Random random(1);
  size_t read = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (uint32_t edits = 1 + random.below(4); edits > 0; --edits) {
      const uint32_t at = random.below(static_cast<uint32_t>(bytes.size()));
      if (random.chance(30)) {
        bytes.erase(at, 1 + random.below(20));
      } else {
        bytes[at] = static_cast<char>(random.below(256));
      }
      if (bytes.empty()) break;
    }
    const auto review = read_review(bytes);
    if (!review) continue;
    ++read;
    const std::string answer = write_review(*review, judge(*review, {}));
    EXPECT_TRUE(json::accept(answer)) << answer;
  }
  EXPECT_GT(read, 100u);
}

TEST(JudgeTest, OnlyOwnErrorsRefuse) {
  const auto review = read_review(review_of(ingress()));
  using enum model::Reason;
  translate::Preview preview;
  preview.problems = {
      problem(kServiceNotFound, model::Severity::kError, "Service shop/web does not exist"),
      problem(kUnsupportedAnnotation, model::Severity::kWarning, "is not supported")};
  Verdict verdict = judge(*review, preview);
  EXPECT_TRUE(verdict.allowed);
  EXPECT_THAT(verdict.warnings,
              ElementsAre("spec: Service shop/web does not exist", "spec: is not supported"));
  preview.problems.push_back(problem(kConflict, model::Severity::kError, "taken by shop/older"));
  verdict = judge(*review, preview);
  EXPECT_FALSE(verdict.allowed);
  EXPECT_THAT(verdict.message, HasSubstr("spec: taken by shop/older"));
  EXPECT_EQ(verdict.warnings.size(), 2u);
}

TEST(JudgeTest, WhatItIsWorthToSayIsBounded) {
  const auto review = read_review(review_of(ingress()));
  translate::Preview preview;
  for (int i = 0; i < 1000; ++i) {
    preview.problems.push_back(problem(model::Reason::kInvalidValue, model::Severity::kError,
                                       std::to_string(i) + std::string(80, 'x')));
    preview.others.push_back(
        problem(model::Reason::kConflict, model::Severity::kError, std::string(1000, 'y')));
  }
  const Verdict verdict = judge(*review, preview);
  EXPECT_LT(verdict.message.size(), 2000u);
  EXPECT_THAT(verdict.message, HasSubstr("and 990 more"));
  size_t bytes = 0;
  for (const std::string& warning : verdict.warnings) {
    EXPECT_LE(warning.size(), 256u);
    bytes += warning.size();
  }
  EXPECT_LE(bytes, 4096u);
}

TEST(WriteReviewTest, IsWhatTheApiServerReads) {
  const auto review = read_review(review_of(ingress()));
  const json yes = json::parse(write_review(*review, {.warnings = {"careful"}}));
  EXPECT_EQ(yes, json::parse(R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",
    "response":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true,
    "warnings":["careful"]}})"));
  const json no = json::parse(write_review(*review, {.allowed = false, .message = "because"}));
  EXPECT_EQ(no["response"]["allowed"], false);
  EXPECT_EQ(no["response"]["status"]["message"], "because");
  EXPECT_EQ(no["response"]["status"]["code"], 422);
}

}  // namespace
}  // namespace ringway::admission
