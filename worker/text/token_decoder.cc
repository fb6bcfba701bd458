#include "worker/text/token_decoder.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "worker/text/token_lookup.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

using Kind = DecoderStep::Kind;

std::string ReplaceAll(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t found = what.empty() ? std::string_view::npos : text.find(what, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    out += with;
    at = found + what.size();
  }
}

std::string ReplacePattern(const SplitPattern& pattern, std::string_view text,
                           std::string_view with) {
  if (!IsUtf8(text)) return std::string(text);
  std::string out;
  size_t done = 0;
  pattern.ForEachMatch(text, [&](size_t begin, size_t end) {
    out += text.substr(done, begin - done);
    out += with;
    done = end;
  });
  out += text.substr(done);
  return out;
}

// tokenizers' decoders/wordpiece.rs, cleanup.
std::string CleanUp(std::string text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kChanges = {{
      {" .", "."},
      {" ?", "?"},
      {" !", "!"},
      {" ,", ","},
      {" ' ", "'"},
      {" n't", "n't"},
      {" 'm", "'m"},
      {" do not", " don't"},
      {" 's", "'s"},
      {" 've", "'ve"},
      {" 're", "'re"},
  }};
  for (const auto& [what, with] : kChanges) text = ReplaceAll(text, what, with);
  return text;
}

// Up to `start` of `character` at the beginning and up to `stop` at the end are cut off.
std::string Strip(std::string_view text, const DecoderStep& step) {
  const std::string_view character = step.text;
  for (size_t i = 0; i < step.start && text.starts_with(character); ++i) {
    text.remove_prefix(character.size());
  }
  for (size_t i = 0; i < step.stop && text.ends_with(character); ++i) {
    text.remove_suffix(character.size());
  }
  return std::string(text);
}

// Bytes that together are no text are a U+FFFD each.
std::vector<std::string> FallBackToBytes(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  std::string bytes;
  const auto close = [&] {
    if (bytes.empty()) return;
    if (IsUtf8(bytes)) {
      out.push_back(bytes);
    } else {
      out.insert(out.end(), bytes.size(), std::string(kReplacementCharacter));
    }
    bytes.clear();
  };
  for (const std::string& text : texts) {
    if (const int byte = ByteOfToken(text); byte >= 0) {
      bytes += static_cast<char>(byte);
    } else {
      close();
      out.push_back(text);
    }
  }
  close();
  return out;
}

std::string Metaspace(const std::string& text, const DecoderStep& step, bool is_first) {
  return ReplaceAll(text, step.text, is_first && step.strip_first ? "" : " ");
}

std::string WordPiece(const std::string& text, const DecoderStep& step, bool is_first) {
  std::string word = text;
  if (!is_first) {
    const bool continues = text.starts_with(step.text);
    word = continues ? text.substr(step.text.size()) : " " + text;
  }
  return step.cleanup ? CleanUp(std::move(word)) : word;
}

std::vector<std::string> Ctc(const std::vector<std::string>& texts, const DecoderStep& step) {
  std::vector<std::string> out;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0 && texts[i] == texts[i - 1]) continue;
    std::string text = ReplaceAll(texts[i], step.text, "");
    if (step.cleanup) text = ReplaceAll(CleanUp(std::move(text)), step.delimiter, " ");
    if (!text.empty()) out.push_back(std::move(text));
  }
  return out;
}

std::string Join(const std::vector<std::string>& texts, std::string_view separator) {
  std::string all;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) all += separator;
    all += texts[i];
  }
  return all;
}

}  // namespace

absl::StatusOr<TokenDecoder> TokenDecoder::Create(std::vector<DecoderStep> steps) {
  std::vector<Step> all;
  for (DecoderStep& step : steps) {
    std::vector<SplitPattern> pattern;
    if (step.kind == Kind::kReplace) {
      ASSIGN_OR_RETURN(SplitPattern parsed, SplitPattern::Create(step.pattern));
      pattern.push_back(std::move(parsed));
    }
    all.push_back({std::move(step), std::move(pattern)});
  }
  return TokenDecoder(std::move(all));
}

std::string TokenDecoder::Decode(std::vector<std::string> texts) const {
  for (const Step& step : steps_) Apply(step, texts);
  return Join(texts, "");
}

std::string TokenDecoder::DecodeByteLevel(const std::vector<std::string>& texts) const {
  std::string bytes;
  for (const std::string& text : texts) bytes += alphabet_.Decode(text).value_or(text);
  return ReplaceBadUtf8(bytes);
}

void TokenDecoder::Apply(const Step& step, std::vector<std::string>& texts) const {
  const DecoderStep& how = step.step;
  switch (how.kind) {
    case Kind::kByteLevel:
      texts = {DecodeByteLevel(texts)};
      return;
    case Kind::kByteFallback:
      texts = FallBackToBytes(texts);
      return;
    case Kind::kFuse:
      texts = {Join(texts, "")};
      return;
    case Kind::kSpaces:
      texts = {Join(texts, " ")};
      return;
    case Kind::kCtc:
      texts = Ctc(texts, how);
      return;
    default:
      break;
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string& text = texts[i];
    const bool is_first = i == 0;
    const bool is_last = i + 1 == texts.size();
    if (how.kind == Kind::kStrip) text = Strip(text, how);
    if (how.kind == Kind::kReplace) text = ReplacePattern(step.pattern[0], text, how.text);
    if (how.kind == Kind::kMetaspace) text = Metaspace(text, how, is_first);
    if (how.kind == Kind::kWordPiece) text = WordPiece(text, how, is_first);
    if (how.kind == Kind::kBpe) text = ReplaceAll(text, how.text, is_last ? "" : " ");
  }
}

std::string TokenDecoder::BytesOf(std::string_view text) const {
  std::string bytes(text);
  bool is_fused = false;
  for (const Step& step : steps_) {
    const DecoderStep& how = step.step;
    switch (how.kind) {
      case Kind::kByteLevel:
        bytes = alphabet_.Decode(bytes).value_or(bytes);
        break;
      case Kind::kByteFallback:
        if (const int byte = ByteOfToken(bytes); byte >= 0) bytes = static_cast<char>(byte);
        break;
      case Kind::kFuse:
        is_fused = true;
        break;
      case Kind::kStrip:
        if (!is_fused) bytes = Strip(bytes, how);
        break;
      case Kind::kReplace:
        bytes = ReplacePattern(step.pattern[0], bytes, how.text);
        break;
      case Kind::kMetaspace:
        bytes = Metaspace(bytes, how, /*is_first=*/false);
        break;
      case Kind::kWordPiece:
        bytes = WordPiece(bytes, how, /*is_first=*/false);
        break;
      case Kind::kBpe:
        bytes = ReplaceAll(bytes, how.text, " ");
        break;
      case Kind::kCtc:
      case Kind::kSpaces:
        break;
    }
  }
  return bytes;
}

}  // namespace spillway
