#include "server/dialects/openai_logprobs.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "server/dialects/json_escape.h"

namespace spillway {
namespace {

constexpr float kLowest = -9999.0f;

template <typename Number>
void AppendNumber(std::string& out, Number value) {
  char digits[32];
  const auto result = std::to_chars(digits, digits + sizeof(digits), value);
  out.append(digits, result.ptr);
}

void AppendLogprob(std::string& out, float logprob) {
  // Written so that NaN, which a worker doesn't send, doesn't get through either.
  AppendNumber(out, logprob > kLowest ? logprob : kLowest);
}

void AppendComma(std::string& out) {
  if (!out.empty()) out += ',';
}

// `text` with the bytes that make no whole character as \xe4.
std::string Visible(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    const size_t bytes = Utf8CharacterBytes(text);
    if (bytes > 0) {
      out += text.substr(0, bytes);
    } else {
      const auto byte = static_cast<uint8_t>(text.front());
      out += "\\x";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
    text.remove_prefix(std::max<size_t>(bytes, 1));
  }
  return out;
}

bool IsWhole(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = Utf8CharacterBytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::string CompletionName(std::string_view text) {
  return IsWhole(text) ? std::string(text) : "bytes:" + Visible(text);
}

// "token":…,"logprob":…,"bytes":[…]
void AppendChatToken(const TokenLogprob& token, std::string& out) {
  out += "\"token\":";
  AppendJsonString(out, IsWhole(token.text) ? token.text : Visible(token.text));
  out += ",\"logprob\":";
  AppendLogprob(out, token.logprob);
  out += ",\"bytes\":[";
  for (size_t i = 0; i < token.text.size(); ++i) {
    if (i > 0) out += ',';
    AppendNumber(out, static_cast<int>(static_cast<uint8_t>(token.text[i])));
  }
  out += ']';
}

}  // namespace

void TextPosition::Advance(std::string_view text) {
  bytes += text.size();
  characters += std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<uint8_t>(byte) & 0xc0) != 0x80;
  });
}

void OpenAiLogprobs::Add(const TokenLogprobs& logprobs, int64_t text_offset) {
  if (endpoint_ == OpenAiEndpoint::kChat) {
    AddToChat(logprobs);
  } else {
    AddToCompletion(logprobs, text_offset);
  }
}

void OpenAiLogprobs::AddToChat(const TokenLogprobs& logprobs) {
  if (logprobs.silent) return;
  AppendComma(tokens_);
  tokens_ += '{';
  AppendChatToken(logprobs.token, tokens_);
  tokens_ += ",\"top_logprobs\":[";
  for (size_t i = 0; i < logprobs.top.size(); ++i) {
    tokens_ += i == 0 ? "{" : ",{";
    AppendChatToken(logprobs.top[i], tokens_);
    tokens_ += '}';
  }
  tokens_ += "]}";
}

void OpenAiLogprobs::AddToCompletion(const TokenLogprobs& logprobs, int64_t text_offset) {
  AppendComma(offsets_);
  AppendNumber(offsets_, text_offset);
  AppendComma(tokens_);
  AppendJsonString(tokens_, CompletionName(logprobs.token.text));
  AppendComma(logprobs_);
  AppendComma(top_logprobs_);
  if (!logprobs.known) {
    logprobs_ += "null";
    top_logprobs_ += "null";
    return;
  }
  AppendLogprob(logprobs_, logprobs.token.logprob);
  top_logprobs_ += '{';
  std::vector<std::string> names;
  const auto add = [&](const TokenLogprob& token) {
    std::string name = CompletionName(token.text);
    if (std::find(names.begin(), names.end(), name) != names.end()) return;
    if (!names.empty()) top_logprobs_ += ',';
    AppendJsonString(top_logprobs_, name);
    top_logprobs_ += ':';
    AppendLogprob(top_logprobs_, token.logprob);
    names.push_back(std::move(name));
  };
  for (const TokenLogprob& token : logprobs.top) add(token);
  add(logprobs.token);
  top_logprobs_ += '}';
}

void OpenAiLogprobs::AppendTo(std::string& out) const {
  if (endpoint_ == OpenAiEndpoint::kChat) {
    out += "{\"content\":[";
    out += tokens_;
    out += "],\"refusal\":null}";
    return;
  }
  out += "{\"text_offset\":[";
  out += offsets_;
  out += "],\"token_logprobs\":[";
  out += logprobs_;
  out += "],\"tokens\":[";
  out += tokens_;
  out += "],\"top_logprobs\":[";
  out += top_logprobs_;
  out += "]}";
}

void OpenAiLogprobs::Clear() {
  tokens_.clear();
  offsets_.clear();
  logprobs_.clear();
  top_logprobs_.clear();
}

}  // namespace spillway
