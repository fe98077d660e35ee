// Collects the problems of one object.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "controlplane/model/problem.h"

namespace ringway::translate {

class Report {
 public:
  // Both must outlive the report.
  Report(const model::ObjectKey& key, const model::Location& location,
         std::vector<model::Problem>& out)
      : key_(key), location_(location), out_(out) {}

  void error(std::string field, model::Reason reason, std::string message) {
    add(std::move(field), reason, model::Severity::kError, std::move(message));
  }
  void warning(std::string field, model::Reason reason, std::string message) {
    add(std::move(field), reason, model::Severity::kWarning, std::move(message));
  }

 private:
  void add(std::string field, model::Reason reason, model::Severity severity, std::string message) {
    out_.push_back({key_, location_, std::move(field), reason, severity, std::move(message)});
  }

  const model::ObjectKey& key_;
  const model::Location& location_;
  std::vector<model::Problem>& out_;
};

}  // namespace ringway::translate
