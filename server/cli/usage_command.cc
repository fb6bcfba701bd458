#include "server/cli/usage_command.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/money.h"
#include "common/status_macros.h"
#include "router/token_quota.h"
#include "server/cli/token_changes.h"

namespace spillway {
namespace {

using Row = std::vector<std::string>;

absl::StatusOr<int64_t> SinceDay(const std::string& since, absl::Time now) {
  absl::Time day;
  std::string error;
  if (absl::ParseTime("%Y-%m-%d", since, absl::UTCTimeZone(), &day, &error)) return DayOf(day);
  const absl::StatusOr<absl::Duration> span = ParseSpan(since);
  if (span.ok()) return DayOf(now - *span);
  return absl::InvalidArgumentError(absl::StrCat(
      "--since is a time such as 7d, or a day such as 2026-11-01; this is \"", since, "\""));
}

std::string DayText(int64_t day) {
  return absl::FormatTime("%Y-%m-%d", absl::UnixEpoch() + day * absl::Hours(24),
                          absl::UTCTimeZone());
}

std::string ValueOf(const std::string& what, const UsageEntry& entry) {
  if (what == "day") return DayText(entry.day);
  if (what == "minute") {
    return absl::FormatTime("%Y-%m-%dT%H:%MZ", absl::FromUnixSeconds(entry.minute * 60),
                            absl::UTCTimeZone());
  }
  if (what == "token") return entry.token_name.empty() ? "-" : entry.token_name;
  if (what == "service") return entry.service;
  return entry.upstream;
}

// Of CSV, as RFC 4180 has it. A leading sign would be a formula for a spreadsheet.
std::string CsvField(const std::string& value) {
  std::string field = value;
  if (!field.empty() && std::string_view("=+-@").find(field[0]) != std::string_view::npos &&
      field != "-") {
    field.insert(0, "'");
  }
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

Row Numbers(const std::string& currency, const UsageCounts& counts) {
  return {absl::StrCat(counts.requests),
          absl::StrCat(counts.failures),
          absl::StrCat(counts.prompt_tokens),
          absl::StrCat(counts.cached_tokens),
          absl::StrCat(counts.completion_tokens),
          counts.cost_nano == 0 ? "0" : FormatMoney(counts.cost_nano),
          currency.empty() ? "-" : currency};
}

std::string Csv(const std::vector<Row>& rows) {
  std::string out;
  for (const Row& row : rows) {
    absl::StrAppend(&out,
                    absl::StrJoin(row, ",",
                                  [](std::string* to, const std::string& value) {
                                    absl::StrAppend(to, CsvField(value));
                                  }),
                    "\r\n");
  }
  return out;
}

// What is summed up by stands left, numbers right.
std::string Table(const std::vector<Row>& rows, size_t left_columns) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const int width = static_cast<int>(widths[i]);
      absl::StrAppendFormat(&line, i < left_columns ? "%-*s  " : "%*s  ", width, row[i]);
    }
    absl::StrAppend(&out, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> RunUsage(const UsageCommand& command, const Store& store,
                                     absl::Time now) {
  ASSIGN_OR_RETURN(const int64_t since, SinceDay(command.since, now));
  const bool minutes = std::ranges::find(command.by, "minute") != command.by.end();
  ASSIGN_OR_RETURN(const std::vector<UsageEntry> entries, store.ListUsage(since, minutes));
  std::map<std::pair<Row, std::string>, UsageCounts> sums;  // by values, then currency
  for (const UsageEntry& entry : entries) {
    if (!command.token.empty() && command.token != entry.token_name &&
        command.token != entry.token_id) {
      continue;
    }
    Row values;
    for (const std::string& what : command.by) values.push_back(ValueOf(what, entry));
    sums[{std::move(values), entry.currency}] += entry.counts;
  }
  if (sums.empty() && !command.csv) {
    return absl::StrCat("nothing was used since ", DayText(since), "\n");
  }
  std::vector<Row> rows = {command.by};
  for (const char* name :
       {"requests", "failed", "prompt", "cached", "completion", "cost", "currency"}) {
    rows.front().push_back(name);
  }
  for (const auto& [key, counts] : sums) {
    Row row = key.first;
    for (std::string& number : Numbers(key.second, counts)) row.push_back(std::move(number));
    rows.push_back(std::move(row));
  }
  if (command.csv) return Csv(rows);
  for (std::string& name : rows.front()) name = absl::AsciiStrToUpper(name);
  return Table(rows, command.by.size());
}

}  // namespace spillway
