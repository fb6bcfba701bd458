#include "server/dialects/stop_strings.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace spillway {

using nlohmann::json;

void ReadStopStrings(FieldReader& reader, const char* name, const DialectLimits& limits,
                     std::vector<std::string>& stop_strings) {
  const json* stop = reader.Find(name);
  if (stop == nullptr) return;
  const json list = stop->is_string() ? json::array({*stop}) : *stop;
  if (!list.is_array() || list.size() > limits.stop_strings_max) {
    reader.Fail(name, absl::StrCat(name, " must be a string or an array of at most ",
                                   limits.stop_strings_max, " strings, not ", ShowJson(*stop)));
    return;
  }
  for (const json& item : list) {
    if (!item.is_string() ||
        item.get_ref<const std::string&>().size() > limits.stop_string_bytes_max) {
      reader.Fail(name, absl::StrCat(name, " must hold strings of at most ",
                                     limits.stop_string_bytes_max, " bytes, not ", ShowJson(item)));
      return;
    }
    if (!item.get_ref<const std::string&>().empty()) {
      stop_strings.push_back(item.get<std::string>());
    }
  }
}

}  // namespace spillway
