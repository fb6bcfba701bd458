#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "router/router.h"

namespace spillway {

// A provider that is asked for what isn't, or can't be, served here.
struct ProviderStatus {
  // What isn't asked of it for a while, and why.
  struct Shunned {
    std::string model;  // empty: all of them
    std::string reason;
    absl::Duration retry_in;
  };
  std::string name;
  bool any_model = false;  // asked for every name that isn't known here
  int64_t models = 0;      // in its map
  std::vector<Shunned> shunned;
};

// How a server is, for people and for `spillway status`.
struct StatusReport {
  std::string version;
  absl::Duration up;
  bool draining = false;
  std::vector<ModelInfo> models;
  std::vector<ReplicaStatus> replicas;
  std::vector<ProviderStatus> providers = {};
  std::vector<std::string> problems;  // lines of its log, the latest last
};

// One JSON object; its keys are those that StatusReport and what is in it have.
std::string StatusJson(const StatusReport& report);

}  // namespace spillway
