// AdmissionReview (admission.k8s.io/v1) in, verdict out. Pure; any thread.
//
// A verdict speaks of what the object itself does wrong. What may be mended by another object that
// comes a moment later (a Service, a Secret, an IngressClass) is a warning: `kubectl apply` of a
// folder must not depend on the order of its files.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/model/object.h"
#include "controlplane/model/problem.h"
#include "controlplane/translate/translator.h"

namespace ringway::admission {

// An API server takes objects of at most 1.5 MiB; a review holds two of them, and some words.
inline constexpr size_t kReviewBytesMax = 6u << 20;

struct Review {
  std::string uid;           // request.uid, given back in the response.
  model::ObjectPtr ingress;  // nullptr: nothing to judge (why: `reason_to_allow`), or unreadable.
  std::string reason_to_allow;           // For the log: "DELETE", "unchanged", ...
  std::vector<model::Problem> problems;  // Of reading request.object.
};

// The error is for status 400: not a review at all.
std::expected<Review, std::string> read_review(std::string_view body);

struct Verdict {
  bool allowed = true;
  std::string message;                // Why not; for the person who ran kubectl.
  std::vector<std::string> warnings;  // kubectl prints them; each at most 256 bytes.
};

// What is refused: an error of the object's own making.
bool is_own_fault(const model::Problem& problem);
Verdict judge(const Review& review, const translate::Preview& preview);

// The answer's body. REQUIRES: `verdict` is about `review`.
std::string write_review(const Review& review, const Verdict& verdict);

}  // namespace ringway::admission
