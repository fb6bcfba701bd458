#include "server/cli/token_commands.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "server/auth/sqlite_store.h"
#include "server/auth/token.h"

namespace spillway {
namespace {

constexpr size_t kNameBytesMax = 64;

absl::Status CheckName(const char* what, const std::string& name) {
  bool fits = !name.empty() && name.size() <= kNameBytesMax;
  for (char c : name) fits = fits && c > ' ' && c != 0x7f;
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a token's ", what, " must have 1 to ",
                                                 kNameBytesMax, " characters and no spaces"));
}

std::string FormatDate(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M", time, absl::LocalTimeZone());
}

absl::StatusOr<std::string> Create(const TokenCommand& command, Store& store, absl::Time now) {
  RETURN_IF_ERROR(CheckName("name", command.name));
  RETURN_IF_ERROR(CheckName("tenant", command.tenant));
  const std::string token = NewToken();
  RETURN_IF_ERROR(store.AddToken(MakeTokenRecord(token, command.name, command.tenant, now)));
  return token + "\n";
}

absl::StatusOr<std::string> List(const Store& store) {
  ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, store.ListTokens());
  if (tokens.empty()) return "no tokens yet; make one with: spillway token create NAME\n";
  std::string out =
      absl::StrFormat("%-14s %-24s %-24s %-17s %s\n", "ID", "NAME", "TENANT", "CREATED", "STATE");
  for (const TokenRecord& token : tokens) {
    const std::string state = token.revoked ? "revoked " + FormatDate(*token.revoked) : "live";
    absl::StrAppendFormat(&out, "%-14s %-24s %-24s %-17s %s\n", token.id, token.name, token.tenant,
                          FormatDate(token.created), state);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> RunTokenCommand(const TokenCommand& command, Store& store,
                                            absl::Time now) {
  switch (command.action) {
    case TokenCommand::Action::kCreate:
      return Create(command, store, now);
    case TokenCommand::Action::kList:
      return List(store);
    case TokenCommand::Action::kRevoke:
      RETURN_IF_ERROR(store.RevokeToken(command.name, now));
      return absl::StrCat("revoked ", command.name, "\n");
  }
  return absl::InternalError("unknown token command");
}

absl::StatusOr<std::unique_ptr<Store>> OpenDataFolder(const std::string& folder) {
  std::error_code error;
  const std::filesystem::path path(folder);
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  if (!error && ::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    error = std::error_code(errno, std::generic_category());
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("can't make the data folder ", folder, ": ", error.message()));
  }
  return OpenSqliteStore({.path = folder + "/spillway.db"});
}

}  // namespace spillway
