#include "router/providers/provider_error.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

namespace spillway {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTrustedInMessages = "InternalError.Algo.";

bool SameWithoutCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

bool Fits(const ProviderErrorRow& row, int http_status, std::string_view code) {
  if (row.http_status != 0 && row.http_status != http_status) return false;
  if (!row.code.ends_with('*')) return SameWithoutCase(row.code, code);
  const std::string_view begin = row.code.substr(0, row.code.size() - 1);
  return code.size() >= begin.size() && SameWithoutCase(begin, code.substr(0, begin.size()));
}

const ProviderErrorRow* Find(std::span<const ProviderErrorRow> table, int http_status,
                             std::string_view code) {
  if (code.empty()) return nullptr;
  const auto row = std::find_if(table.begin(), table.end(), [&](const ProviderErrorRow& each) {
    return Fits(each, http_status, code);
  });
  return row == table.end() ? nullptr : &*row;
}

// "InternalError.Algo.X" of "<400> InternalError.Algo.X: why"; else empty.
std::string_view CodeInMessage(std::string_view message) {
  if (!message.starts_with('<')) return "";
  const size_t begin = message.find("> ");
  if (begin == std::string_view::npos) return "";
  message.remove_prefix(begin + 2);
  const size_t end = message.find(':');
  if (end == std::string_view::npos || !message.starts_with(kTrustedInMessages)) return "";
  return message.substr(0, end);
}

// For errors whose code is in no table.
ErrorVerdict JudgeStatus(int http_status) {
  switch (http_status) {
    case 401:
      return {ProviderAction::kBlockKey, "credentials", true};
    case 402:
      return {ProviderAction::kBlockKey, "billing", true};
    case 403:
      return {ProviderAction::kBlockModel, "model_denied", true};
    case 404:
      return {ProviderAction::kBlockModel, "model_not_found", true};
    case 408:
    case 504:
      return {ProviderAction::kGiveUp, "provider_timeout", false};
    case 429:
      return {ProviderAction::kBackOff, "throttled", false};
    case 503:
    case 529:
      return {ProviderAction::kBackOff, "provider_busy", false};
    default:
      if (http_status >= 400 && http_status < 500) {
        return {ProviderAction::kPassOn, "invalid_request", false};
      }
      return {ProviderAction::kTryAgain, "provider_failed", false};
  }
}

std::string Cut(std::string text) {
  if (text.size() > kProviderTextBytesMax) text.resize(kProviderTextBytesMax);
  return text;
}

// A string, or a number as its digits; else empty.
std::string TextAt(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return "";
  if (found->is_string()) return Cut(found->get<std::string>());
  return found->is_number_integer() ? found->dump() : "";
}

// What follows "data:" in the last line that begins so, where the text is a server-sent event.
std::string_view DataOfEvent(std::string_view text) {
  const size_t line = text.starts_with("data:") ? 0 : text.rfind("\ndata:");
  if (line == std::string_view::npos) return "";
  text.remove_prefix(text.find(':', line) + 1);
  return text.substr(0, text.find_first_of("\r\n"));
}

}  // namespace

ProviderError ReadProviderError(int http_status, std::string_view body) {
  ProviderError error{.http_status = http_status};
  const size_t first = body.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return error;
  const std::string_view text = body[first] == '{' ? body : DataOfEvent(body.substr(first));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return error;
  error.request_id = TextAt(json, "request_id");
  const auto inner = json.find("error");
  if (inner != json.end() && inner->is_string()) {
    error.message = Cut(inner->get<std::string>());
    return error;
  }
  const Json& told = inner != json.end() && inner->is_object() ? *inner : json;
  error.code = TextAt(told, "code");
  error.type = TextAt(told, "type");
  error.message = TextAt(told, "message");
  if (error.request_id.empty()) error.request_id = TextAt(told, "request_id");
  return error;
}

ErrorVerdict JudgeProviderError(std::span<const ProviderErrorRow> table,
                                const ProviderError& error) {
  // The type stands in for a code that is missing or is the status over again.
  for (const std::string_view code :
       {CodeInMessage(error.message), std::string_view(error.code), std::string_view(error.type)}) {
    if (const ProviderErrorRow* row = Find(table, error.http_status, code)) {
      return {row->action, row->reason, row->alert};
    }
  }
  return JudgeStatus(error.http_status);
}

}  // namespace spillway
