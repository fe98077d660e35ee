// Manifests out of any bytes: YAML and JSON reading, decoding, translation. Whatever comes in, the
// result must serialise, hold no control character where text is sent on, and be the same when
// objects arrive one by one.
#include <cstdint>
#include <set>
#include <string>

#include "base/check.h"
#include "controlplane/model/manifest.h"
#include "controlplane/translate/translator.h"

namespace {

using namespace ringway;

bool clean(const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  }
  return true;
}

void check(const v1::Resource& resource) {
  v1::Resource back;
  CHECK(back.ParseFromString(resource.SerializeAsString()));
  CHECK(clean(resource.name()));
  for (const v1::Route& route : resource.route_table().routes()) {
    CHECK(clean(route.redirect().location()) && clean(route.rewrite().template_()));
    CHECK(clean(route.path().exact()) && clean(route.path().prefix()) &&
          clean(route.path().regex()));
  }
  const v1::HttpCheck& http = resource.cluster().health_check().http();
  CHECK(clean(http.path()) && clean(http.host()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const char* file : {"a.yaml", "a.json"}) {
    model::Manifest manifest = model::read_manifest(file, text);
    for (const model::Problem& problem : manifest.problems) CHECK(clean(format(problem)));
    translate::Options options;
    options.classless = translate::Classless::kServed;
    translate::Translator translator(options), one_by_one(options);
    model::Changes changes;
    std::set<model::ObjectKey> seen;
    for (const model::ObjectPtr& object : manifest.objects) {
      if (seen.insert(object->key).second) changes.upserts.push_back(object);
    }
    const translate::Translation all = translator.apply(changes, 0);
    for (const v1::Resource& resource : all.upserts) check(resource);
    for (const model::Problem& problem : *all.problems) CHECK(clean(format(problem)));
    std::shared_ptr<const std::vector<model::Problem>> problems = one_by_one.apply({}, 0).problems;
    for (auto object = changes.upserts.rbegin(); object != changes.upserts.rend(); ++object) {
      problems = one_by_one.apply({.upserts = {*object}}, 0).problems;
    }
    CHECK(*problems == *all.problems);
  }
  return 0;
}
