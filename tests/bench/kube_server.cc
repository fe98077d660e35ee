// A pretended API server with a cluster of a given size, for kube_scale.py. Prints its URL; a line on
// standard input "touch N" changes N slices, one after the other; ends with its input.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "controlplane/kube/testing/fake_api_server.h"

namespace {

constexpr int kEndpointsPerSlice = 10;

int number(char** arguments, int index) { return std::atoi(arguments[index]); }

}  // namespace

int main(int count, char** arguments) {
  using ringway::kube::FakeApiServer;
  if (count != 5) {
    std::fputs("usage: bench_kube_server INGRESSES SERVICES ENDPOINTS STREAM_LISTS\n", stderr);
    return 2;
  }
  const int ingresses = number(arguments, 1), services = number(arguments, 2);
  const int slices = number(arguments, 3) / kEndpointsPerSlice;
  const auto space = [](int i) { return "team-" + std::to_string(i % 100); };
  const auto service_name = [&](int i) { return "app-" + std::to_string(i % services); };
  FakeApiServer server;
  for (const char* plural : {"ingresses", "services", "endpointslices", "ingressclasses"}) {
    server.behave(plural, {.streams_lists = number(arguments, 4) != 0});
  }
  server.put("ingressclasses", ringway::kube::fake_class("ringway", "ringway.dev/ingress"));
  for (int i = 0; i < ingresses; ++i) {
    server.put("ingresses", ringway::kube::fake_ingress(space(i), "front-" + std::to_string(i),
                                                        service_name(i)));
  }
  for (int i = 0; i < services; ++i) {
    server.put("services", ringway::kube::fake_service(space(i), service_name(i)));
  }
  for (int i = 0; i < slices; ++i) {
    server.put("endpointslices",
               ringway::kube::fake_slice(space(i), service_name(i), i, kEndpointsPerSlice));
  }
  std::printf("%s\n", server.url().c_str());
  std::fflush(stdout);
  int next = 0;
  for (std::string line; std::getline(std::cin, line);) {
    const int touches = line.starts_with("touch ") ? std::atoi(line.c_str() + 6) : 0;
    for (int i = 0; i < touches; ++i) {
      const int slice = next++ % slices;
      server.put("endpointslices",
                 ringway::kube::fake_slice(space(slice), service_name(slice), slice,
                                           kEndpointsPerSlice - next / slices % 2 - 1));
    }
    for (const char* plural : {"ingresses", "services", "endpointslices", "ingressclasses"}) {
      server.bookmark(plural);
    }
    std::printf("done\n");
    std::fflush(stdout);
  }
}
