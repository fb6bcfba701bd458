#include "worker/model/hf_text_files.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "worker/model/json_object.h"
#include "worker/text/tokenizer_json.h"

namespace spillway {
namespace {

using TokenType = TokenizerSpec::TokenType;

// Gemma 3's has 33 MB.
constexpr size_t kTokenizerBytesMax = 256 << 20;
constexpr size_t kChatTemplateBytesMax = 1 << 20;
constexpr size_t kChatTemplatesMax = 64;
constexpr size_t kEndTokensMax = 64;

constexpr const char* kTokenizer = "tokenizer.json";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kSpecialTokens = "special_tokens_map.json";
constexpr const char* kGeneration = "generation_config.json";
constexpr const char* kConfig = "config.json";
constexpr const char* kChatTemplate = "chat_template.jinja";
constexpr const char* kChatTemplateFolder = "additional_chat_templates";
constexpr const char* kDefault = "default";

// nullopt: there is no such file.
absl::StatusOr<std::optional<JsonObject>> ReadSettings(const ModelFolder& folder,
                                                       const char* name) {
  if (!folder.Has(name)) return std::nullopt;
  ASSIGN_OR_RETURN(const std::string text, folder.ReadText(name, JsonLimits::kBytesMax));
  ASSIGN_OR_RETURN(JsonObject object, JsonObject::Parse(text, name));
  return object;
}

// tokenizer_config.json, and what only special_tokens_map.json says: as transformers reads the two.
// Empty when there is neither.
absl::StatusOr<std::string> ReadTokenizerConfig(const ModelFolder& folder) {
  std::string config;
  if (folder.Has(kTokenizerConfig)) {
    ASSIGN_OR_RETURN(config, folder.ReadText(kTokenizerConfig, JsonLimits::kBytesMax));
    RETURN_IF_ERROR(JsonObject::Parse(config, kTokenizerConfig).status());
  }
  if (!folder.Has(kSpecialTokens)) return config;
  ASSIGN_OR_RETURN(const std::string map, folder.ReadText(kSpecialTokens, JsonLimits::kBytesMax));
  RETURN_IF_ERROR(JsonObject::Parse(map, kSpecialTokens).status());
  // Both are JSON and not too deep.
  auto merged = config.empty() ? nlohmann::json::object()
                               : nlohmann::json::parse(config, nullptr, /*exceptions=*/false);
  const auto special = nlohmann::json::parse(map, nullptr, /*exceptions=*/false);
  for (const auto& [key, value] : special.items()) {
    if (!merged.contains(key) || merged[key].is_null()) merged[key] = value;
  }
  return merged.dump();
}

absl::Status NoTokenizer(const ModelFolder& folder) {
  const char* instead = "";
  if (folder.Has("tokenizer.model")) {
    instead = "; tokenizer.model alone is not read: load and save it with transformers";
  } else if (folder.Has("vocab.txt") || folder.Has("vocab.json")) {
    instead = "; vocabulary files alone are not read: load and save them with transformers";
  }
  return absl::NotFoundError(absl::StrCat("the folder has no ", kTokenizer, instead));
}

// The ids that generation_config.json gives as the end of the text, or else config.json.
absl::StatusOr<std::vector<TokenId>> ReadEndTokens(const ModelFolder& folder,
                                                   int32_t vocabulary_size) {
  constexpr const char* kKey = "eos_token_id";
  for (const char* name : {kGeneration, kConfig}) {
    ASSIGN_OR_RETURN(const std::optional<JsonObject> settings, ReadSettings(folder, name));
    if (!settings.has_value() || !settings->Has(kKey)) continue;
    ASSIGN_OR_RETURN(const std::vector<int64_t> ids, settings->Ints(kKey, 0, vocabulary_size - 1));
    if (ids.size() > kEndTokensMax) {
      return absl::InvalidArgumentError(absl::StrCat(settings->NameOf(kKey), " has ", ids.size(),
                                                     " tokens, beyond the limit of ",
                                                     kEndTokensMax));
    }
    return std::vector<TokenId>(ids.begin(), ids.end());
  }
  return std::vector<TokenId>();
}

absl::Status Missing(const TokenizerSpec& spec, TokenId id, const char* what,
                     int32_t vocabulary_size) {
  return absl::InvalidArgumentError(absl::StrCat(kTokenizer, ": ", what, " needs token ", id,
                                                 " of ", spec.tokens.size(), "; the model has ",
                                                 vocabulary_size));
}

// Leaves tokens out that the model doesn't have: added ones, which some files name in vain.
absl::Status CutVocabulary(int32_t vocabulary_size, TokenizerSpec& spec) {
  const auto beyond = [vocabulary_size](TokenId id) { return id >= vocabulary_size; };
  for (const MergeRule& merge : spec.merges) {
    if (beyond(std::max({merge.left, merge.right, merge.merged}))) {
      return Missing(spec, std::max({merge.left, merge.right, merge.merged}), "a merge",
                     vocabulary_size);
    }
  }
  for (const auto& [id, what] : {std::pair(spec.unknown, "the unknown token"),
                                 {spec.bos, "the begin of the text"},
                                 {spec.eos, "the end of the text"}}) {
    if (beyond(id)) return Missing(spec, id, what, vocabulary_size);
  }
  for (const std::vector<TokenId>* ids : {&spec.prefix, &spec.suffix}) {
    for (const TokenId id : *ids) {
      if (beyond(id)) return Missing(spec, id, "the post-processor", vocabulary_size);
    }
  }
  std::erase_if(spec.added, [&](const AddedToken& token) { return beyond(token.id); });
  std::erase_if(spec.end_of_text, beyond);
  const auto size = static_cast<size_t>(vocabulary_size);
  spec.tokens.resize(size);
  spec.types.resize(size);
  if (!spec.scores.empty()) spec.scores.resize(size);
  return absl::OkStatus();
}

void AddEndTokens(const std::vector<TokenId>& ids, TokenizerSpec& spec) {
  if (spec.eos < 0 && !ids.empty()) spec.eos = ids.front();
  spec.end_of_text.insert(spec.end_of_text.end(), ids.begin(), ids.end());
  std::sort(spec.end_of_text.begin(), spec.end_of_text.end());
  spec.end_of_text.erase(std::unique(spec.end_of_text.begin(), spec.end_of_text.end()),
                         spec.end_of_text.end());
}

absl::Status AddTemplate(std::string name, std::string source, const std::string& where,
                         std::vector<NamedTemplate>& templates) {
  if (source.size() > kChatTemplateBytesMax || templates.size() >= kChatTemplatesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": the chat template ", name, " has ", source.size(),
                     " bytes and is number ", templates.size() + 1, "; the limits are ",
                     kChatTemplateBytesMax, " and ", kChatTemplatesMax));
  }
  for (NamedTemplate& known : templates) {
    if (known.name != name) continue;
    known.source = std::move(source);
    return absl::OkStatus();
  }
  const auto place = name == kDefault ? templates.begin() : templates.end();
  templates.insert(place, {std::move(name), std::move(source)});
  return absl::OkStatus();
}

