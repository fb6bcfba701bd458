#include "worker/model/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/control_marker.h"
#include "worker/text/end_of_text.h"
#include "worker/text/merge_rules.h"

namespace spillway {
namespace {

using TokenType = TokenizerSpec::TokenType;

constexpr const char* kChatTemplate = "tokenizer.chat_template";
constexpr size_t kChatTemplateBytesMax = 1 << 20;
constexpr size_t kChatTemplatesMax = 64;

// With these pre-tokenizers llama.cpp adds BOS where the file doesn't say whether to.
constexpr std::array<std::string_view, 9> kAddBosByDefault = {
    "llama3",  "llama-v3", "llama-bpe", "falcon3", "falcon-h1",
    "pixtral", "midm-2.0", "lfm2",      "tekken",
};

template <typename Table, typename Value>
bool Contains(const Table& table, const Value& value) {
  return std::find(table.begin(), table.end(), value) != table.end();
}

absl::StatusOr<std::vector<TokenType>> ReadTypes(const GgufFile& file, size_t token_count) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  // ggml's numbers: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  constexpr std::array<TokenType, 6> kTypes = {TokenType::kNormal,  TokenType::kUnknown,
                                               TokenType::kControl, TokenType::kUserDefined,
                                               TokenType::kUnused,  TokenType::kByte};
  if (!file.Has(kKey)) return std::vector<TokenType>(token_count, TokenType::kNormal);
  ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, file.GetInts(kKey));
  if (numbers.size() != token_count) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", std::string(kKey), " has ",
                                                   numbers.size(), " entries for ", token_count,
                                                   " tokens"));
  }
  std::vector<TokenType> types;
  types.reserve(token_count);
  for (size_t i = 0; i < token_count; ++i) {
    if (numbers[i] < 1 || numbers[i] > static_cast<int64_t>(kTypes.size())) {
      return absl::InvalidArgumentError(absl::StrCat("GGUF: ", std::string(kKey), " of token ", i,
                                                     " is ", numbers[i], ", beyond 1 to ",
                                                     kTypes.size()));
    }
    types.push_back(kTypes[static_cast<size_t>(numbers[i] - 1)]);
  }
  return types;
}

// A token's id, or -1 without the key.
absl::StatusOr<TokenId> ReadTokenId(const GgufFile& file, std::string_view key,
                                    size_t token_count) {
  if (!file.Has(key)) return -1;
  ASSIGN_OR_RETURN(const int64_t id, file.GetInt(key));
  if (id < 0 || id >= static_cast<int64_t>(token_count)) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: ", std::string(key), " is ", id, ", beyond 0 to ", token_count - 1));
  }
  return static_cast<TokenId>(id);
}

absl::Status ReadEndOfText(const GgufFile& file, TokenizerSpec& spec) {
  constexpr std::array<std::string_view, 2> kKeys = {"tokenizer.ggml.eot_token_id",
                                                     "tokenizer.ggml.eom_token_id"};
  for (const std::string_view key : kKeys) {
    ASSIGN_OR_RETURN(const TokenId id, ReadTokenId(file, key, spec.tokens.size()));
    if (id >= 0) spec.end_of_text.push_back(id);
  }
  AddKnownEndOfText(spec);
  return absl::OkStatus();
}

// `fallback` without the key.
absl::StatusOr<bool> ReadBool(const GgufFile& file, std::string_view key, bool fallback) {
  if (!file.Has(key)) return fallback;
  return file.GetBool(key);
}

absl::Status ReadScores(const GgufFile& file, TokenizerSpec& spec) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  ASSIGN_OR_RETURN(spec.scores, file.GetFloats(kKey));
  if (spec.scores.size() != spec.tokens.size()) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", std::string(kKey), " has ",
                                                   spec.scores.size(), " entries for ",
                                                   spec.tokens.size(), " tokens"));
  }
  const auto is_number = [](double score) { return std::isfinite(score); };
  if (!std::all_of(spec.scores.begin(), spec.scores.end(), is_number)) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: ", std::string(kKey), " has a score that is no number"));
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(const GgufFile& file, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> merges,
                   file.GetStrings("tokenizer.ggml.merges"));
  ASSIGN_OR_RETURN(spec.merges, MergeRulesFromLines(spec.tokens, merges));
  return absl::OkStatus();
}

