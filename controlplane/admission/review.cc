#include "controlplane/admission/review.h"

#include <google/protobuf/util/message_differencer.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "controlplane/model/manifest.h"
#include "controlplane/model/tree.h"

namespace ringway::admission {
namespace {

using model::Problem;
using model::Reason;
using model::Tree;

// Of the API server (k8s.io/apiserver/pkg/warning): 256 per warning, 4096 together; what is over
// is dropped there, cut here.
constexpr size_t kWarningBytesMax = 256;
constexpr size_t kWarningsBytesMax = 4096;
constexpr size_t kReasonsMax = 10;  // In a message for people.

// managedFields of an object nest a few levels for each level of it.
constexpr model::TreeLimits kLimits{
    .bytes_max = kReviewBytesMax, .depth_max = 64, .nodes_max = 1u << 20};

const Tree* at(const Tree* tree, std::initializer_list<std::string_view> path) {
  for (const std::string_view key : path) {
    if (tree == nullptr) return nullptr;
    tree = tree->find(key);
  }
  return tree;
}

std::string text(const Tree* tree) {
  return tree != nullptr && tree->type == Tree::Type::kString ? tree->text : std::string();
}

model::ObjectPtr read_ingress(const Tree* tree, std::vector<Problem>& problems) {
  if (tree == nullptr || tree->type != Tree::Type::kMapping) return nullptr;
  model::Manifest manifest;
  model::read_document("", 1, *tree, manifest);
  for (Problem& problem : manifest.problems) {
    problem.location = {};  // A line of a review says nothing to anybody.
    problems.push_back(std::move(problem));
  }
  const bool one = manifest.objects.size() == 1;
  if (!one || manifest.objects[0]->key.kind != model::Kind::kIngress) return nullptr;
  auto object = std::make_shared<model::Object>(*manifest.objects[0]);
  object->location = {};
  return object;
}

// Whether the translation reads the same in both: labels, finalizers, managedFields and status may
// differ. An object that was let in earlier must stay editable in all that is not judged.
bool same_to_us(const model::Object& a, const model::Object& b) {
  auto left = std::get<kubernetes::Ingress>(a.body);
  auto right = std::get<kubernetes::Ingress>(b.body);
  for (kubernetes::Ingress* ingress : {&left, &right}) {
    const auto annotations = ingress->metadata().annotations();
    ingress->clear_metadata();
    *ingress->mutable_metadata()->mutable_annotations() = annotations;
  }
  return google::protobuf::util::MessageDifferencer::Equals(left.metadata(), right.metadata()) &&
         google::protobuf::util::MessageDifferencer::Equals(left.spec(), right.spec());
}

std::string describe(const Problem& problem) {
  return problem.field.empty() ? problem.message : problem.field + ": " + problem.message;
}

void warn(Verdict& verdict, std::string text) {
  if (text.size() > kWarningBytesMax) text = text.substr(0, kWarningBytesMax - 3) + "...";
  size_t bytes = text.size();
  for (const std::string& warning : verdict.warnings) bytes += warning.size();
  if (bytes <= kWarningsBytesMax) verdict.warnings.push_back(std::move(text));
}

}  // namespace

std::expected<Review, std::string> read_review(std::string_view body) {
  if (body.size() > kReviewBytesMax) return std::unexpected("the review is too large");
  const auto tree = model::parse_json(body, kLimits);
  if (!tree) return std::unexpected("not JSON: " + tree.error().message);
  if (text(tree->find("kind")) != "AdmissionReview" ||
      text(tree->find("apiVersion")) != "admission.k8s.io/v1") {
    return std::unexpected("not an AdmissionReview of admission.k8s.io/v1");
  }
  Review review;
  const Tree* request = tree->find("request");
  review.uid = text(at(request, {"uid"}));
  if (review.uid.empty()) return std::unexpected("request.uid is missing");
  if (text(at(request, {"kind", "kind"})) != "Ingress" ||
      text(at(request, {"kind", "group"})) != "networking.k8s.io") {
    review.reason_to_allow = "only Ingresses of networking.k8s.io are judged";
    return review;
  }
  const std::string operation = text(at(request, {"operation"}));
  if (operation != "CREATE" && operation != "UPDATE") {
    review.reason_to_allow = operation;
    return review;
  }
  const Tree* object = at(request, {"object"});
  if (const Tree* deleting = at(object, {"metadata", "deletionTimestamp"});
      deleting != nullptr && deleting->type != Tree::Type::kNull) {
    review.reason_to_allow = "being deleted";  // Its finalizers must be able to go.
    return review;
  }
  review.ingress = read_ingress(object, review.problems);
  if (review.ingress == nullptr && review.problems.empty())
    return std::unexpected("request.object is missing");
  std::vector<Problem> ignored;
  const model::ObjectPtr before = read_ingress(at(request, {"oldObject"}), ignored);
  if (review.ingress != nullptr && before != nullptr && same_to_us(*review.ingress, *before)) {
    review.ingress = nullptr;
    review.reason_to_allow = "unchanged";
  }
  return review;
}

bool is_own_fault(const Problem& problem) {
  if (problem.severity == model::Severity::kWarning) return false;
  switch (problem.reason) {
    case Reason::kClassNotFound:
    case Reason::kServiceNotFound:
    case Reason::kServicePortNotFound:
    case Reason::kExternalName:
    case Reason::kNoEndpointSlice:
    case Reason::kInvalidEndpoint:
    case Reason::kSecretNotFound:
    case Reason::kInvalidCertificate:
    case Reason::kCertificateExpired:
    case Reason::kCertificateHost:
      return false;  // Another object is at fault, or not there yet.
    default:
      return true;  // A reason that is added later refuses until it is thought about.
  }
}

Verdict judge(const Review& review, const translate::Preview& preview) {
  Verdict verdict;
  if (!review.reason_to_allow.empty()) return verdict;
  std::vector<std::string> reasons;
  for (const auto* problems : {&review.problems, &preview.problems}) {
    for (const Problem& problem : *problems) {
      if (is_own_fault(problem)) {
        reasons.push_back(describe(problem));
      } else {
        warn(verdict, describe(problem));
      }
    }
  }
  for (const Problem& problem : preview.others)
    warn(verdict, model::to_string(problem.object) + ": " + describe(problem));
  if (reasons.empty()) return verdict;
  verdict.allowed = false;
  verdict.message = "Ringway would not serve this Ingress as written: ";
  for (size_t i = 0; i < reasons.size() && i < kReasonsMax; ++i)
    verdict.message += (i == 0 ? "" : "; ") + reasons[i];
  if (reasons.size() > kReasonsMax)
    verdict.message += "; and " + std::to_string(reasons.size() - kReasonsMax) + " more";
  return verdict;
}

std::string write_review(const Review& review, const Verdict& verdict) {
  nlohmann::json response = {{"uid", review.uid}, {"allowed", verdict.allowed}};
  if (!verdict.allowed) {
    response["status"] = {{"code", 422}, {"reason", "Invalid"}, {"message", verdict.message}};
  }
  if (!verdict.warnings.empty()) response["warnings"] = verdict.warnings;
  const nlohmann::json out = {{"apiVersion", "admission.k8s.io/v1"},
                              {"kind", "AdmissionReview"},
                              {"response", std::move(response)}};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace ringway::admission
