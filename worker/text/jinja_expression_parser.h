#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/jinja_ast.h"
#include "worker/text/jinja_token_stream.h"

namespace spillway::jinja {

// Parses expressions with Jinja's precedence, which differs from Python's: ~ binds tighter than +,
// and a filter tighter than a sign. Operators, tuples and targets in jinja_expression_parser.cc;
// what stands between operators in jinja_operand_parser.cc.
class ExpressionParser {
 public:
  using Result = absl::StatusOr<ExpressionPointer>;

  // `stream` outlives it.
  ExpressionParser(TokenStream& stream, int depth_max) : stream_(stream), depth_max_(depth_max) {}

  Result ParseExpression();
  // Without `a if b else c`, where an `if` belongs to the statement around it.
  Result ParseUnconditional() { return ParseOr(); }
  // Comma-separated expressions are a tuple, up to the tag's end or the name `end`.
  Result ParseTuple(bool conditional, std::string_view end);
  // Names, or a namespace's attribute, or a tuple of them.
  Result ParseTarget(std::string_view end);
  // `name(arguments) | …` onto `input`.
  Result ParseFilter(ExpressionPointer input);
  Result ParseFilters(ExpressionPointer input);

  // The names that expressions have read; a macro's parser looks at those of its body.
  std::vector<std::string>& names() { return names_; }

  // Inside of {% if %} and of `a if b else c` an unknown filter or test is an error only when it is
  // reached, as in Jinja: templates ask first whether there is one.
  void EnterCondition() { ++conditions_; }
  void LeaveCondition() { --conditions_; }
  // The first unknown filter or test elsewhere. INVALID_ARGUMENT names it and its line.
  absl::Status unknown() const {
    return unknown_.empty() ? absl::OkStatus() : absl::InvalidArgumentError(unknown_.front());
  }

 private:
  // Counts how deep the parser's own calls are nested.
  class Nesting {
   public:
    explicit Nesting(int& depth) : depth_(depth) { ++depth_; }
    ~Nesting() { --depth_; }

   private:
    int& depth_;
  };

  Result ParseOr();
  Result ParseAnd();
  Result ParseNot();
  Result ParseComparison();
  Result ParseSum();
  Result ParseConcatenation();
  Result ParseProduct();
  Result ParsePower();
  Result ParseUnary(bool with_filters);
  Result ParsePrimary();
  Result ParseParentheses();
  Result ParseList();
  Result ParseDict();
  Result ParsePostfix(ExpressionPointer node);
  Result ParseSubscript(ExpressionPointer node);
  Result ParseSlicePart();
  Result ParseCall(ExpressionPointer node);
  Result ParseTest(ExpressionPointer node);
  absl::StatusOr<std::vector<Argument>> ParseArguments();
  absl::StatusOr<std::string> ParseDottedName();

  ExpressionPointer New(Expression::Kind kind) const;
  template <typename... Pointers>
  static std::vector<ExpressionPointer> List(Pointers... pointers) {
    std::vector<ExpressionPointer> list;
    (list.push_back(std::move(pointers)), ...);
    return list;
  }

  // A node over operands; fails when the tree gets too deep.
  Result Make(Expression::Kind kind, int line, std::vector<ExpressionPointer> operands);
  Result MakeBinary(Operator op, int line, ExpressionPointer left, ExpressionPointer right);
  absl::Status SetDepth(Expression& node) const;
  bool AtTupleEnd(std::string_view end) const;
  absl::Status TooDeep() const;
  void AddUnknown(std::string_view what, std::string_view name, int line);

  TokenStream& stream_;
  const int depth_max_;
  int depth_ = 0;
  int conditions_ = 0;
  std::vector<std::string> names_;
  std::vector<std::string> unknown_;  // what is wrong, of each
};

}  // namespace spillway::jinja
