#include "server/dialects/tool_call_texts.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "server/dialects/json_fields.h"

namespace spillway {

void AddPieces(std::span<const ToolCallPiece> pieces, std::vector<ToolCallText>& calls) {
  for (const ToolCallPiece& piece : pieces) {
    if (!piece.name.empty()) calls.push_back({.name = piece.name, .arguments = ""});
    if (!calls.empty()) calls.back().arguments += piece.arguments;
  }
}

std::string ToolCallId(std::string_view answer_id, int32_t choice, int32_t index) {
  constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char byte : absl::StrCat(std::string(answer_id), "/", choice, "/", index)) {
    hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  }
  std::string id;
  for (int i = 0; i < 9; ++i, hash /= kLetters.size()) id += kLetters[hash % kLetters.size()];
  return id;
}

std::string_view ArgumentsObject(std::string_view arguments) {
  if (JsonDepth(arguments) > kJsonDepthMax) return "{}";
  const auto parsed = nlohmann::json::parse(arguments, nullptr, /*allow_exceptions=*/false);
  return parsed.is_object() ? arguments : "{}";
}

}  // namespace spillway
