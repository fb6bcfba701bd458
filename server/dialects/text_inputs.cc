#include "server/dialects/text_inputs.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

using nlohmann::json;

constexpr int64_t kTokenIdMax = std::numeric_limits<int32_t>::max();

std::optional<std::vector<int32_t>> TokenIds(const json& list, const DialectLimits& limits) {
  if (list.empty() || list.size() > limits.prompt_token_ids_max) return std::nullopt;
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const json& item : list) {
    const std::optional<int64_t> id = AsInteger(item);
    if (!id || *id < 0 || *id > kTokenIdMax) return std::nullopt;
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

std::optional<TextOrTokens> OneInput(const json& input, const DialectLimits& limits) {
  if (input.is_string()) return input.get<std::string>();
  if (!input.is_array()) return std::nullopt;
  auto ids = TokenIds(input, limits);
  if (!ids) return std::nullopt;
  return *std::move(ids);
}

}  // namespace

std::vector<TextOrTokens> ReadTextInputs(FieldReader& reader, const char* name, size_t count_max,
                                         const DialectLimits& limits) {
  const json* const inputs = reader.Find(name);
  if (inputs == nullptr) {
    reader.Fail(name,
                absl::StrCat(name, " is missing; a string or an array of token ids is needed"));
    return {};
  }
  const std::string needed = absl::StrCat("must be a string or an array of 1 to ",
                                          limits.prompt_token_ids_max, " token ids, not ");
  if (!inputs->is_array() || inputs->empty() || (*inputs)[0].is_number()) {
    if (auto one = OneInput(*inputs, limits)) return {*std::move(one)};
    reader.Fail(name, absl::StrCat(name, " ", needed, ShowJson(*inputs)));
    return {};
  }
  if (inputs->size() > count_max) {
    reader.Fail(name, absl::StrCat(name, " holds ", inputs->size(), " texts, at most ", count_max,
                                   " are taken at once"));
    return {};
  }
  std::vector<TextOrTokens> texts;
  for (size_t i = 0; i < inputs->size(); ++i) {
    auto one = OneInput((*inputs)[i], limits);
    if (!one) {
      reader.Fail(name, absl::StrCat(name, "[", i, "] ", needed, ShowJson((*inputs)[i])));
      return {};
    }
    texts.push_back(*std::move(one));
  }
  return texts;
}

}  // namespace spillway
