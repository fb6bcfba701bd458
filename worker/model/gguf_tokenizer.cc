#include "worker/model/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/model_spec.h"
#include "worker/text/end_of_text.h"
#include "worker/text/merge_rules.h"

namespace spillway {
namespace {

using TokenType = TokenizerSpec::TokenType;

constexpr size_t kChatTemplateBytesMax = 1 << 20;

// With these pre-tokenizers llama.cpp adds BOS where the file doesn't say whether to.
constexpr std::array<std::string_view, 9> kAddBosByDefault = {
    "llama3",  "llama-v3", "llama-bpe", "falcon3", "falcon-h1",
    "pixtral", "midm-2.0", "lfm2",      "tekken",
};

template <typename Table>
bool Contains(const Table& table, std::string_view text) {
  return std::find(table.begin(), table.end(), text) != table.end();
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

absl::Status ReadModel(const GgufFile& file, TokenizerSpec& spec) {
  constexpr std::string_view kKey = "tokenizer.ggml.model";
  ASSIGN_OR_RETURN(const std::string_view model, file.GetString(kKey));
  if (model != "gpt2") {
    return absl::UnimplementedError(absl::StrCat("GGUF: ", std::string(kKey), " is \"",
                                                 std::string(model),
                                                 "\"; this build runs: gpt2 (byte-level BPE)"));
  }
  spec.kind = TokenizerSpec::Kind::kByteLevelBpe;
  // Files from before the key was invented were made for "default".
  spec.pre_tokenizer = "default";
  if (file.Has("tokenizer.ggml.pre")) {
    ASSIGN_OR_RETURN(const std::string_view pre, file.GetString("tokenizer.ggml.pre"));
    spec.pre_tokenizer = std::string(pre);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerSpec> TokenizerSpecFromGguf(const GgufFile& file) {
  TokenizerSpec spec;
  RETURN_IF_ERROR(ReadModel(file, spec));
  ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens,
                   file.GetStrings("tokenizer.ggml.tokens"));
  if (tokens.empty() || tokens.size() > ModelSpecLimits::kVocabularyMax) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: tokenizer.ggml.tokens has ",
                                                   tokens.size(), " entries, beyond 1 to ",
                                                   ModelSpecLimits::kVocabularyMax));
  }
  spec.tokens.assign(tokens.begin(), tokens.end());
  ASSIGN_OR_RETURN(spec.types, ReadTypes(file, spec.tokens.size()));
  ASSIGN_OR_RETURN(const std::vector<std::string_view> merges,
                   file.GetStrings("tokenizer.ggml.merges"));
  ASSIGN_OR_RETURN(spec.merges, MergeRulesFromLines(spec.tokens, merges));
  ASSIGN_OR_RETURN(spec.bos, ReadTokenId(file, "tokenizer.ggml.bos_token_id", spec.tokens.size()));
  ASSIGN_OR_RETURN(spec.eos, ReadTokenId(file, "tokenizer.ggml.eos_token_id", spec.tokens.size()));
  RETURN_IF_ERROR(ReadEndOfText(file, spec));
  spec.add_bos = Contains(kAddBosByDefault, spec.pre_tokenizer) && spec.bos >= 0;
  if (file.Has("tokenizer.ggml.add_bos_token")) {
    ASSIGN_OR_RETURN(spec.add_bos, file.GetBool("tokenizer.ggml.add_bos_token"));
  }
  if (spec.add_bos && spec.bos < 0) {
    return absl::InvalidArgumentError(
        "GGUF: tokenizer.ggml.add_bos_token is true, but there is no tokenizer.ggml.bos_token_id");
  }
  return spec;
}

absl::StatusOr<std::string> ChatTemplateFromGguf(const GgufFile& file) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  if (!file.Has(kKey)) return std::string();
  ASSIGN_OR_RETURN(const std::string_view text, file.GetString(kKey));
  if (text.size() > kChatTemplateBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", std::string(kKey), " has ",
                                                   text.size(), " bytes, beyond the limit of ",
                                                   kChatTemplateBytesMax));
  }
  return std::string(text);
}

}  // namespace spillway
