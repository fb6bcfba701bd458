#include "worker/text/tokenizer_json_steps.h"

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

using Limits = TokenizerLimits;

// Sequences in sequences. Real ones have one level.
constexpr int kDepthMax = 8;

// How the members of a component are read into a step whose kind is set.
template <typename Step>
struct Component {
  std::string_view type;
  typename Step::Kind kind;
  absl::Status (*read)(const JsonField& json, Step& step);
};

// Appends the steps of `json`, in which a Sequence has its parts under `sequence_key`.
template <typename Step>
absl::Status ReadSteps(const JsonField& json, std::string_view sequence_key,
                       std::span<const Component<Step>> known, int depth,
                       std::vector<Step>& steps) {
  ASSIGN_OR_RETURN(const JsonField type_field, json.Get("type"));
  ASSIGN_OR_RETURN(const std::string_view type, type_field.String(Limits::kStepTextMax));
  if (type == "Sequence") {
    if (depth == kDepthMax) return json.Wrong("is nested too deep");
    ASSIGN_OR_RETURN(const JsonField parts, json.Get(sequence_key));
    ASSIGN_OR_RETURN(const std::vector<JsonField> elements, parts.Elements(Limits::kStepsMax));
    for (const JsonField& part : elements) {
      RETURN_IF_ERROR(ReadSteps(part, sequence_key, known, depth + 1, steps));
    }
    return absl::OkStatus();
  }
  std::string names;
  for (const Component<Step>& component : known) {
    absl::StrAppend(&names, std::string(component.type), ", ");
    if (type != component.type) continue;
    if (steps.size() == Limits::kStepsMax) return json.Wrong("is one step too many");
    Step& step = steps.emplace_back();
    step.kind = component.kind;
    return component.read(json, step);
  }
  return json.Unknown(absl::StrCat("has the type \"", std::string(type),
                                   "\", which is not supported; supported are ", names,
                                   "Sequence"));
}

template <typename Step>
absl::StatusOr<std::vector<Step>> ReadAll(const JsonField& root, std::string_view key,
                                          std::string_view sequence_key,
                                          std::span<const Component<Step>> known) {
  std::vector<Step> steps;
  if (const std::optional<JsonField> json = root.Find(key)) {
    RETURN_IF_ERROR(ReadSteps(*json, sequence_key, known, 0, steps));
  }
  return steps;
}

absl::Status Text(const JsonField& json, std::string_view key, std::string& text) {
  ASSIGN_OR_RETURN(const JsonField field, json.Get(key));
  ASSIGN_OR_RETURN(text, field.String(Limits::kStepTextMax));
  return absl::OkStatus();
}

// A string of one character.
absl::Status Character(const JsonField& json, std::string_view key, std::string& text) {
  RETURN_IF_ERROR(Text(json, key, text));
  if (text.empty() || FirstUtf8Character(text).size != static_cast<int>(text.size())) {
    return json.Wrong(absl::StrCat("needs one character as ", std::string(key)));
  }
  return absl::OkStatus();
}

// {"String": "…"} or {"Regex": "…"}.
absl::Status Pattern(const JsonField& json, TextPattern& pattern) {
  ASSIGN_OR_RETURN(const JsonField field, json.Get("pattern"));
  for (const bool is_regex : {false, true}) {
    const std::optional<JsonField> text = field.Find(is_regex ? "Regex" : "String");
    if (!text) continue;
    pattern.is_regex = is_regex;
    ASSIGN_OR_RETURN(pattern.text, text->String(Limits::kPatternBytesMax));
    return absl::OkStatus();
  }
  return field.Wrong("has neither String nor Regex");
}

template <typename Step>
absl::Status Nothing(const JsonField&, Step&) {
  return absl::OkStatus();
}

// ---- normalizers ----

absl::Status ReadStrip(const JsonField& json, NormalizerStep& step) {
  ASSIGN_OR_RETURN(step.left, json.BoolOr("strip_left", true));
  ASSIGN_OR_RETURN(step.right, json.BoolOr("strip_right", true));
  return absl::OkStatus();
}

absl::Status ReadPrepend(const JsonField& json, NormalizerStep& step) {
  return Text(json, "prepend", step.text);
}

template <typename Step>
absl::Status ReadReplace(const JsonField& json, Step& step) {
  RETURN_IF_ERROR(Pattern(json, step.pattern));
  return Text(json, "content", step.text);
}

absl::Status ReadBert(const JsonField& json, NormalizerStep& step) {
  ASSIGN_OR_RETURN(step.clean_text, json.BoolOr("clean_text", true));
  ASSIGN_OR_RETURN(step.handle_chinese_chars, json.BoolOr("handle_chinese_chars", true));
  ASSIGN_OR_RETURN(step.lowercase, json.BoolOr("lowercase", true));
  ASSIGN_OR_RETURN(step.strip_accents, json.BoolOr("strip_accents", step.lowercase));
  return absl::OkStatus();
}

