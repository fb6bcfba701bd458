#include "worker/text/tokenizer_json.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/control_marker.h"
#include "worker/text/end_of_text.h"
#include "worker/text/json_fields.h"
#include "worker/text/tokenizer_json_model.h"
#include "worker/text/tokenizer_json_steps.h"

namespace spillway {
namespace {

using Limits = TokenizerLimits;
using TokenType = TokenizerSpec::TokenType;

// An entry of added_tokens, or of the config's added_tokens_decoder.
struct Addition {
  std::string content;
  AddedToken flags;
  bool special = false;
};

// Tokens that are added to the model's vocabulary.
class AddedVocabulary {
 public:
  AddedVocabulary(size_t model_size, TokenizerSpec& spec, TokenIds& ids)
      : model_size_(static_cast<TokenId>(model_size)), spec_(spec), ids_(ids) {}

  // As tokenizers' AddedVocabulary::add_tokens: what is known keeps its id, the others follow all
  // that there is.
  absl::Status Add(const std::vector<Addition>& additions) {
    TokenId next = std::max(model_size_, last_ + 1);
    for (const Addition& addition : additions) {
      if (addition.content.empty()) continue;
      const auto known = ids_.find(addition.content);
      const TokenId id = known != ids_.end() ? known->second : next++;
      RETURN_IF_ERROR(Place(addition, id, known != ids_.end()));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Place(const Addition& addition, TokenId id, bool known) {
    const auto index = static_cast<size_t>(id);
    if (index >= Limits::kVocabularyMax) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: added_tokens: \"",
                                                     addition.content, "\" would have the id ", id,
                                                     ", beyond ", Limits::kVocabularyMax - 1));
    }
    if (index >= spec_.tokens.size()) {
      spec_.tokens.resize(index + 1);
      spec_.types.resize(index + 1, TokenType::kUnused);
      if (!spec_.scores.empty()) spec_.scores.resize(index + 1);
    }
    if (!known && spec_.types[index] != TokenType::kUnused) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tokenizer.json: added_tokens: \"", addition.content, "\" would have the id ", id,
          ", which is that of \"", spec_.tokens[index], "\""));
    }
    spec_.tokens[index] = addition.content;
    spec_.types[index] = addition.special ? TokenType::kControl : TokenType::kUserDefined;
    ids_.insert_or_assign(addition.content, id);
    last_ = std::max(last_, id);
    AddedToken flags = addition.flags;
    flags.id = id;
    const auto [place, is_new] = places_.try_emplace(id, spec_.added.size());
    if (is_new) spec_.added.emplace_back();
    spec_.added[place->second] = flags;
    return absl::OkStatus();
  }

  const TokenId model_size_;
  TokenizerSpec& spec_;
  TokenIds& ids_;
  absl::flat_hash_map<TokenId, size_t> places_;  // in spec_.added
  TokenId last_ = -1;                            // of the tokens that were added
};

absl::StatusOr<Addition> ReadAddition(const JsonField& json) {
  Addition addition;
  ASSIGN_OR_RETURN(const JsonField content, json.Get("content"));
  ASSIGN_OR_RETURN(addition.content, content.String(Limits::kSearchedBytesMax));
  ASSIGN_OR_RETURN(addition.special, json.BoolOr("special", false));
  ASSIGN_OR_RETURN(addition.flags.single_word, json.BoolOr("single_word", false));
  ASSIGN_OR_RETURN(addition.flags.lstrip, json.BoolOr("lstrip", false));
  ASSIGN_OR_RETURN(addition.flags.rstrip, json.BoolOr("rstrip", false));
  ASSIGN_OR_RETURN(addition.flags.normalized, json.BoolOr("normalized", !addition.special));
  addition.special |= LooksLikeControl(addition.content);
  return addition;
}

