// A controller without objects, for tests of the proxy's end: resources come from commands on
// standard input, each answered by one line.
//   put TYPE NAME TEXT      upsert; endpoints: TEXT = number of endpoints; others: any word
//   bulk COUNT ENDPOINTS    upserts endpoints "bulk/0".."bulk/COUNT-1" with that many endpoints
//   each
//   del TYPE NAME
//   commit                  applies and publishes; answers the version
//   status                  /proxies as one line of JSON
//   away                    sends all proxies away
// End of input ends the program. Arguments: LISTEN [CERTIFICATE KEY CA]. The first line of output
// is the TCP port.
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/log.h"
#include "controlplane/serve/admin.h"
#include "controlplane/serve/server.h"

namespace {

using ringway::v1::Resource;
using ringway::v1::ResourceName;
using ringway::v1::ResourceType;

const std::map<std::string, ResourceType> kTypes = {
    {"listener", ringway::v1::RESOURCE_TYPE_LISTENER},
    {"route_table", ringway::v1::RESOURCE_TYPE_ROUTE_TABLE},
    {"cluster", ringway::v1::RESOURCE_TYPE_CLUSTER},
    {"endpoints", ringway::v1::RESOURCE_TYPE_ENDPOINTS},
    {"certificate", ringway::v1::RESOURCE_TYPE_CERTIFICATE},
};

void fill_endpoints(Resource& resource, int count) {
  for (int i = 0; i < count; ++i) {
    auto& endpoint = *resource.mutable_endpoints()->add_endpoints();
    endpoint.set_address("10." + std::to_string(i / 65536) + "." + std::to_string(i / 256 % 256) +
                         "." + std::to_string(i % 256));
    endpoint.set_port(8080);
    endpoint.set_ready(true);
    endpoint.set_serving(true);
  }
}

Resource make(ResourceType type, const std::string& name, const std::string& text) {
  Resource resource;
  resource.set_name(name);
  switch (type) {
    case ringway::v1::RESOURCE_TYPE_LISTENER:
      resource.mutable_listener()->add_addresses(text);
      break;
    case ringway::v1::RESOURCE_TYPE_ROUTE_TABLE:
      resource.mutable_route_table()->set_host(text);
      break;
    case ringway::v1::RESOURCE_TYPE_CLUSTER:
      resource.mutable_cluster()->mutable_metadata()->set_service(text);
      break;
    case ringway::v1::RESOURCE_TYPE_ENDPOINTS:
      resource.mutable_endpoints();
      fill_endpoints(resource, std::stoi(text));
      break;
    default:
      resource.mutable_certificate()->set_chain_pem("chain of " + text);
      resource.mutable_certificate()->set_private_key_pem("key of " + text);
  }
  return resource;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 5) {
    std::fprintf(stderr, "usage: %s LISTEN [CERTIFICATE KEY CA]\n", argv[0]);
    return 2;
  }
  ringway::setup_log({.level = ringway::LogLevel::kError});  // Standard output is for answers.
  ringway::serve::ServerOptions options;
  options.listen = argv[1];
  if (argc == 5) {
    options.tls_certificate = argv[2];
    options.tls_key = argv[3];
    options.tls_client_ca = argv[4];
  }
  ringway::snapshot::Store store;
  auto server = ringway::serve::DiscoveryServer::start(options, store);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().c_str());
    return 1;
  }
  std::cout << (*server)->port() << std::endl;

  std::vector<Resource> upserts;
  std::vector<ResourceName> removals;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string command, type, name, text;
    words >> command >> type >> name >> text;
    if (command == "put") {
      upserts.push_back(make(kTypes.at(type), name, text));
    } else if (command == "bulk") {
      for (int i = 0; i < std::stoi(type); ++i) {
        upserts.push_back(
            make(ringway::v1::RESOURCE_TYPE_ENDPOINTS, "bulk/" + std::to_string(i), name));
      }
    } else if (command == "del") {
      removals.emplace_back().set_type(kTypes.at(type));
      removals.back().set_name(name);
    } else if (command == "commit") {
      store.apply(std::exchange(upserts, {}), std::exchange(removals, {}));
      (*server)->publish();
      std::cout << store.version() << std::endl;
      continue;
    } else if (command == "away") {
      (*server)->send_away("go elsewhere");
    } else if (command == "status") {
      std::string json = ringway::serve::proxies_json(**server, store);
      std::erase(json, '\n');
      std::cout << json << std::endl;
      continue;
    } else {
      std::cout << "unknown command" << std::endl;
      continue;
    }
    std::cout << "ok" << std::endl;
  }
  (*server)->stop();
}