// From U+2581 back to spaces, and from <0x41> to bytes.
std::vector<DecoderStep> PlainTextDecoders() {
  using Step = DecoderStep::Kind;
  return {{.kind = Step::kReplace, .text = " ", .pattern = {.text = "\u2581"}},
          {.kind = Step::kByteFallback},
          {.kind = Step::kFuse}};
}

// ---- what each tokenizer.ggml.model is ----

// Byte-level BPE, and what of it became merges over plain text.
absl::Status ReadGpt2(const GgufFile& file, TokenizerSpec& spec) {
  spec.kind = TokenizerSpec::Kind::kByteLevelBpe;
  // Files from before the key was invented were made for "default".
  spec.pre_tokenizer = "default";
  if (file.Has("tokenizer.ggml.pre")) {
    ASSIGN_OR_RETURN(const std::string_view pre, file.GetString("tokenizer.ggml.pre"));
    spec.pre_tokenizer = std::string(pre);
  }
  return ReadMerges(file, spec);
}

absl::Status ReadGemma4(const GgufFile& file, TokenizerSpec& spec) {
  spec.kind = TokenizerSpec::Kind::kBpe;
  spec.pre_tokenizer = "gemma4";
  spec.decoders = PlainTextDecoders();
  return ReadMerges(file, spec);
}

// SentencePiece's BPE: Llama 2, Mistral, Gemma to 3.
absl::Status ReadLlama(const GgufFile& file, TokenizerSpec& spec) {
  spec.kind = TokenizerSpec::Kind::kSentencePieceBpe;
  spec.byte_fallback = true;
  RETURN_IF_ERROR(ReadScores(file, spec));
  ASSIGN_OR_RETURN(const bool add_space_prefix,
                   ReadBool(file, "tokenizer.ggml.add_space_prefix", true));
  spec.decoders = PlainTextDecoders();
  if (add_space_prefix) {
    spec.normalizers.push_back({.kind = NormalizerStep::Kind::kPrepend, .text = "\u2581"});
    spec.decoders.push_back({.kind = DecoderStep::Kind::kStrip, .text = " ", .start = 1});
  }
  spec.normalizers.push_back(
      {.kind = NormalizerStep::Kind::kReplace, .text = "\u2581", .pattern = {.text = " "}});
  return absl::OkStatus();
}

// SentencePiece's unigram model: T5, XLM-RoBERTa.
absl::Status ReadT5(const GgufFile& file, TokenizerSpec& spec) {
  constexpr std::string_view kCharsmap = "tokenizer.ggml.precompiled_charsmap";
  spec.kind = TokenizerSpec::Kind::kUnigram;
  RETURN_IF_ERROR(ReadScores(file, spec));
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const TokenType type = spec.types[i];
    if (type != TokenType::kNormal && type != TokenType::kUnused) spec.scores[i] = 0;
  }
  spec.byte_fallback = Contains(spec.types, TokenType::kByte);
  NormalizerStep step{.kind = NormalizerStep::Kind::kSentencePiece};
  ASSIGN_OR_RETURN(step.add_space_prefix, ReadBool(file, "tokenizer.ggml.add_space_prefix", false));
  ASSIGN_OR_RETURN(step.remove_extra_spaces,
                   ReadBool(file, "tokenizer.ggml.remove_extra_whitespaces", false));
  if (file.Has(kCharsmap)) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> bytes, file.GetInts(kCharsmap));
    if (bytes.size() > TokenizerLimits::kCharsmapBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("GGUF: ", std::string(kCharsmap), " has ",
                                                     bytes.size(), " bytes, beyond the limit of ",
                                                     TokenizerLimits::kCharsmapBytesMax));
    }
    for (const int64_t byte : bytes) step.text += static_cast<char>(byte);
  }
  const bool strips = step.add_space_prefix;
  spec.normalizers.push_back(std::move(step));
  spec.decoders = PlainTextDecoders();
  if (strips) {
    spec.decoders.push_back({.kind = DecoderStep::Kind::kStrip, .text = " ", .start = 1});
  }
  return absl::OkStatus();
}

