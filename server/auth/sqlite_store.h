#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/store.h"

namespace spillway {

struct SqliteStoreOptions {
  std::string path;  // made with mode 0600 if it isn't there; its folder must be
  absl::Duration lock_wait = absl::Seconds(2);  // for another process's write to end
};

// A Store in one SQLite file, in WAL mode: several processes of one machine may use it at once
// ("spillway token create" beside a server that runs).
//   UNAVAILABLE          the file can't be opened, or is locked
//   FAILED_PRECONDITION  it was made by a newer version, or is no store
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options);

}  // namespace spillway