// A text, or several by name.
absl::Status AddTemplatesOf(const JsonObject& config, std::vector<NamedTemplate>& templates) {
  constexpr const char* kKey = "chat_template";
  if (!config.Has(kKey)) return absl::OkStatus();
  if (config.IsString(kKey)) {
    ASSIGN_OR_RETURN(std::string source, config.String(kKey));
    return AddTemplate(kDefault, std::move(source), config.NameOf(kKey), templates);
  }
  ASSIGN_OR_RETURN(const std::vector<JsonObject> objects, config.Objects(kKey));
  for (const JsonObject& object : objects) {
    ASSIGN_OR_RETURN(std::string name, object.String("name"));
    ASSIGN_OR_RETURN(std::string source, object.String("template"));
    RETURN_IF_ERROR(
        AddTemplate(std::move(name), std::move(source), config.NameOf(kKey), templates));
  }
  return absl::OkStatus();
}

absl::Status AddTemplateFiles(const ModelFolder& folder, std::vector<NamedTemplate>& templates) {
  if (folder.Has(kChatTemplate)) {
    ASSIGN_OR_RETURN(std::string source, folder.ReadText(kChatTemplate, kChatTemplateBytesMax));
    RETURN_IF_ERROR(AddTemplate(kDefault, std::move(source), kChatTemplate, templates));
  }
  constexpr std::string_view kSuffix = ".jinja";
  for (const std::string& file : folder.FilesEndingIn(kSuffix, kChatTemplateFolder)) {
    const std::string path = absl::StrCat(kChatTemplateFolder, "/", file);
    ASSIGN_OR_RETURN(std::string source, folder.ReadText(path, kChatTemplateBytesMax));
    RETURN_IF_ERROR(AddTemplate(file.substr(0, file.size() - kSuffix.size()), std::move(source),
                                path, templates));
  }
  return absl::OkStatus();
}