absl::Status ReadAddedTokens(const JsonField& root, AddedVocabulary& vocabulary) {
  const std::optional<JsonField> json = root.Find("added_tokens");
  if (!json) return absl::OkStatus();
  std::vector<Addition> additions;
  RETURN_IF_ERROR(json->ForEachElement([&](const JsonField& token) {
    if (additions.size() == Limits::kVocabularyMax) return json->Wrong("has too many elements");
    ASSIGN_OR_RETURN(additions.emplace_back(), ReadAddition(token));
    return absl::OkStatus();
  }));
  return vocabulary.Add(additions);
}

// ---- the post-processor: what it adds to a text that is encoded by itself ----

absl::Status CheckId(const JsonField& json, int64_t id, TokenizerSpec& spec) {
  if (id < 0 || id >= std::ssize(spec.tokens) || spec.types[id] == TokenType::kUnused) {
    return json.Wrong(absl::StrCat("has ", id, ", which is no token"));
  }
  spec.types[id] = TokenType::kControl;
  return absl::OkStatus();
}

// ["[SEP]", 102]
absl::StatusOr<TokenId> ReadNamedId(const JsonField& json, std::string_view key,
                                    TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const JsonField pair, json.Get(key));
  ASSIGN_OR_RETURN(const std::vector<JsonField> parts, pair.Elements(2));
  if (parts.size() != 2) return pair.Wrong("is no pair");
  ASSIGN_OR_RETURN(const int64_t id, parts[1].Int(0, INT32_MAX));
  RETURN_IF_ERROR(CheckId(pair, id, spec));
  return static_cast<TokenId>(id);
}

// The ids of the special token that `piece` of a template names.
absl::StatusOr<std::vector<TokenId>> ReadTemplatePiece(const JsonField& processor,
                                                       const JsonField& piece,
                                                       TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const JsonField name, piece.Get("id"));
  ASSIGN_OR_RETURN(const std::string_view text, name.String(Limits::kTokenBytesMax));
  ASSIGN_OR_RETURN(const JsonField all, processor.Get("special_tokens"));
  ASSIGN_OR_RETURN(const JsonField token, all.Get(text));
  ASSIGN_OR_RETURN(const JsonField list, token.Get("ids"));
  ASSIGN_OR_RETURN(const std::vector<JsonField> elements,
                   list.Elements(Limits::kTemplateTokensMax));
  std::vector<TokenId> ids;
  for (const JsonField& element : elements) {
    ASSIGN_OR_RETURN(const int64_t id, element.Int(0, INT32_MAX));
    RETURN_IF_ERROR(CheckId(element, id, spec));
    ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

absl::Status ReadTemplate(const JsonField& processor, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const JsonField single, processor.Get("single"));
  ASSIGN_OR_RETURN(const std::vector<JsonField> pieces,
                   single.Elements(2 * Limits::kTemplateTokensMax));
  std::vector<TokenId> before;
  std::vector<TokenId> after;
  bool has_text = false;
  for (const JsonField& piece : pieces) {
    if (piece.Find("Sequence")) {
      if (has_text) return piece.Unknown("has the text a second time, which is not supported");
      has_text = true;
      continue;
    }
    ASSIGN_OR_RETURN(const JsonField special, piece.Get("SpecialToken"));
    ASSIGN_OR_RETURN(const std::vector<TokenId> ids, ReadTemplatePiece(processor, special, spec));
    std::vector<TokenId>& side = has_text ? after : before;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!has_text) return single.Wrong("leaves the text out");
  // A later template goes around what the earlier ones made.
  spec.prefix.insert(spec.prefix.begin(), before.begin(), before.end());
  spec.suffix.insert(spec.suffix.end(), after.begin(), after.end());
  if (std::max(spec.prefix.size(), spec.suffix.size()) > Limits::kTemplateTokensMax) {
    return single.Wrong(absl::StrCat("adds more than ", Limits::kTemplateTokensMax, " tokens"));
  }
  return absl::OkStatus();
}

