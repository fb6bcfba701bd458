#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace spillway {

// Parts of a JSON text as slices of it. What is passed on as a slice keeps its spelling and the
// order of its keys, which a tree of values may lose (docs/decisions/0004). They check no more than
// it takes to find the parts: whether a text is JSON is for a parser to say. Linear, no recursion.

struct JsonMember {
  std::string_view name;  // without its quotes
  std::string_view value;
};

// Nothing: `text` is no object, or has a name with an escape in it.
std::optional<std::vector<JsonMember>> JsonMembers(std::string_view text);

// The same with names as they are spelled, escapes and all; JsonNameIs() compares them. Nothing:
// `text` is no object.
std::optional<std::vector<JsonMember>> JsonSpelledMembers(std::string_view text);

// Whether a name, spelled so, is `name`. Requires that `name` is ASCII. A parser sees no difference
// between "model" and "mod\u0065l": neither may whoever changes a member.
bool JsonNameIs(std::string_view spelled, std::string_view name);

// Nothing: `text` is no array.
std::optional<std::vector<std::string_view>> JsonElements(std::string_view text);

// The value of the object's member `name`: of several the last, as parsers have it. Nothing: there
// is none, or JsonMembers() gives nothing.
std::optional<std::string_view> JsonMemberValue(std::string_view object, std::string_view name);

}  // namespace spillway
