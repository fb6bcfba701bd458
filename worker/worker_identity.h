#pragma once

#include <string>

namespace spillway {

// What Describe says of every worker, whatever its model does.
struct WorkerIdentity {
  std::string model_name;
  std::string model_hash;
  std::string numerics_id;
  std::string architecture;
  std::string device;
  std::string build;
  std::string instance_id;  // another for each process
};

}  // namespace spillway