// WordPiece. The file has U+2581 at what begins a word, where BERT has ## at what goes on.
absl::Status ReadBert(const GgufFile& file, TokenizerSpec& spec) {
  constexpr std::string_view kWordBegin = "\u2581";
  spec.kind = TokenizerSpec::Kind::kWordPiece;
  spec.continuing_prefix = "##";
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    std::string& text = spec.tokens[i];
    if (spec.types[i] == TokenType::kControl || spec.types[i] == TokenType::kUnknown) continue;
    if (text.starts_with(kWordBegin)) {
      text.erase(0, kWordBegin.size());
    } else {
      text.insert(0, spec.continuing_prefix);
    }
  }
  NormalizerStep step{.kind = NormalizerStep::Kind::kBert};
  ASSIGN_OR_RETURN(step.lowercase, ReadBool(file, "tokenizer.ggml.normalizer.lowercase", true));
  ASSIGN_OR_RETURN(step.strip_accents,
                   ReadBool(file, "tokenizer.ggml.normalizer.strip_accents", step.lowercase));
  spec.normalizers.push_back(std::move(step));
  spec.pre_tokenizers.push_back({.kind = PreTokenizerStep::Kind::kBert});
  return absl::OkStatus();
}

struct Model {
  std::string_view name;
  std::string_view what;
  absl::Status (*read)(const GgufFile& file, TokenizerSpec& spec);
  // What llama.cpp takes where the file doesn't say; beyond the vocabulary: none.
  TokenId bos = -1;
  TokenId eos = -1;
  TokenId unknown = -1;
  TokenId separator = -1;
  bool add_bos = false;
  bool add_eos = false;
  bool add_separator = false;
};

constexpr Model kModels[] = {
    {"gpt2", "byte-level BPE", ReadGpt2},
    {"llama", "SentencePiece BPE", ReadLlama, 1, 2, 0, -1, true},
    {"gemma4", "BPE of plain text", ReadGemma4, -1, -1, -1, -1, true},
    {"t5", "unigram", ReadT5, -1, 1, 2, -1, false, true},
    {"bert", "WordPiece", ReadBert, 101, -1, 100, 102, true, false, true},
};

absl::StatusOr<const Model*> FindModel(const GgufFile& file) {
  constexpr std::string_view kKey = "tokenizer.ggml.model";
  ASSIGN_OR_RETURN(const std::string_view name, file.GetString(kKey));
  std::string known;
  for (const Model& model : kModels) {
    if (name == model.name) return &model;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(model.name), " (",
                    std::string(model.what), ")");
  }
  return absl::UnimplementedError(absl::StrCat("GGUF: ", std::string(kKey), " is \"",
                                               std::string(name), "\"; this build runs: ", known));
}

absl::Status ReadTokens(const GgufFile& file, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens,
                   file.GetStrings("tokenizer.ggml.tokens"));
  if (tokens.empty() || tokens.size() > TokenizerLimits::kVocabularyMax) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: tokenizer.ggml.tokens has ",
                                                   tokens.size(), " entries, beyond 1 to ",
                                                   TokenizerLimits::kVocabularyMax));
  }
  spec.tokens.assign(tokens.begin(), tokens.end());
  ASSIGN_OR_RETURN(spec.types, ReadTypes(file, spec.tokens.size()));
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (spec.types[i] == TokenType::kUserDefined && LooksLikeControl(spec.tokens[i])) {
      spec.types[i] = TokenType::kControl;
    }
  }
  return absl::OkStatus();
}

// The tokens that the model's kind has by custom, or that the file names.
absl::Status ReadSpecialIds(const GgufFile& file, const Model& model, TokenizerSpec& spec,
                            TokenId& separator) {
  const struct {
    std::string_view key;
    TokenId custom;
    TokenId* id;
  } kIds[] = {
      {"tokenizer.ggml.bos_token_id", model.bos, &spec.bos},
      {"tokenizer.ggml.eos_token_id", model.eos, &spec.eos},
      {"tokenizer.ggml.unknown_token_id", model.unknown, &spec.unknown},
      {"tokenizer.ggml.seperator_token_id", model.separator, &separator},  // [sic]
  };
  for (const auto& [key, custom, id] : kIds) {
    ASSIGN_OR_RETURN(*id, ReadTokenId(file, key, spec.tokens.size()));
    if (!file.Has(key) && custom < std::ssize(spec.tokens)) *id = custom;
  }
  return absl::OkStatus();
}

