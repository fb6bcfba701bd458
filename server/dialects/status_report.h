#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "router/router.h"

namespace spillway {

// How a server is, for people and for `spillway status`.
struct StatusReport {
  std::string version;
  absl::Duration up;
  bool draining = false;
  std::vector<ModelInfo> models;
  std::vector<ReplicaStatus> replicas;
  std::vector<std::string> problems;  // lines of its log, the latest last
};

// One JSON object; its keys are those that StatusReport and what is in it have.
std::string StatusJson(const StatusReport& report);

}  // namespace spillway
