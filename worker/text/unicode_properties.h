#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "worker/text/code_point_set.h"

namespace spillway {

// Hugging Face's tokenizers takes its character classes from several libraries, each of another
// version of Unicode, and its models were trained on what came of it. So the tables are what
// tokenizers 0.23.3 was seen to do with each character (tools/make_unicode_tables.py).

// Oniguruma's \p{NAME}, Unicode 16: general categories (L, Lu, Letter, Uppercase_Letter, …), POSIX
// classes (Alpha, Punct, …), scripts (Han, Thai, …: those that are in wide use) and some more.
// Case, spaces, '-' and '_' of the name don't count. Nothing for other names.
std::optional<CodePointSet> UnicodeProperty(std::string_view name);

CodePointSet UnicodeWhiteSpace();    // \s in all libraries
CodePointSet UnicodeWord();          // \w in Oniguruma
CodePointSet UnicodeRustWord();      // \w in Rust's regex crate
CodePointSet UnicodeNumeric();       // Rust's char::is_numeric
CodePointSet UnicodePunctuation();   // what Punctuation and BertPreTokenizer cut out
CodePointSet UnicodeAccents();       // what StripAccents drops
CodePointSet UnicodeBertAccents();   // what BertNormalizer's strip_accents drops
CodePointSet UnicodeBertUnwanted();  // what BertNormalizer's clean_text drops

// What grapheme clusters are made of (UAX #29), without what takes more than five bytes to matter:
// flags and emoji sequences.
struct GraphemeClasses {
  GraphemeClasses();
  CodePointSet extend;  // with ZWJ
  CodePointSet spacing_mark;
  CodePointSet prepend;
  CodePointSet control;
};

// Appends the character in lower case (Rust's char::to_lowercase).
void AppendLowercase(char32_t c, std::string& out);

// Adds to `set` all that differ from one of its characters in case alone.
void AddOtherCases(CodePointSet& set);

}  // namespace spillway
