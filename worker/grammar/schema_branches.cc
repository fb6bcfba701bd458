#include "worker/grammar/schema_branches.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace spillway {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kReferencesMax = 32;

const Json& Resolved(const Json& schema, const Json& root) {
  const Json* at = &schema;
  for (int i = 0; i < kReferencesMax && at->is_object() && at->contains("$ref"); ++i) {
    const Json& reference = (*at)["$ref"];
    const Json* next =
        reference.is_string() ? ResolveReference(root, reference.get<std::string>()) : nullptr;
    if (next == nullptr) return *at;
    at = next;
  }
  return *at;
}

std::string TypeOf(const Json& value) {
  if (value.is_number()) return "number";
  return value.type_name();
}

// The types that a value of the schema may have; "integer" counts as "number". Empty: any.
std::set<std::string> Types(const Json& schema) {
  std::set<std::string> types;
  if (!schema.is_object()) return types;
  const auto add = [&types](const std::string& type) {
    types.insert(type == "integer" ? "number" : type);
  };
  if (schema.contains("const")) {
    add(TypeOf(schema["const"]));
  } else if (schema.contains("enum") && schema["enum"].is_array()) {
    for (const Json& value : schema["enum"]) add(TypeOf(value));
  } else if (schema.contains("type") && schema["type"].is_string()) {
    add(schema["type"].get<std::string>());
  } else if (schema.contains("type") && schema["type"].is_array()) {
    for (const Json& type : schema["type"]) {
      if (type.is_string()) add(type.get<std::string>());
    }
  } else if (schema.contains("properties")) {
    add("object");
  }
  return types;
}

// The values that a schema lists; empty: it lists none.
std::set<Json> Constants(const Json& schema) {
  if (!schema.is_object()) return {};
  if (schema.contains("const")) return {schema["const"]};
  if (!schema.contains("enum") || !schema["enum"].is_array()) return {};
  return {schema["enum"].begin(), schema["enum"].end()};
}

template <typename Set>
bool Meet(const Set& left, const Set& right) {
  for (const auto& value : left) {
    if (right.contains(value)) return true;
  }
  return false;
}

bool DifferByConstants(const Json& left, const Json& right, const Json& root) {
  const std::set<Json> left_values = Constants(left);
  const std::set<Json> right_values = Constants(right);
  if (!left_values.empty() && !right_values.empty()) return !Meet(left_values, right_values);
  if (!left.is_object() || !right.is_object()) return false;
  for (const char* member : {"required", "properties"}) {
    if (!left.contains(member) || !right.contains(member)) return false;
  }
  if (!left["required"].is_array() || !left["properties"].is_object() ||
      !right["properties"].is_object()) {
    return false;
  }
  for (const Json& name : left["required"]) {
    if (!name.is_string()) continue;
    const auto& key = name.get_ref<const std::string&>();
    const Json& others = right["required"];
    if (std::find(others.begin(), others.end(), name) == others.end() ||
        !left["properties"].contains(key) || !right["properties"].contains(key)) {
      continue;
    }
    const std::set<Json> mine = Constants(Resolved(left["properties"][key], root));
    const std::set<Json> theirs = Constants(Resolved(right["properties"][key], root));
    if (!mine.empty() && !theirs.empty() && !Meet(mine, theirs)) return true;
  }
  return false;
}

}  // namespace

bool AreDisjoint(const Json& branches, const Json& root) {
  for (size_t i = 0; i < branches.size(); ++i) {
    const Json& left = Resolved(branches[i], root);
    for (size_t j = i + 1; j < branches.size(); ++j) {
      const Json& right = Resolved(branches[j], root);
      const std::set<std::string> left_types = Types(left);
      const std::set<std::string> right_types = Types(right);
      const bool differ_by_type =
          !left_types.empty() && !right_types.empty() && !Meet(left_types, right_types);
      if (!differ_by_type && !DifferByConstants(left, right, root)) return false;
    }
  }
  return true;
}

const Json* ResolveReference(const Json& root, const std::string& reference) {
  if (reference == "#") return &root;
  if (!reference.starts_with("#/") || reference.find_first_of("~%") != std::string::npos) {
    return nullptr;
  }
  const Json* at = &root;
  for (size_t begin = 2; begin <= reference.size();) {
    const size_t end = std::min(reference.find('/', begin), reference.size());
    const std::string name = reference.substr(begin, end - begin);
    if (!at->is_object() || !at->contains(name)) return nullptr;
    at = &(*at)[name];
    begin = end + 1;
  }
  return at;
}

}  // namespace spillway