// What is added to a text that is encoded by itself.
absl::Status ReadTemplate(const GgufFile& file, const Model& model, TokenId separator,
                          TokenizerSpec& spec) {
  const bool adds_bos = model.add_bos || Contains(kAddBosByDefault, spec.pre_tokenizer);
  const struct {
    std::string_view key;
    bool custom;
    TokenId id;
    std::string_view id_key;
    std::vector<TokenId>& side;
  } kAdded[] = {
      {"tokenizer.ggml.add_bos_token", adds_bos, spec.bos, "bos_token_id", spec.prefix},
      {"tokenizer.ggml.add_eos_token", model.add_eos, spec.eos, "eos_token_id", spec.suffix},
      {"tokenizer.ggml.add_sep_token", model.add_separator, separator, "seperator_token_id",
       spec.suffix},
  };
  for (const auto& [key, custom, id, id_key, side] : kAdded) {
    ASSIGN_OR_RETURN(const bool adds, ReadBool(file, key, custom && id >= 0));
    if (!adds) continue;
    if (id < 0) {
      return absl::InvalidArgumentError(absl::StrCat("GGUF: ", std::string(key),
                                                     " is true, but there is no tokenizer.ggml.",
                                                     std::string(id_key)));
    }
    side.push_back(id);
  }
  spec.add_bos = !spec.prefix.empty();
  return absl::OkStatus();
}

// Files don't say which tokens take the white space beside them. These families' tokenizer.json do
// (llama.cpp has the same list in llama-vocab.cpp).
absl::Status ReadStripping(const GgufFile& file, TokenizerSpec& spec) {
  std::string name;
  if (file.Has("general.name")) {
    ASSIGN_OR_RETURN(const std::string_view text, file.GetString("general.name"));
    for (const char c : text) name += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  const bool is_phi3 =
      name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
  const bool has_mask =
      spec.pre_tokenizer.starts_with("jina-v2-") || spec.pre_tokenizer == "modern-bert";
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const std::string& text = spec.tokens[i];
    AddedToken token{.id = static_cast<TokenId>(i)};
    const bool is_added = spec.types[i] == TokenType::kControl ||
                          spec.types[i] == TokenType::kUserDefined ||
                          spec.types[i] == TokenType::kUnknown || text == "</s>";
    token.rstrip =
        is_phi3 && is_added && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
    token.lstrip = has_mask && (text == "<mask>" || text == "[MASK]");
    if (token.rstrip || token.lstrip) spec.added.push_back(token);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerSpec> TokenizerSpecFromGguf(const GgufFile& file) {
  TokenizerSpec spec;
  TokenId separator = -1;
  ASSIGN_OR_RETURN(const Model* const model, FindModel(file));
  RETURN_IF_ERROR(ReadTokens(file, spec));
  RETURN_IF_ERROR(model->read(file, spec));
  RETURN_IF_ERROR(ReadSpecialIds(file, *model, spec, separator));
  RETURN_IF_ERROR(ReadTemplate(file, *model, separator, spec));
  RETURN_IF_ERROR(ReadStripping(file, spec));
  RETURN_IF_ERROR(ReadEndOfText(file, spec));
  return spec;
}

absl::StatusOr<std::vector<NamedTemplate>> ChatTemplatesFromGguf(const GgufFile& file) {
  std::vector<NamedTemplate> templates;
  const auto add = [&](std::string_view name, const std::string& key) -> absl::Status {
    ASSIGN_OR_RETURN(const std::string_view text, file.GetString(key));
    if (text.size() > kChatTemplateBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("GGUF: ", key, " has ", text.size(),
                                                     " bytes, beyond the limit of ",
                                                     kChatTemplateBytesMax));
    }
    templates.push_back({.name = std::string(name), .source = std::string(text)});
    return absl::OkStatus();
  };
  if (file.Has(kChatTemplate)) RETURN_IF_ERROR(add("default", kChatTemplate));
  constexpr const char* kNames = "tokenizer.chat_templates";
  if (!file.Has(kNames)) return templates;
  ASSIGN_OR_RETURN(const std::vector<std::string_view> names, file.GetStrings(kNames));
  if (names.size() > kChatTemplatesMax) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", kNames, " has ", names.size(),
                                                   " names, beyond the limit of ",
                                                   kChatTemplatesMax));
  }
  for (const std::string_view name : names) {
    RETURN_IF_ERROR(add(name, absl::StrCat(kChatTemplate, ".", std::string(name))));
  }
  return templates;
}

}  // namespace spillway