absl::Status ReadProcessor(const JsonField& json, bool in_sequence, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const std::string type, json.StringOr("type", "", Limits::kStepTextMax));
  if (type == "ByteLevel") return absl::OkStatus();  // moves offsets only
  if (type == "TemplateProcessing") return ReadTemplate(json, spec);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    ASSIGN_OR_RETURN(const TokenId cls, ReadNamedId(json, "cls", spec));
    ASSIGN_OR_RETURN(const TokenId sep, ReadNamedId(json, "sep", spec));
    spec.prefix.insert(spec.prefix.begin(), cls);
    spec.suffix.push_back(sep);
    return absl::OkStatus();
  }
  if (type == "Sequence" && !in_sequence) {
    ASSIGN_OR_RETURN(const JsonField parts, json.Get("processors"));
    ASSIGN_OR_RETURN(const std::vector<JsonField> elements, parts.Elements(Limits::kStepsMax));
    for (const JsonField& part : elements) RETURN_IF_ERROR(ReadProcessor(part, true, spec));
    return absl::OkStatus();
  }
  return json.Unknown(absl::StrCat("has the type \"", type,
                                   "\", which is not supported; supported are ByteLevel, "
                                   "TemplateProcessing, BertProcessing, RobertaProcessing, and a "
                                   "Sequence of these"));
}

// ---- tokenizer_config.json ----

// A special token of the config: a string, or an object with its content. Empty: none.
absl::StatusOr<Addition> ReadNamedToken(const JsonField& json) {
  Addition addition;
  if (json.is_object()) {
    ASSIGN_OR_RETURN(addition, ReadAddition(json));
    ASSIGN_OR_RETURN(addition.flags.normalized, json.BoolOr("normalized", false));
  } else {
    ASSIGN_OR_RETURN(addition.content, json.String(Limits::kSearchedBytesMax));
  }
  addition.special = true;
  return addition;
}

absl::Status ReadAddedTokensDecoder(const JsonField& config, AddedVocabulary& vocabulary) {
  const std::optional<JsonField> json = config.Find("added_tokens_decoder");
  if (!json) return absl::OkStatus();
  std::vector<std::pair<int64_t, Addition>> additions;
  RETURN_IF_ERROR(json->ForEachMember([&](std::string_view key, const JsonField& token) {
    int64_t id = 0;
    if (!absl::SimpleAtoi(std::string(key), &id)) return json->Wrong("has a key that is no id");
    if (additions.size() == Limits::kVocabularyMax) return json->Wrong("has too many members");
    ASSIGN_OR_RETURN(Addition addition, ReadAddition(token));
    additions.emplace_back(id, std::move(addition));
    return absl::OkStatus();
  }));
  std::stable_sort(additions.begin(), additions.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Addition> in_order;
  for (auto& [id, addition] : additions) in_order.push_back(std::move(addition));
  return vocabulary.Add(in_order);
}

// The config's special tokens become control tokens; bos and eos are noted.
absl::Status ReadSpecialTokens(const JsonField& config, const TokenIds& ids,
                               AddedVocabulary& vocabulary, TokenizerSpec& spec) {
  constexpr std::array<std::string_view, 7> kNames = {
      "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
  std::vector<Addition> additions;
  const auto add = [&](const JsonField& json) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(Addition addition, ReadNamedToken(json));
    const auto known = ids.find(addition.content);
    const bool is_control = known != ids.end() && spec.types[known->second] == TokenType::kControl;
    std::string content = addition.content;
    if (!is_control) additions.push_back(std::move(addition));
    return content;
  };
  std::string bos;
  std::string eos;
  for (const std::string_view name : kNames) {
    const std::optional<JsonField> json = config.Find(name);
    if (!json) continue;
    ASSIGN_OR_RETURN(const std::string content, add(*json));
    if (name == "bos_token") bos = content;
    if (name == "eos_token") eos = content;
  }
  if (const std::optional<JsonField> more = config.Find("additional_special_tokens")) {
    RETURN_IF_ERROR(
        more->ForEachElement([&](const JsonField& json) { return add(json).status(); }));
  }
  RETURN_IF_ERROR(vocabulary.Add(additions));
  for (const auto& [text, id] : {std::pair(bos, &spec.bos), std::pair(eos, &spec.eos)}) {
    const auto found = ids.find(text);
    if (!text.empty() && found != ids.end()) *id = found->second;
  }
  return absl::OkStatus();
}

// add_bos_token and add_eos_token: those classes of transformers that have them build the template
// anew from them, and bos is added unless they say not to.
absl::Status ReadAddedEnds(const JsonField& config, TokenizerSpec& spec) {
  constexpr std::array<std::string_view, 4> kClasses = {"Llama", "Gemma", "Cohere", "CodeLlama"};
  ASSIGN_OR_RETURN(std::string name, config.StringOr("tokenizer_class", "", Limits::kStepTextMax));
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  const bool builds = std::any_of(kClasses.begin(), kClasses.end(), [&](std::string_view known) {
    return name == std::string(known) + "Tokenizer";
  });
  ASSIGN_OR_RETURN(const bool add_bos, config.BoolOr("add_bos_token", builds));
  ASSIGN_OR_RETURN(const bool add_eos, config.BoolOr("add_eos_token", false));
  if (!builds && !add_bos && !add_eos) return absl::OkStatus();
  spec.prefix.clear();
  spec.suffix.clear();
  if (add_bos && spec.bos < 0) {
    return config.Wrong("has add_bos_token, but no bos_token that is a token");
  }
  if (add_eos && spec.eos < 0) {
    return config.Wrong("has add_eos_token, but no eos_token that is a token");
  }
  if (add_bos) spec.prefix.push_back(spec.bos);
  if (add_eos) spec.suffix.push_back(spec.eos);
  return absl::OkStatus();
}

absl::Status ReadConfig(std::string_view text, const TokenIds& ids, AddedVocabulary& vocabulary,
                        TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, "tokenizer_config.json"));
  RETURN_IF_ERROR(ReadAddedTokensDecoder(document.root(), vocabulary));
  RETURN_IF_ERROR(ReadSpecialTokens(document.root(), ids, vocabulary, spec));
  return ReadAddedEnds(document.root(), spec);
}

