#include "server/cli/chat_answer.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace spillway {
namespace {

using Json = nlohmann::json;

constexpr size_t kWholeBytesMax = 64 << 20;
constexpr size_t kShownBytesMax = 500;

Json Parse(std::string_view text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

// The string at `key`; empty where there is none.
std::string StringAt(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// {"error": {"message": …}}, {"error": "…"}, {"message": "…"}, {"detail": "…"}
std::string ErrorIn(const Json& json) {
  if (!json.is_object()) return "";
  const auto error = json.find("error");
  if (error != json.end() && error->is_object()) return StringAt(*error, "message");
  for (const char* key : {"error", "message", "detail"}) {
    if (std::string text = StringAt(json, key); !text.empty()) return text;
  }
  return "";
}

}  // namespace

absl::Status ChatAnswer::Read(std::string_view bytes, Piece& piece) {
  if (!streamed_) {
    whole_ += bytes;
    if (whole_.size() <= kWholeBytesMax) return absl::OkStatus();
    return absl::InvalidArgumentError("the answer is too large");
  }
  std::vector<ServerSentEvent> events;
  RETURN_IF_ERROR(events_.Read(bytes, events));
  for (const ServerSentEvent& event : events) {
    if (event.data == "[DONE]") {
      done_ = true;
    } else if (!done_) {
      RETURN_IF_ERROR(Take(event.data, "delta", piece));
    }
  }
  return absl::OkStatus();
}

absl::Status ChatAnswer::End(Piece& piece) {
  if (!streamed_) return Take(whole_, "message", piece);
  if (done_) return absl::OkStatus();
  return absl::DataLossError("the answer broke off");
}

absl::Status ChatAnswer::Take(const std::string& text, const char* key, Piece& piece) {
  const Json json = Parse(text);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("this is no answer of a chat: ", text.substr(0, kShownBytesMax)));
  }
  if (json.contains("error") && !json["error"].is_null()) {
    return absl::UnavailableError(ErrorIn(json));
  }
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty()) return absl::OkStatus();
  const Json& choice = choices->front();
  if (std::string reason = StringAt(choice, "finish_reason"); !reason.empty()) {
    finish_reason_ = std::move(reason);
  }
  if (!choice.is_object() || !choice.contains(key)) return absl::OkStatus();
  const Json& message = choice[key];
  // DeepSeek's name for it and OpenRouter's.
  piece.reasoning += StringAt(message, "reasoning_content");
  piece.reasoning += StringAt(message, "reasoning");
  const std::string content = StringAt(message, "content");
  piece.content += content;
  content_ += content;
  return absl::OkStatus();
}

std::string ErrorMessage(int status, std::string_view body) {
  std::string message = ErrorIn(Parse(body));
  if (message.empty()) message = std::string(body.substr(0, kShownBytesMax));
  return absl::StrCat(message.empty() ? "no reason given" : message, " (HTTP ", status, ")");
}

}  // namespace spillway
