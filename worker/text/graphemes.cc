#include "worker/text/graphemes.h"

#include "worker/text/utf8.h"

namespace spillway {
namespace {

bool IsBetween(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

CodePointSet ExtendAndSpacing() {
  const GraphemeClasses classes;
  CodePointSet set = classes.extend;
  set.Add(classes.spacing_mark);
  return set;
}

}  // namespace

Graphemes::Graphemes()
    : extend_(ExtendAndSpacing()),
      prepend_(GraphemeClasses().prepend),
      control_(GraphemeClasses().control) {}

Graphemes::Class Graphemes::ClassOf(char32_t c) const {
  if (IsBetween(c, 0x20, 0x7E)) return Class::kOther;
  if (IsBetween(c, 0x1100, 0x115F) || IsBetween(c, 0xA960, 0xA97C)) return Class::kLead;
  if (IsBetween(c, 0x1160, 0x11A7) || IsBetween(c, 0xD7B0, 0xD7C6)) return Class::kVowel;
  if (IsBetween(c, 0x11A8, 0x11FF) || IsBetween(c, 0xD7CB, 0xD7FB)) return Class::kTail;
  if (IsBetween(c, 0xAC00, 0xD7A3)) return (c - 0xAC00) % 28 == 0 ? Class::kLv : Class::kLvt;
  if (c == '\r' || c == '\n' || control_.Has(c)) return Class::kControl;
  if (extend_.Has(c)) return Class::kExtend;
  return prepend_.Has(c) ? Class::kPrepend : Class::kOther;
}

bool Graphemes::Joins(Class before, Class after) {
  if (before == Class::kControl || after == Class::kControl) return false;
  if (after == Class::kExtend || before == Class::kPrepend) return true;
  if (before == Class::kLead) {
    return after == Class::kLead || after == Class::kVowel || after == Class::kLv ||
           after == Class::kLvt;
  }
  if (before == Class::kVowel || before == Class::kLv) {
    return after == Class::kVowel || after == Class::kTail;
  }
  return (before == Class::kTail || before == Class::kLvt) && after == Class::kTail;
}

size_t Graphemes::FirstSize(std::string_view text) const {
  if (text.starts_with("\r\n")) return 2;
  Utf8Character character = FirstUtf8Character(text);
  Class before = ClassOf(character.code_point);
  auto size = static_cast<size_t>(character.size);
  while (size < text.size()) {
    character = FirstUtf8Character(text.substr(size));
    const Class after = ClassOf(character.code_point);
    if (!Joins(before, after)) break;
    before = after;
    size += static_cast<size_t>(character.size);
  }
  return size;
}

}  // namespace spillway
