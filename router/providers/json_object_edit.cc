#include "router/providers/json_object_edit.h"

#include <algorithm>

namespace spillway {

std::optional<JsonObjectEdit> JsonObjectEdit::Of(std::string_view object) {
  auto members = JsonSpelledMembers(object);
  if (!members) return std::nullopt;
  JsonObjectEdit edit(object);
  edit.members_.reserve(members->size());
  for (const JsonMember& member : *members) edit.members_.push_back({.as_it_was = member});
  return edit;
}

bool JsonObjectEdit::Is(const Member& member, std::string_view name) {
  if (member.removed) return false;
  return member.name ? *member.name == name : JsonNameIs(member.as_it_was.name, name);
}

std::optional<std::string_view> JsonObjectEdit::Find(std::string_view name) const {
  for (auto added = appended_.rbegin(); added != appended_.rend(); ++added) {
    if (added->first == name) return added->second;
  }
  for (auto member = members_.rbegin(); member != members_.rend(); ++member) {
    if (Is(*member, name)) return ValueOf(*member);
  }
  return std::nullopt;
}

void JsonObjectEdit::Set(std::string_view name, std::string_view value) {
  bool found = false;
  for (Member& member : members_) {
    if (!Is(member, name)) continue;
    member.value = std::string(value);
    found = true;
  }
  if (!found) appended_.emplace_back(name, value);
}

void JsonObjectEdit::ChangeEach(std::string_view name, const Change& change) {
  for (Member& member : members_) {
    if (!Is(member, name)) continue;
    std::optional<std::string> value = change(ValueOf(member));
    if (!value) continue;
    member.removed = value->empty();
    member.value = std::move(value);
  }
}

void JsonObjectEdit::Remove(std::string_view name) {
  for (Member& member : members_) member.removed |= Is(member, name);
}

void JsonObjectEdit::Rename(std::string_view name, std::string_view new_name) {
  for (Member& member : members_) {
    if (Is(member, name)) member.name = std::string(new_name);
  }
}

std::string JsonObjectEdit::Text() const {
  const auto offset = [this](const char* at) { return static_cast<size_t>(at - text_.data()); };
  std::string out;
  out.reserve(text_.size() + 128);
  size_t end = text_.find('{') + 1;  // of what was last looked at
  bool kept = false;
  for (size_t i = 0; i < members_.size(); ++i) {
    const JsonMember& was = members_[i].as_it_was;
    const size_t begin = offset(was.name.data()) - 1;
    const size_t value = offset(was.value.data());
    const size_t before = std::exchange(end, value + was.value.size());
    if (members_[i].removed) continue;
    // What stands before it: space and, but for the first, a comma.
    const std::string_view gap = text_.substr(before, begin - before);
    if (!kept) {
      out += text_.substr(0, text_.find('{') + 1);
      const size_t comma = gap.find(',');
      out += comma == std::string_view::npos ? gap : gap.substr(comma + 1);
    } else {
      out += gap;
    }
    kept = true;
    if (members_[i].name) {
      out += '"' + *members_[i].name + '"';
    } else {
      out += text_.substr(begin, was.name.size() + 2);
    }
    const size_t name_end = begin + was.name.size() + 2;
    out += text_.substr(name_end, value - name_end);
    out += ValueOf(members_[i]);
  }
  if (!kept) out += text_.substr(0, text_.find('{') + 1);
  for (const auto& [name, value] : appended_) {
    if (std::exchange(kept, true)) out += ',';
    out += '"' + name + "\":" + value;
  }
  out += text_.substr(end);
  return out;
}

}  // namespace spillway