absl::Status ReadPrecompiled(const JsonField& json, NormalizerStep& step) {
  ASSIGN_OR_RETURN(const JsonField field, json.Get("precompiled_charsmap"));
  ASSIGN_OR_RETURN(const std::string_view base64, field.String(Limits::kCharsmapBytesMax / 3 * 4));
  if (!absl::Base64Unescape(std::string(base64), &step.text)) return field.Wrong("is no base64");
  return absl::OkStatus();
}

constexpr Component<NormalizerStep> kNormalizers[] = {
    {"NFC", NormalizerStep::Kind::kNfc, Nothing},
    {"NFD", NormalizerStep::Kind::kNfd, Nothing},
    {"NFKC", NormalizerStep::Kind::kNfkc, Nothing},
    {"NFKD", NormalizerStep::Kind::kNfkd, Nothing},
    {"Nmt", NormalizerStep::Kind::kNmt, Nothing},
    {"Lowercase", NormalizerStep::Kind::kLowercase, Nothing},
    {"StripAccents", NormalizerStep::Kind::kStripAccents, Nothing},
    {"Strip", NormalizerStep::Kind::kStrip, ReadStrip},
    {"Prepend", NormalizerStep::Kind::kPrepend, ReadPrepend},
    {"Replace", NormalizerStep::Kind::kReplace, ReadReplace<NormalizerStep>},
    {"BertNormalizer", NormalizerStep::Kind::kBert, ReadBert},
    {"Precompiled", NormalizerStep::Kind::kPrecompiled, ReadPrecompiled},
    {"ByteLevel", NormalizerStep::Kind::kByteLevel, Nothing},
};

// ---- pre-tokenizers ----

absl::Status ReadBehavior(const JsonField& json, PreTokenizerStep& step) {
  using Behavior = PreTokenizerStep::Behavior;
  constexpr std::pair<std::string_view, Behavior> kBehaviors[] = {
      {"Removed", Behavior::kRemoved},
      {"Isolated", Behavior::kIsolated},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous},
  };
  ASSIGN_OR_RETURN(const std::string name, json.StringOr("behavior", "Isolated", 64));
  for (const auto& [known, behavior] : kBehaviors) {
    if (name == known) {
      step.behavior = behavior;
      return absl::OkStatus();
    }
  }
  return json.Unknown(absl::StrCat("has the behavior \"", name,
                                   "\"; known are Removed, Isolated, MergedWithPrevious, "
                                   "MergedWithNext, Contiguous"));
}

absl::Status ReadSplit(const JsonField& json, PreTokenizerStep& step) {
  RETURN_IF_ERROR(Pattern(json, step.pattern));
  RETURN_IF_ERROR(ReadBehavior(json, step));
  ASSIGN_OR_RETURN(step.invert, json.BoolOr("invert", false));
  return absl::OkStatus();
}

absl::Status ReadByteLevel(const JsonField& json, PreTokenizerStep& step) {
  ASSIGN_OR_RETURN(step.add_prefix_space, json.BoolOr("add_prefix_space", true));
  ASSIGN_OR_RETURN(step.use_regex, json.BoolOr("use_regex", true));
  return absl::OkStatus();
}

absl::StatusOr<PreTokenizerStep::Prepend> PrependScheme(const JsonField& json) {
  using Prepend = PreTokenizerStep::Prepend;
  ASSIGN_OR_RETURN(const std::string name, json.StringOr("prepend_scheme", "always", 64));
  // The older spelling, which tokenizers lets win as well.
  ASSIGN_OR_RETURN(const bool add_prefix_space, json.BoolOr("add_prefix_space", true));
  if (!add_prefix_space) return Prepend::kNever;
  if (name == "always") return Prepend::kAlways;
  if (name == "first") return Prepend::kFirst;
  if (name == "never") return Prepend::kNever;
  return json.Unknown(
      absl::StrCat("has the prepend_scheme \"", name, "\"; known are always, first, never"));
}

absl::Status ReadMetaspace(const JsonField& json, PreTokenizerStep& step) {
  RETURN_IF_ERROR(Character(json, "replacement", step.replacement));
  ASSIGN_OR_RETURN(step.prepend, PrependScheme(json));
  ASSIGN_OR_RETURN(step.split, json.BoolOr("split", true));
  return absl::OkStatus();
}

absl::Status ReadDigits(const JsonField& json, PreTokenizerStep& step) {
  ASSIGN_OR_RETURN(step.individual_digits, json.BoolOr("individual_digits", false));
  return absl::OkStatus();
}

absl::Status ReadDelimiter(const JsonField& json, PreTokenizerStep& step) {
  return Character(json, "delimiter", step.pattern.text);
}

absl::Status ReadFixedLength(const JsonField& json, PreTokenizerStep& step) {
  ASSIGN_OR_RETURN(const int64_t length, json.IntOr("length", 5, 1, 1 << 20));
  step.length = static_cast<size_t>(length);
  return absl::OkStatus();
}

