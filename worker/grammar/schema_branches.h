#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace spillway {

// Whether no value fits two of `branches`, an array of schemas: they have different types, or are
// objects with a required property whose constants differ. `root` is where references lead.
bool AreDisjoint(const nlohmann::ordered_json& branches, const nlohmann::ordered_json& root);

// What a local reference ("#", "#/$defs/a") points at; null: nothing.
const nlohmann::ordered_json* ResolveReference(const nlohmann::ordered_json& root,
                                               const std::string& reference);

}  // namespace spillway
