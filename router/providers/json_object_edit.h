#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/json_slices.h"

namespace spillway {

// Changes some members of a JSON object's text and leaves every other byte as it is: order,
// spaces, the spelling of numbers and names. A member that stands there twice is changed twice,
// since nobody knows which of them a reader takes. Names are ASCII, as JsonNameIs() compares them.
//
// The text must outlive it.
class JsonObjectEdit {
 public:
  // Nothing: `object` is no object. What is within its members is not checked.
  static std::optional<JsonObjectEdit> Of(std::string_view object);

  // The value of the last member of that name, as it is by now.
  std::optional<std::string_view> Find(std::string_view name) const;

  // Each member of that name gets `value`, which is JSON; where there is none it is appended.
  void Set(std::string_view name, std::string_view value);
  // Each member of that name whose value `change` has something to say about gets that; an empty
  // string takes the member away.
  using Change = std::function<std::optional<std::string>(std::string_view value)>;
  void ChangeEach(std::string_view name, const Change& change);
  void Remove(std::string_view name);
  // The members keep their place and their value.
  void Rename(std::string_view name, std::string_view new_name);

  std::string Text() const;

 private:
  struct Member {
    JsonMember as_it_was;
    std::optional<std::string> name;   // another one, unescaped ASCII
    std::optional<std::string> value;  // another one
    bool removed = false;
  };

  explicit JsonObjectEdit(std::string_view text) : text_(text) {}
  static bool Is(const Member& member, std::string_view name);
  static std::string_view ValueOf(const Member& member) {
    return member.value ? std::string_view(*member.value) : member.as_it_was.value;
  }

  std::string_view text_;
  std::vector<Member> members_;
  std::vector<std::pair<std::string, std::string>> appended_;
};

}  // namespace spillway