constexpr Component<PreTokenizerStep> kPreTokenizers[] = {
    {"ByteLevel", PreTokenizerStep::Kind::kByteLevel, ReadByteLevel},
    {"Split", PreTokenizerStep::Kind::kSplit, ReadSplit},
    {"Metaspace", PreTokenizerStep::Kind::kMetaspace, ReadMetaspace},
    {"Digits", PreTokenizerStep::Kind::kDigits, ReadDigits},
    {"Punctuation", PreTokenizerStep::Kind::kPunctuation, ReadBehavior},
    {"Whitespace", PreTokenizerStep::Kind::kWhitespace, Nothing},
    {"WhitespaceSplit", PreTokenizerStep::Kind::kWhitespaceSplit, Nothing},
    {"BertPreTokenizer", PreTokenizerStep::Kind::kBert, Nothing},
    {"CharDelimiterSplit", PreTokenizerStep::Kind::kDelimiter, ReadDelimiter},
    {"FixedLength", PreTokenizerStep::Kind::kFixedLength, ReadFixedLength},
};

// ---- decoders ----

absl::Status ReadDecoderStrip(const JsonField& json, DecoderStep& step) {
  RETURN_IF_ERROR(Character(json, "content", step.text));
  ASSIGN_OR_RETURN(const int64_t start, json.IntOr("start", 0, 0, INT32_MAX));
  ASSIGN_OR_RETURN(const int64_t stop, json.IntOr("stop", 0, 0, INT32_MAX));
  step.start = static_cast<size_t>(start);
  step.stop = static_cast<size_t>(stop);
  return absl::OkStatus();
}

absl::Status ReadDecoderMetaspace(const JsonField& json, DecoderStep& step) {
  RETURN_IF_ERROR(Character(json, "replacement", step.text));
  ASSIGN_OR_RETURN(const PreTokenizerStep::Prepend prepend, PrependScheme(json));
  step.strip_first = prepend != PreTokenizerStep::Prepend::kNever;
  return absl::OkStatus();
}

absl::Status ReadDecoderWordPiece(const JsonField& json, DecoderStep& step) {
  ASSIGN_OR_RETURN(step.text, json.StringOr("prefix", "##", Limits::kStepTextMax));
  ASSIGN_OR_RETURN(step.cleanup, json.BoolOr("cleanup", true));
  return absl::OkStatus();
}

absl::Status ReadDecoderBpe(const JsonField& json, DecoderStep& step) {
  ASSIGN_OR_RETURN(step.text, json.StringOr("suffix", "</w>", Limits::kStepTextMax));
  if (step.text.empty()) return json.Wrong("has an empty suffix");
  return absl::OkStatus();
}

absl::Status ReadDecoderCtc(const JsonField& json, DecoderStep& step) {
  ASSIGN_OR_RETURN(step.text, json.StringOr("pad_token", "<pad>", Limits::kStepTextMax));
  ASSIGN_OR_RETURN(step.delimiter,
                   json.StringOr("word_delimiter_token", "|", Limits::kStepTextMax));
  ASSIGN_OR_RETURN(step.cleanup, json.BoolOr("cleanup", true));
  if (step.text.empty() || step.delimiter.empty()) return json.Wrong("has an empty token");
  return absl::OkStatus();
}

constexpr Component<DecoderStep> kDecoders[] = {
    {"ByteLevel", DecoderStep::Kind::kByteLevel, Nothing},
    {"ByteFallback", DecoderStep::Kind::kByteFallback, Nothing},
    {"Fuse", DecoderStep::Kind::kFuse, Nothing},
    {"Strip", DecoderStep::Kind::kStrip, ReadDecoderStrip},
    {"Replace", DecoderStep::Kind::kReplace, ReadReplace<DecoderStep>},
    {"Metaspace", DecoderStep::Kind::kMetaspace, ReadDecoderMetaspace},
    {"WordPiece", DecoderStep::Kind::kWordPiece, ReadDecoderWordPiece},
    {"BPEDecoder", DecoderStep::Kind::kBpe, ReadDecoderBpe},
    {"CTC", DecoderStep::Kind::kCtc, ReadDecoderCtc},
};

}  // namespace

absl::StatusOr<std::vector<NormalizerStep>> NormalizersFromJson(const JsonField& root) {
  return ReadAll<NormalizerStep>(root, "normalizer", "normalizers", kNormalizers);
}

absl::StatusOr<std::vector<PreTokenizerStep>> PreTokenizersFromJson(const JsonField& root) {
  return ReadAll<PreTokenizerStep>(root, "pre_tokenizer", "pretokenizers", kPreTokenizers);
}

absl::StatusOr<std::vector<DecoderStep>> DecodersFromJson(const JsonField& root) {
  return ReadAll<DecoderStep>(root, "decoder", "decoders", kDecoders);
}

}  // namespace spillway
