#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/text/jinja_lexer.h"

namespace spillway::jinja {

// The tokens of a template, read one after the other by the parser.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  // The one after it; at the end the end.
  const Token& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  int line() const { return current().line; }

  // Returns the current token and goes on. The end stays.
  const Token& Take() {
    const Token& token = current();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }

  bool Is(Token::Kind kind) const { return current().kind == kind; }
  bool IsOperator(std::string_view text) const {
    return Is(Token::Kind::kOperator) && current().text == text;
  }
  bool IsName(std::string_view text) const {
    return Is(Token::Kind::kName) && current().text == text;
  }
  bool SkipOperator(std::string_view text) {
    const bool is = IsOperator(text);
    if (is) Take();
    return is;
  }
  bool SkipName(std::string_view text) {
    const bool is = IsName(text);
    if (is) Take();
    return is;
  }

  absl::Status ExpectOperator(std::string_view text) {
    return SkipOperator(text) ? absl::OkStatus()
                              : Unexpected(absl::StrCat("'", std::string(text), "'"));
  }
  absl::Status Expect(Token::Kind kind, std::string_view what) {
    if (!Is(kind)) return Unexpected(what);
    Take();
    return absl::OkStatus();
  }

  absl::Status Unexpected(std::string_view expected) const {
    return Error(absl::StrCat("expected ", std::string(expected), ", got ", Describe(current())));
  }
  absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("line ", line(), ": ", std::string(what)));
  }

 private:
  const std::vector<Token> tokens_;  // kEnd last
  size_t at_ = 0;
};

}  // namespace spillway::jinja
