#pragma once

#include <locale.h>

#include <string>

namespace spillway {

// Python's str.isspace() of one character.
bool IsUnicodeSpace(char32_t c);

// Case and class of characters, from the C library's tables for UTF-8 (built in since glibc 2.35;
// where they are missing only ASCII has case). Immutable: any thread may use it at once.
class UnicodeClasses {
 public:
  UnicodeClasses();
  ~UnicodeClasses();
  UnicodeClasses(const UnicodeClasses&) = delete;
  UnicodeClasses& operator=(const UnicodeClasses&) = delete;

  // Appends the character in upper or lower case; some become two.
  void AppendUpper(char32_t c, std::string& out) const;
  void AppendLower(char32_t c, std::string& out) const;

  bool IsUpper(char32_t c) const;
  bool IsLower(char32_t c) const;
  bool IsAlpha(char32_t c) const;
  bool IsDigit(char32_t c) const;
  // Python's repr() writes what is not as an escape.
  bool IsPrintable(char32_t c) const;

 private:
  const locale_t locale_;  // null: not available
};

}  // namespace spillway