// "bos_token": "<s>", or an object with its content.
absl::StatusOr<std::vector<TemplateToken>> ReadTemplateTokens(const JsonObject& config) {
  std::vector<TemplateToken> tokens;
  for (const std::string& key : config.Keys()) {
    if (!key.ends_with("_token")) continue;
    std::string text;
    if (config.IsString(key)) {
      ASSIGN_OR_RETURN(text, config.String(key));
    } else if (config.IsObject(key)) {
      ASSIGN_OR_RETURN(const JsonObject token, config.Object(key));
      ASSIGN_OR_RETURN(text, token.StringOr("content", ""));
    }
    if (!text.empty()) tokens.push_back({.variable = key, .text = std::move(text)});
  }
  return tokens;
}

}  // namespace

absl::StatusOr<TokenizerSpec> ReadHfTokenizer(const ModelFolder& folder, int32_t vocabulary_size) {
  if (!folder.Has(kTokenizer)) return NoTokenizer(folder);
  ASSIGN_OR_RETURN(const std::string config, ReadTokenizerConfig(folder));
  ASSIGN_OR_RETURN(const std::string text, folder.ReadText(kTokenizer, kTokenizerBytesMax));
  ASSIGN_OR_RETURN(TokenizerSpec spec, TokenizerSpecFromTokenizerJson(text, config));
  ASSIGN_OR_RETURN(const std::vector<TokenId> ends, ReadEndTokens(folder, vocabulary_size));
  const auto size = static_cast<size_t>(vocabulary_size);
  if (spec.tokens.size() > size) {
    RETURN_IF_ERROR(CutVocabulary(vocabulary_size, spec));
  } else {
    spec.tokens.resize(size);
    spec.types.resize(size, TokenType::kUnused);
    if (!spec.scores.empty()) spec.scores.resize(size);
  }
  AddEndTokens(ends, spec);
  return spec;
}

absl::StatusOr<ChatTemplateFiles> ReadHfChatTemplates(const ModelFolder& folder) {
  ChatTemplateFiles files;
  ASSIGN_OR_RETURN(const std::string text, ReadTokenizerConfig(folder));
  if (!text.empty()) {
    ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Parse(text, kTokenizerConfig));
    RETURN_IF_ERROR(AddTemplatesOf(config, files.templates));
    ASSIGN_OR_RETURN(files.tokens, ReadTemplateTokens(config));
  }
  RETURN_IF_ERROR(AddTemplateFiles(folder, files.templates));
  return files;
}

absl::StatusOr<SamplingParams> ReadHfSamplingDefaults(const ModelFolder& folder) {
  SamplingParams params;
  ASSIGN_OR_RETURN(const std::optional<JsonObject> config, ReadSettings(folder, kGeneration));
  if (!config.has_value()) return params;
  const auto number = [&](const char* key, double low, double high, float& to) -> absl::Status {
    ASSIGN_OR_RETURN(const double value, config->FloatOr(key, to, low, high));
    to = static_cast<float>(value);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(number("temperature", 0, 100, params.temperature));
  RETURN_IF_ERROR(number("top_p", 1e-6, 1, params.top_p));
  RETURN_IF_ERROR(number("min_p", 0, 0.999999, params.min_p));
  RETURN_IF_ERROR(number("repetition_penalty", 0.01, 100, params.repetition_penalty));
  ASSIGN_OR_RETURN(const int64_t top_k, config->IntOr("top_k", 0, -1, INT32_MAX));
  params.top_k = static_cast<int32_t>(std::max<int64_t>(top_k, 0));
  return params;
}

}  // namespace spillway
