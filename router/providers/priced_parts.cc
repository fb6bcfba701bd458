#include "router/providers/priced_parts.h"

#include <simdjson.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

// Members whose price depends on something else than tokens, or that change the price of those.
constexpr std::array<std::string_view, 8> kUnbounded = {
    "audio",      "cache_control",  "enable_search", "plugins",
    "prediction", "search_options", "service_tier",  "web_search_options"};
// Those of a part of a message that is text.
constexpr std::array<std::string_view, 3> kOfText = {"type", "text", "refusal"};

bool IsOff(const element& value) {
  bool on = false;
  if (value.type() == simdjson::dom::element_type::NULL_VALUE) return true;
  return value.get(on) == simdjson::SUCCESS && !on;
}

bool NamesFile(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && text.substr(begin).starts_with("fileid://");
}

class Finder {
 public:
  explicit Finder(PricedParts& parts) : parts_(parts) {}

  void Root(ProviderRequestKind kind, std::string_view name, const element& value) {
    if (IsUnbounded(name, value)) return Note(std::string(name));
    if (name == "modalities") return Modalities(value);
    if (name == "tools") return Tools(value);
    if (kind == ProviderRequestKind::kChat && name == "messages") return Messages(value);
    if (kind == ProviderRequestKind::kCompletion && name == "prompt") Prompts(value);
    if (kind == ProviderRequestKind::kEmbeddings && name == "input") Prompts(value);
  }

 private:
  static bool IsUnbounded(std::string_view name, const element& value) {
    return std::find(kUnbounded.begin(), kUnbounded.end(), name) != kUnbounded.end() &&
           !IsOff(value);
  }

  void Note(std::string what) {
    if (parts_.unbounded.empty()) parts_.unbounded = std::move(what);
  }

  void Modalities(const element& value) {
    array modalities;
    if (value.get(modalities) != simdjson::SUCCESS) return;
    for (const element each : modalities) {
      std::string_view name;
      if (each.get(name) != simdjson::SUCCESS || name != "text") Note("modalities");
    }
  }

  void Tools(const element& value) {
    array tools;
    if (value.get(tools) != simdjson::SUCCESS) return;
    for (const element each : tools) {
      object tool;
      if (each.get(tool) != simdjson::SUCCESS) continue;
      for (const auto [name, member] : tool) {
        std::string_view type;
        if (name != "type") continue;
        if (member.get(type) != simdjson::SUCCESS || type != "function") {
          Note(absl::StrCat("a tool of type ", std::string(type.substr(0, 40))));
        }
      }
    }
  }

  void Messages(const element& value) {
    array messages;
    if (value.get(messages) != simdjson::SUCCESS) return;
    for (const element each : messages) {
      object message;
      if (each.get(message) != simdjson::SUCCESS) continue;
      for (const auto [name, member] : message) {
        if (IsUnbounded(name, member)) Note(std::string(name));
        if (name == "content") Content(member);
      }
    }
  }

  void Content(const element& value) {
    std::string_view text;
    array parts;
    if (value.get(text) == simdjson::SUCCESS) {
      if (NamesFile(text)) Note("a file");
    } else if (value.get(parts) == simdjson::SUCCESS) {
      for (const element each : parts) Part(each);
    } else if (!IsOff(value)) {
      Note("content that is no text");
    }
  }

  void Part(const element& value) {
    object part;
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS && !NamesFile(text)) return;
    if (value.get(part) != simdjson::SUCCESS) return Note("content that is no text");
    for (const auto [name, member] : part) {
      if (std::find(kOfText.begin(), kOfText.end(), name) == kOfText.end()) {
        Note(absl::StrCat("a part with ", std::string(name.substr(0, 40))));
      }
      if (member.get(text) == simdjson::SUCCESS && NamesFile(text)) Note("a file");
      if (name == "type" &&
          (member.get(text) != simdjson::SUCCESS || (text != "text" && text != "refusal"))) {
        Note(absl::StrCat("a part of type ", std::string(text.substr(0, 40))));
      }
    }
  }

  // A text, token ids, or a list of those.
  void Prompts(const element& value) {
    array prompts;
    if (value.get(prompts) != simdjson::SUCCESS) return;
    int64_t count = 0;
    for (const element each : prompts) {
      if (each.is_object()) Note("input that is no text");
      if (!each.is_number()) ++count;
    }
    parts_.prompts = std::max(parts_.prompts, count);
  }

  PricedParts& parts_;
};

}  // namespace

PricedParts FindPricedParts(ProviderRequestKind kind, std::string_view body) {
  PricedParts parts;
  simdjson::dom::parser parser;
  object root;
  if (body.empty() || parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS) {
    return parts;
  }
  Finder finder(parts);
  for (const auto [name, value] : root) finder.Root(kind, name, value);
  return parts;
}

}  // namespace spillway
