// What the translation would say about an Ingress that is not there yet. Reads the graph, marks
// nothing: the units of its hosts are made on copies of the few sets that it would change.
#include <algorithm>

#include "base/check.h"
#include "controlplane/translate/graph.h"

namespace ringway::translate {
namespace {

constexpr char kYoungest[] = "9999";  // As a creationTimestamp: after every real one.

void sort_once(std::vector<model::Problem>& problems) {
  std::ranges::sort(problems);
  const auto rest = std::ranges::unique(problems);
  problems.erase(rest.begin(), rest.end());
}

}  // namespace

Preview Translator::Graph::preview(const model::Object& ingress) const {
  CHECK(ingress.key.kind == model::Kind::kIngress);
  Preview out;
  IngressFacts facts = read_ingress(ingress, classes_, options_, global_.defaults);
  if (facts.created.empty()) facts.created = kYoungest;
  out.problems = std::move(facts.problems);
  out.served = facts.served;
  if (facts.served) {
    std::set<std::string> hosts = facts.hosts;
    hosts.insert(facts.tls_hosts.begin(), facts.tls_hosts.end());
    for (const std::string& host : hosts) preview_host(host, facts, out);
    preview_certificates(facts, out);
    report_passthrough(facts, out.problems);
  }
  sort_once(out.problems);
  sort_once(out.others);
  return out;
}

ByAge Translator::Graph::users_with(const Index& index, const std::string& key,
                                    const IngressFacts& facts, bool uses) const {
  const auto at = index.find(key);
  ByAge users = at == index.end() ? ByAge() : at->second;
  if (const auto before = ingresses_.find(facts.id()); before != ingresses_.end()) {
    users.erase(&before->second);
  }
  if (uses) users.insert(&facts);
  return users;
}

void Translator::Graph::preview_host(const std::string& host, const IngressFacts& facts,
                                     Preview& out) const {
  const ByAge users = users_with(by_host_, host, facts, facts.hosts.contains(host));
  if (users.empty()) return;
  const auto tls_users = by_tls_host_.find(host);
  const bool tls = facts.tls_hosts.contains(host) ||
                   (tls_users != by_tls_host_.end() &&
                    std::ranges::any_of(tls_users->second, [&](const IngressFacts* user) {
                      return user->id() != facts.id();
                    }));
  // Whether the host's paths are regular expressions decides what each of them means.
  const auto now = by_host_.find(host);
  const bool regex =
      now != by_host_.end() && std::ranges::any_of(now->second, &IngressFacts::regex);
  const bool same = regex == std::ranges::any_of(users, &IngressFacts::regex);
  const bool uses = facts.hosts.contains(host);
  std::vector<model::Problem> problems;
  const v1::RouteTable table = translate_host(
      host, users, tls,
      [this](const IngressFacts& ingress, const BackendRef& ref) {
        return resolve(ingress.key.ns, ref, &ingress.settings);
      },
      problems, uses && same ? &facts : nullptr);
  out.ingresses_read += users.size();
  out.output_bytes += table.ByteSizeLong();
  const auto known = problems_.find({UnitKind::kHost, host});
  for (model::Problem& problem : problems) {
    if (problem.object == facts.key) {
      out.problems.push_back(std::move(problem));
    } else if (known == problems_.end() ||
               std::ranges::find(known->second, problem) == known->second.end()) {
      out.others.push_back(std::move(problem));
    }
  }
}

void Translator::Graph::preview_certificates(const IngressFacts& facts, Preview& out) const {
  std::vector<model::Problem> problems;
  Report report(facts.key, facts.location, problems);
  for (const TlsFact& tls : facts.tls) {
    if (tls.secret.empty()) continue;
    const Id id = facts.key.ns + "/" + tls.secret;
    CertificateUse use{&facts, tls.field, {}};
    for (const std::string& host : tls.hosts) {
      const ByAge users = users_with(by_tls_host_, host, facts, true);
      const IngressFacts* other = certificate_owner_other_than(users, host, id);
      if (other == nullptr) {
        use.hosts.push_back(host);
      } else {
        report.error(tls.field, model::Reason::kConflict,
                     "the host " + host + " has another certificate by the Ingress " + other->id());
      }
    }
    const model::Object* secret = find(model::Kind::kSecret, id);
    if (secret == nullptr) continue;
    const auto last_good = last_good_.find(id);
    translate_secret(id, secret, {use},
                     last_good == last_good_.end() ? nullptr : &last_good->second, problems);
  }
  for (model::Problem& problem : problems) {
    (problem.object == facts.key ? out.problems : out.others).push_back(std::move(problem));
  }
}

}  // namespace ringway::translate