// Whether the last thing that happens to a text before the model sees it is that it is cut into
// bytes.
bool EndsWithBytes(const std::vector<PreTokenizerStep>& steps) {
  const auto is_bytes = [](const PreTokenizerStep& step) {
    return step.kind == PreTokenizerStep::Kind::kByteLevel;
  };
  return std::count_if(steps.begin(), steps.end(), is_bytes) == 1 && is_bytes(steps.back());
}

}  // namespace

absl::StatusOr<TokenizerSpec> TokenizerSpecFromTokenizerJson(std::string_view json,
                                                             std::string_view config_json) {
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(json, "tokenizer.json"));
  const JsonField& root = document.root();
  TokenizerSpec spec;
  ASSIGN_OR_RETURN(spec.normalizers, NormalizersFromJson(root));
  ASSIGN_OR_RETURN(spec.pre_tokenizers, PreTokenizersFromJson(root));
  ASSIGN_OR_RETURN(spec.decoders, DecodersFromJson(root));
  if (spec.decoders.empty()) spec.decoders.push_back({.kind = DecoderStep::Kind::kSpaces});
  TokenIds ids;
  ASSIGN_OR_RETURN(const size_t model_size,
                   ReadTokenizerModel(root, EndsWithBytes(spec.pre_tokenizers), spec, ids));
  AddedVocabulary vocabulary(model_size, spec, ids);
  RETURN_IF_ERROR(ReadAddedTokens(root, vocabulary));
  if (const std::optional<JsonField> processor = root.Find("post_processor")) {
    RETURN_IF_ERROR(ReadProcessor(*processor, false, spec));
  }
  if (!config_json.empty()) RETURN_IF_ERROR(ReadConfig(config_json, ids, vocabulary, spec));
  if (spec.bos < 0 && !spec.prefix.empty()) spec.bos = spec.prefix.front();
  spec.add_bos = !spec.prefix.empty() && spec.prefix.front() == spec.bos;
  AddKnownEndOfText(spec);
  return spec;
}

}  // namespace spillway
