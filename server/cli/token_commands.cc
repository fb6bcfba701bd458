#include "server/cli/token_commands.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/money.h"
#include "common/status_macros.h"
#include "server/auth/eas_signature.h"
#include "server/auth/sqlite_store.h"
#include "server/auth/token.h"
#include "server/cli/token_changes.h"

namespace spillway {
namespace {

constexpr size_t kNameBytesMax = 64;
constexpr int64_t kEasSignersMax = 100;

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

// A signature doesn't say whose it is: each has to be tried.
absl::Status CheckRoomForSigner(const Store& store) {
  ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, store.ListTokens());
  const auto signers = std::ranges::count_if(
      tokens, [](const TokenRecord& token) { return !token.revoked && !token.eas_key.empty(); });
  if (signers < kEasSignersMax) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(kEasSignersMax,
                   " tokens may sign already, and no more can; revoke one first, or let the "
                   "client send its token"));
}

absl::StatusOr<std::string> Create(const TokenCommand& command, Store& store, absl::Time now) {
  RETURN_IF_ERROR(CheckName("name", command.name));
  RETURN_IF_ERROR(CheckName("tenant", command.tenant));
  const std::string token = NewToken();
  TokenRecord record = MakeTokenRecord(token, command.name, command.tenant, now);
  RETURN_IF_ERROR(ApplyChange(command.change, now, record));
  if (command.eas_signature) {
    RETURN_IF_ERROR(CheckRoomForSigner(store));
    record.eas_key = EasKey(token);
  }
  RETURN_IF_ERROR(store.AddToken(record));
  return token + "\n";
}

// The live token that is called so, else one that was.
absl::StatusOr<TokenRecord> Find(const Store& store, const std::string& id_or_name) {
  ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, store.ListTokens());
  const TokenRecord* found = nullptr;
  for (const TokenRecord& token : tokens) {
    if (token.id != id_or_name && token.name != id_or_name) continue;
    if (found == nullptr || found->revoked) found = &token;
  }
  if (found != nullptr) return *found;
  return absl::NotFoundError(absl::StrCat("no token has the id or name \"", id_or_name,
                                          "\"; spillway token list shows them"));
}

std::string StateOf(const TokenRecord& token, absl::Time now) {
  if (token.revoked) return "revoked " + FormatDate(*token.revoked);
  if (token.expires && now >= *token.expires) return "expired " + FormatDate(*token.expires);
  if (token.expires) return "live until " + FormatDate(*token.expires);
  return "live";
}

std::string Show(const TokenRecord& token, absl::Time now) {
  const TokenLimits& limits = token.limits;
  std::string out;
  const auto line = [&out](const char* what, const std::string& value) {
    absl::StrAppendFormat(&out, "%-20s %s\n", what, value);
  };
  const auto number = [&line](const char* what, int64_t value) {
    line(what, value == 0 ? "no limit" : absl::StrCat(value));
  };
  line("id", token.id);
  line("name", token.name);
  line("tenant", token.tenant);
  line("created", FormatDate(token.created));
  line("state", StateOf(token, now));
  line("models", limits.models.empty() ? "any" : absl::StrJoin(limits.models, ", "));
  line("aliases", limits.aliases.empty()
                      ? "none"
                      : absl::StrJoin(limits.aliases, ", ", absl::PairFormatter("=")));
  number("requests per minute", limits.requests_per_minute);
  number("tokens per minute", limits.tokens_per_minute);
  number("requests per day", limits.requests_per_day);
  number("tokens per day", limits.tokens_per_day);
  number("requests at once", limits.concurrency);
  const auto money = [&](const char* what, int64_t nano) {
    line(what, nano == 0 ? "no limit" : FormatMoney(nano) + " " + limits.budget_currency);
  };
  money("budget per day", limits.budget_day_nano);
  money("budget per month", limits.budget_month_nano);
  line("EAS signatures", token.eas_key.empty() ? "no" : "yes");
  line("networks", token.networks.empty() ? "any" : absl::StrJoin(token.networks, ", "));
  if (token.previous_until && now < *token.previous_until) {
    line("old secret", "valid until " + FormatDate(*token.previous_until));
  }
  return out;
}

absl::StatusOr<std::string> Change(const TokenCommand& command, Store& store, absl::Time now) {
  ASSIGN_OR_RETURN(TokenRecord token, Find(store, command.name));
  RETURN_IF_ERROR(ApplyChange(command.change, now, token));
  RETURN_IF_ERROR(store.ChangeToken(token));
  return Show(token, now);
}

absl::StatusOr<std::string> Rotate(const TokenCommand& command, Store& store, absl::Time now) {
  ASSIGN_OR_RETURN(const absl::Duration grace, ParseSpan(command.grace));
  const std::string token = NewToken();
  RETURN_IF_ERROR(store.RotateToken(command.name, Sha256Hex(token), EasKey(token), now + grace));
  return token + "\n";
}

absl::StatusOr<std::string> List(const Store& store, absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, store.ListTokens());
  if (tokens.empty()) return "no tokens yet; make one with: spillway token create NAME\n";
  std::string out =
      absl::StrFormat("%-14s %-24s %-24s %-17s %s\n", "ID", "NAME", "TENANT", "CREATED", "STATE");
  for (const TokenRecord& token : tokens) {
    absl::StrAppendFormat(&out, "%-14s %-24s %-24s %-17s %s\n", token.id, token.name, token.tenant,
                          FormatDate(token.created), StateOf(token, now));
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
      return List(store, now);
    case TokenCommand::Action::kShow: {
      ASSIGN_OR_RETURN(const TokenRecord token, Find(store, command.name));
      return Show(token, now);
    }
    case TokenCommand::Action::kChange:
      return Change(command, store, now);
    case TokenCommand::Action::kRotate:
      return Rotate(command, store, now);
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
