#include "worker/text/jinja_lexer.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_string_literal.h"
#include "worker/text/unicode_classes.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Jinja reads \r\n and \r as \n, and drops one newline at the very end.
std::string NormalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

// The bytes of whitespace that `text` begins with.
size_t LeadingSpace(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const Utf8Character character = FirstUtf8Character(text.substr(size));
    if (!IsUnicodeSpace(character.code_point)) break;
    size += character.size;
  }
  return size;
}

std::string_view WithoutTrailingSpace(std::string_view text) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
    if (!IsUnicodeSpace(FirstUtf8Character(text.substr(begin)).code_point)) break;
    text = text.substr(0, begin);
  }
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(NormalizeNewlines(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) RETURN_IF_ERROR(LexData());
    Add(Token::Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }

  void Advance(size_t count) {
    const std::string_view passed = rest().substr(0, count);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    if (!passed.empty()) after_newline_ = passed.back() == '\n';
    at_ += passed.size();
  }

  bool Skip(std::string_view text) {
    if (!rest().starts_with(text)) return false;
    Advance(text.size());
    return true;
  }

  Token& Add(Token::Kind kind, std::string text = {}) {
    Token& token = tokens_.emplace_back();
    token.kind = kind;
    token.line = line_;
    token.text = std::move(text);
    return token;
  }

  absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", std::string(what)));
  }

  // What begins at the next brace: '{' a variable, '%' a block, '#' a comment.
  static size_t FindTag(std::string_view text) {
    for (size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
      if (at + 1 < text.size() &&
          std::string_view("{%#").find(text[at + 1]) != std::string_view::npos) {
        return at;
      }
    }
    return std::string_view::npos;
  }

  // `text`, as the sign of the tag behind it has it: '-' strips it, and a block or comment that is
  // alone at the beginning of its line takes the spaces before it along.
  std::string_view StripBeforeTag(std::string_view text, char sign, bool is_variable) const {
    if (sign == '-') return WithoutTrailingSpace(text);
    if (sign == '+' || is_variable) return text;
    const size_t newline = text.rfind('\n');
    const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_begin == 0 && !after_newline_) return text;
    return LeadingSpace(text.substr(line_begin)) == text.size() - line_begin
               ? text.substr(0, line_begin)
               : text;
  }

  // Text up to the next tag, and the tag.
  absl::Status LexData() {
    const size_t size = FindTag(rest());
    if (size == std::string_view::npos) {
      Add(Token::Kind::kData, std::string(rest()));
      Advance(rest().size());
      return absl::OkStatus();
    }
    const std::string_view tag = rest().substr(size);
    const char sign = tag.size() > 2 ? tag[2] : '\0';
    const std::string_view data = StripBeforeTag(rest().substr(0, size), sign, tag[1] == '{');
    if (!data.empty()) Add(Token::Kind::kData, std::string(data));
    Advance(size);
    if (const size_t raw = RawBeginSize(); raw > 0) {
      Advance(raw);
      return LexRaw();
    }
    Advance(sign == '-' || sign == '+' ? 3 : 2);
    if (tag[1] == '#') return LexComment();
    const bool block = tag[1] == '%';
    Add(block ? Token::Kind::kBlockBegin : Token::Kind::kVariableBegin);
    return LexTag(block);
  }

  // The size of `{% raw %}` when it stands here, whitespace that it strips included; else 0.
  size_t RawBeginSize() const { return NamedTagSize(rest(), "raw", /*trims=*/false); }

  // The size of a block tag that is only `name`, else 0. `trims`: takes the newline behind it
  // along.
  static size_t NamedTagSize(std::string_view text, std::string_view name, bool trims) {
    size_t at = 2;
    if (!text.starts_with("{%")) return 0;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    at += LeadingSpace(text.substr(at));
    if (!text.substr(at).starts_with(name)) return 0;
    at += name.size();
    at += LeadingSpace(text.substr(at));
    const std::string_view end = text.substr(at);
    if (end.starts_with("-%}")) return at + 3 + LeadingSpace(end.substr(3));
    if (trims && end.starts_with("+%}")) return at + 3;
    if (!end.starts_with("%}")) return 0;
    return at + 2 + (trims && end.substr(2).starts_with('\n') ? 1 : 0);
  }

  absl::Status LexRaw() {
    const std::string_view text = rest();
    if (text.empty()) return absl::OkStatus();  // At the very end Jinja misses nothing.
    for (size_t at = text.find("{%"); at != std::string_view::npos; at = text.find("{%", at + 1)) {
      const size_t end = NamedTagSize(text.substr(at), "endraw", /*trims=*/true);
      if (end == 0) continue;
      const std::string_view data = StripBeforeTag(text.substr(0, at), text[at + 2], false);
      if (!data.empty()) Add(Token::Kind::kData, std::string(data));
      Advance(at + end);
      return absl::OkStatus();
    }
    return Error("{% raw %} has no {% endraw %}");
  }

  absl::Status LexComment() {
    if (rest().empty()) return absl::OkStatus();
    const size_t end = rest().find("#}");
    if (end == std::string_view::npos) return Error("the comment has no end");
    const char sign = end > 0 ? rest()[end - 1] : '\0';
    Advance(end + 2);
    if (sign == '-') {
      Advance(LeadingSpace(rest()));
    } else if (sign != '+') {
      Skip("\n");
    }
    return absl::OkStatus();
  }

  // The tokens of `{% … %}` or `{{ … }}` from behind the opening.
  absl::Status LexTag(bool block) {
    const std::string_view close = block ? "%}" : "}}";
    std::string open_brackets;
    while (true) {
      Advance(LeadingSpace(rest()));
      if (rest().empty()) return Error(block ? "{% has no %}" : "{{ has no }}");
      if (open_brackets.empty() && LexTagEnd(block, close)) return absl::OkStatus();
      RETURN_IF_ERROR(LexToken(open_brackets));
    }
  }

  bool LexTagEnd(bool block, std::string_view close) {
    const auto end = block ? Token::Kind::kBlockEnd : Token::Kind::kVariableEnd;
    const bool strips = rest().starts_with('-') && rest().substr(1).starts_with(close);
    const bool keeps = block && rest().starts_with('+') && rest().substr(1).starts_with(close);
    if (!strips && !keeps && !rest().starts_with(close)) return false;
    Add(end);
    Advance(strips || keeps ? 3 : 2);
    if (strips) {
      Advance(LeadingSpace(rest()));
    } else if (block && !keeps) {
      Skip("\n");
    }
    return true;
  }

  absl::Status LexToken(std::string& open_brackets) {
    const char c = rest()[0];
    if (IsDigit(c)) return LexNumber();
    if (const size_t size = NameSize(); size > 0) {
      Add(Token::Kind::kName, std::string(rest().substr(0, size)));
      Advance(size);
      return absl::OkStatus();
    }
    if (c == '\'' || c == '"') return LexString(c);
    return LexOperator(open_brackets);
  }

  // The size of Python's identifier that stands here; 0: none.
  size_t NameSize() const {
    size_t size = 0;
    while (size < rest().size()) {
      const Utf8Character c = FirstUtf8Character(rest().substr(size));
      const bool part = size == 0 ? unicode::IsIdentifierStart(c.code_point)
                                  : unicode::IsIdentifierPart(c.code_point);
      if (!part) break;
      size += static_cast<size_t>(c.size);
    }
    return size;
  }

  absl::Status LexString(char quote) {
    size_t size = 1;
    while (size < rest().size() && rest()[size] != quote) size += rest()[size] == '\\' ? 2 : 1;
    if (size >= rest().size()) return Error("the string has no end");
    auto text = DecodeStringLiteral(rest().substr(1, size - 1));
    if (!text.ok()) return Error(std::string(text.status().message()));
    Add(Token::Kind::kString, *std::move(text));
    Advance(size + 1);
    return absl::OkStatus();
  }

  // Digits with single underscores between them.
  size_t DigitsAt(size_t at) const {
    size_t end = at;
    while (end < rest().size() &&
           (IsDigit(rest()[end]) || (rest()[end] == '_' && end > at && end + 1 < rest().size() &&
                                     IsDigit(rest()[end + 1])))) {
      ++end;
    }
    return end;
  }

  absl::Status LexNumber() {
    if (rest()[0] == '0' && rest().size() > 2) {
      const char kind = static_cast<char>(std::tolower(static_cast<unsigned char>(rest()[1])));
      if (kind == 'x' || kind == 'o' || kind == 'b') {
        return LexBasedInteger(kind == 'x' ? 16 : kind == 'o' ? 8 : 2);
      }
    }
    // After a dot (`list.0.1`) a number is whole.
    const bool after_dot = !tokens_.empty() && tokens_.back().kind == Token::Kind::kOperator &&
                           tokens_.back().text == ".";
    size_t end = DigitsAt(0);
    size_t zeros = 0;  // a whole number begins with 0 only if it is 0
    while (zeros < end && (rest()[zeros] == '0' || rest()[zeros] == '_')) ++zeros;
    bool floating = false;
    if (!after_dot) {
      if (end + 1 < rest().size() && rest()[end] == '.' && IsDigit(rest()[end + 1])) {
        end = DigitsAt(end + 1);
        floating = true;
      }
      if (end < rest().size() && (rest()[end] == 'e' || rest()[end] == 'E')) {
        size_t digits = end + 1;
        if (digits < rest().size() && (rest()[digits] == '+' || rest()[digits] == '-')) ++digits;
        if (digits < rest().size() && IsDigit(rest()[digits])) {
          end = DigitsAt(digits);
          floating = true;
        }
      }
    }
    if (!floating && rest()[0] == '0') end = zeros;
    std::string text(rest().substr(0, end));
    std::erase(text, '_');
    Token& token = Add(floating ? Token::Kind::kFloat : Token::Kind::kInteger, text);
    Advance(end);
    if (floating) {
      token.number = std::strtod(text.c_str(), nullptr);
      return absl::OkStatus();
    }
    return ParseInteger(text, 10, token);
  }

  absl::Status LexBasedInteger(int base) {
    size_t end = 2;
    while (end < rest().size() &&
           (std::isxdigit(static_cast<unsigned char>(rest()[end])) || rest()[end] == '_')) {
      ++end;
    }
    std::string text(rest().substr(2, end - 2));
    std::erase(text, '_');
    Token& token = Add(Token::Kind::kInteger, text);
    Advance(end);
    return ParseInteger(text, base, token);
  }

  absl::Status ParseInteger(const std::string& text, int base, Token& token) const {
    const char* const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, token.integer, base);
    if (error == std::errc::result_out_of_range) {
      return Error(absl::StrCat("the integer ", text, " is beyond 64 bits"));
    }
    if (error != std::errc() || stopped != end) {
      return Error(absl::StrCat("\"", text, "\" is no integer"));
    }
    return absl::OkStatus();
  }

  absl::Status LexOperator(std::string& open_brackets) {
    constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                               "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                               ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (const std::string_view op : kOperators) {
      if (!rest().starts_with(op)) continue;
      if (op == "(" || op == "[" || op == "{") {
        open_brackets += op == "(" ? ')' : op == "[" ? ']' : '}';
      } else if (op == ")" || op == "]" || op == "}") {
        if (open_brackets.empty() || open_brackets.back() != op[0]) {
          return Error(absl::StrCat("unexpected '", std::string(op), "'"));
        }
        open_brackets.pop_back();
      }
      Add(Token::Kind::kOperator, std::string(op));
      Advance(op.size());
      return absl::OkStatus();
    }
    const int size = FirstUtf8Character(rest()).size;
    return Error(absl::StrCat("unexpected '", std::string(rest().substr(0, size)), "'"));
  }

  const std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool after_newline_ = true;  // at the start, or behind a newline that the last tag took along
  std::vector<Token> tokens_;
};

}  // namespace

std::string Describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::kData:
      return "text";
    case Token::Kind::kVariableBegin:
      return "'{{'";
    case Token::Kind::kVariableEnd:
      return "'}}'";
    case Token::Kind::kBlockBegin:
      return "'{%'";
    case Token::Kind::kBlockEnd:
      return "'%}'";
    case Token::Kind::kString:
      return "a string";
    case Token::Kind::kEnd:
      return "the end of the template";
    default:
      return absl::StrCat("'", token.text, "'");
  }
}

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source) { return Lexer(source).Run(); }

}  // namespace spillway::jinja
