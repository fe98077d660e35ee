#include "controlplane/translate/testing.h"

#include <google/protobuf/text_format.h>

#include "base/check.h"
#include "controlplane/model/manifest.h"

namespace ringway::translate {

std::vector<model::ObjectPtr> objects_of(std::string_view yaml) {
  model::Manifest manifest = model::read_manifest("in.yaml", yaml);
  for (const model::Problem& problem : manifest.problems) {
    fprintf(stderr, "%s\n", format(problem).c_str());
  }
  CHECK(manifest.problems.empty());
  return std::move(manifest.objects);
}

void Held::apply(const Translation& translation) {
  const auto key = [](v1::ResourceType type, const std::string& name) {
    return v1::ResourceType_Name(type) + " " + name;
  };
  for (const v1::ResourceName& name : translation.removals) {
    CHECK(resources_.erase(key(name.type(), name.name())) == 1);
  }
  for (const v1::Resource& resource : translation.upserts) {
    CHECK(resource.version() != 0);
    resources_[key(type_of(resource), resource.name())] = resource;
  }
  problems_ = translation.problems;
}

std::string Held::dump() const {
  std::string out;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseShortRepeatedPrimitives(true);
  for (const auto& [name, resource] : resources_) {
    v1::Resource shown = resource;
    shown.clear_version();
    if (shown.has_certificate()) {
      shown.mutable_certificate()->set_chain_pem("(chain)");
      shown.mutable_certificate()->set_private_key_pem("(key)");
    }
    std::string text;
    CHECK(printer.PrintToString(shown, &text));
    out += "resource {\n" + text + "}\n";
  }
  for (const model::Problem& problem : *problems_) {
    out += "# " + std::string(reason_name(problem.reason)) + ": " + format(problem) + "\n";
  }
  return out;
}

std::string Held::exact() const {
  std::string out;
  for (const auto& [name, resource] : resources_)
    out += name + "\n" + resource.ShortDebugString() + "\n";
  for (const model::Problem& problem : *problems_) out += format(problem) + "\n";
  return out;
}

}  // namespace ringway::translate
