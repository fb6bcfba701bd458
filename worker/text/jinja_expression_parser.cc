#include "worker/text/jinja_expression_parser.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway::jinja {
namespace {

using Kind = Expression::Kind;

struct OperatorName {
  std::string_view text;
  Operator op;
};

constexpr OperatorName kComparisons[] = {
    {"==", Operator::kEqual},     {"!=", Operator::kNotEqual}, {"<", Operator::kLess},
    {"<=", Operator::kLessEqual}, {">", Operator::kGreater},   {">=", Operator::kGreaterEqual}};
constexpr OperatorName kSums[] = {{"+", Operator::kAdd}, {"-", Operator::kSubtract}};
constexpr OperatorName kProducts[] = {{"*", Operator::kMultiply},
                                      {"/", Operator::kDivide},
                                      {"//", Operator::kFloorDivide},
                                      {"%", Operator::kModulo}};

template <size_t kCount>
std::optional<Operator> SkipAny(TokenStream& stream, const OperatorName (&names)[kCount]) {
  for (const OperatorName& name : names) {
    if (stream.SkipOperator(name.text)) return name.op;
  }
  return std::nullopt;
}

}  // namespace

absl::Status ExpressionParser::TooDeep() const {
  return stream_.Error(absl::StrCat("nested deeper than ", depth_max_));
}

ExpressionPointer ExpressionParser::New(Kind kind) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = stream_.line();
  return node;
}

absl::Status ExpressionParser::SetDepth(Expression& node) const {
  int below = 0;
  for (const ExpressionPointer& operand : node.operands) {
    if (operand != nullptr) below = std::max(below, operand->depth);
  }
  for (const Argument& argument : node.arguments) below = std::max(below, argument.value->depth);
  node.depth = below + 1;
  return node.depth > depth_max_ ? TooDeep() : absl::OkStatus();
}

ExpressionParser::Result ExpressionParser::Make(Kind kind, int line,
                                                std::vector<ExpressionPointer> operands) {
  auto node = New(kind);
  node->line = line;
  node->operands = std::move(operands);
  RETURN_IF_ERROR(SetDepth(*node));
  return node;
}

ExpressionParser::Result ExpressionParser::MakeBinary(Operator op, int line, ExpressionPointer left,
                                                      ExpressionPointer right) {
  ASSIGN_OR_RETURN(auto node,
                   Make(Kind::kArithmetic, line, List(std::move(left), std::move(right))));
  node->operators.push_back(op);
  return node;
}

ExpressionParser::Result ExpressionParser::ParseExpression() {
  const Nesting nesting(depth_);
  if (depth_ > depth_max_) return TooDeep();
  const size_t unknown_before = unknown_.size();
  ASSIGN_OR_RETURN(auto node, ParseOr());
  const bool conditional = stream_.IsName("if");
  while (stream_.IsName("if")) {
    const int line = stream_.Take().line;
    ASSIGN_OR_RETURN(auto condition, ParseOr());
    ExpressionPointer otherwise;
    if (stream_.SkipName("else")) {
      ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    ASSIGN_OR_RETURN(node, Make(Kind::kConditional, line,
                                List(std::move(condition), std::move(node), std::move(otherwise))));
  }
  if (conditional) unknown_.resize(unknown_before);
  return node;
}

void ExpressionParser::AddUnknown(std::string_view what, std::string_view name, int line) {
  if (conditions_ > 0) return;
  unknown_.push_back(
      absl::StrCat("line ", line, ": no ", std::string(what), " named '", std::string(name), "'"));
}

ExpressionParser::Result ExpressionParser::ParseOr() {
  ASSIGN_OR_RETURN(auto node, ParseAnd());
  while (stream_.IsName("or")) {
    const int line = stream_.Take().line;
    ASSIGN_OR_RETURN(auto right, ParseAnd());
    ASSIGN_OR_RETURN(node, Make(Kind::kOr, line, List(std::move(node), std::move(right))));
  }
  return node;
}

ExpressionParser::Result ExpressionParser::ParseAnd() {
  ASSIGN_OR_RETURN(auto node, ParseNot());
  while (stream_.IsName("and")) {
    const int line = stream_.Take().line;
    ASSIGN_OR_RETURN(auto right, ParseNot());
    ASSIGN_OR_RETURN(node, Make(Kind::kAnd, line, List(std::move(node), std::move(right))));
  }
  return node;
}

ExpressionParser::Result ExpressionParser::ParseNot() {
  if (!stream_.IsName("not")) return ParseComparison();
  const Nesting nesting(depth_);
  if (depth_ > depth_max_) return TooDeep();
  const int line = stream_.Take().line;
  ASSIGN_OR_RETURN(auto node, ParseNot());
  return Make(Kind::kNot, line, List(std::move(node)));
}

ExpressionParser::Result ExpressionParser::ParseComparison() {
  const int line = stream_.line();
  ASSIGN_OR_RETURN(auto first, ParseSum());
  std::vector<Operator> operators;
  std::vector<ExpressionPointer> operands = List(std::move(first));
  while (true) {
    std::optional<Operator> op = SkipAny(stream_, kComparisons);
    if (!op.has_value() && stream_.SkipName("in")) op = Operator::kIn;
    if (!op.has_value() && stream_.IsName("not") && stream_.next().kind == Token::Kind::kName &&
        stream_.next().text == "in") {
      stream_.Take();
      stream_.Take();
      op = Operator::kNotIn;
    }
    if (!op.has_value()) break;
    operators.push_back(*op);
    ASSIGN_OR_RETURN(auto operand, ParseSum());
    operands.push_back(std::move(operand));
  }
  if (operators.empty()) return std::move(operands[0]);
  ASSIGN_OR_RETURN(auto node, Make(Kind::kCompare, line, std::move(operands)));
  node->operators = std::move(operators);
  return node;
}

ExpressionParser::Result ExpressionParser::ParseSum() {
  ASSIGN_OR_RETURN(auto node, ParseConcatenation());
  const int line = stream_.line();
  while (const auto op = SkipAny(stream_, kSums)) {
    ASSIGN_OR_RETURN(auto right, ParseConcatenation());
    ASSIGN_OR_RETURN(node, MakeBinary(*op, line, std::move(node), std::move(right)));
  }
  return node;
}

ExpressionParser::Result ExpressionParser::ParseConcatenation() {
  const int line = stream_.line();
  ASSIGN_OR_RETURN(auto first, ParseProduct());
  if (!stream_.IsOperator("~")) return first;
  std::vector<ExpressionPointer> operands = List(std::move(first));
  while (stream_.SkipOperator("~")) {
    ASSIGN_OR_RETURN(auto operand, ParseProduct());
    operands.push_back(std::move(operand));
  }
  return Make(Kind::kConcatenate, line, std::move(operands));
}

ExpressionParser::Result ExpressionParser::ParseProduct() {
  ASSIGN_OR_RETURN(auto node, ParsePower());
  const int line = stream_.line();
  while (const auto op = SkipAny(stream_, kProducts)) {
    ASSIGN_OR_RETURN(auto right, ParsePower());
    ASSIGN_OR_RETURN(node, MakeBinary(*op, line, std::move(node), std::move(right)));
  }
  return node;
}

ExpressionParser::Result ExpressionParser::ParsePower() {
  ASSIGN_OR_RETURN(auto node, ParseUnary(/*with_filters=*/true));
  const int line = stream_.line();
  while (stream_.SkipOperator("**")) {
    ASSIGN_OR_RETURN(auto right, ParseUnary(/*with_filters=*/true));
    ASSIGN_OR_RETURN(node, MakeBinary(Operator::kPower, line, std::move(node), std::move(right)));
  }
  return node;
}

ExpressionParser::Result ExpressionParser::ParseUnary(bool with_filters) {
  const Nesting nesting(depth_);
  if (depth_ > depth_max_) return TooDeep();
  ExpressionPointer node;
  if (stream_.IsOperator("-") || stream_.IsOperator("+")) {
    const Token& sign = stream_.Take();
    ASSIGN_OR_RETURN(auto operand, ParseUnary(/*with_filters=*/false));
    ASSIGN_OR_RETURN(node, Make(sign.text == "-" ? Kind::kNegate : Kind::kPositive, sign.line,
                                List(std::move(operand))));
  } else {
    ASSIGN_OR_RETURN(node, ParsePrimary());
  }
  ASSIGN_OR_RETURN(node, ParsePostfix(std::move(node)));
  if (!with_filters) return node;
  return ParseFilters(std::move(node));
}

bool ExpressionParser::AtTupleEnd(std::string_view end) const {
  return stream_.Is(Token::Kind::kVariableEnd) || stream_.Is(Token::Kind::kBlockEnd) ||
         stream_.IsOperator(")") || (!end.empty() && stream_.IsName(end));
}

ExpressionParser::Result ExpressionParser::ParseTuple(bool conditional, std::string_view end) {
  const int line = stream_.line();
  std::vector<ExpressionPointer> operands;
  bool tuple = false;
  do {
    if (tuple && AtTupleEnd(end)) break;
    ASSIGN_OR_RETURN(auto operand, conditional ? ParseExpression() : ParseUnconditional());
    operands.push_back(std::move(operand));
  } while (stream_.SkipOperator(",") && (tuple = true));
  if (!tuple) return std::move(operands[0]);
  return Make(Kind::kTuple, line, std::move(operands));
}

ExpressionParser::Result ExpressionParser::ParseTarget(std::string_view end) {
  const Nesting nesting(depth_);
  if (depth_ > depth_max_) return TooDeep();
  const int line = stream_.line();
  std::vector<ExpressionPointer> operands;
  bool tuple = false;
  do {
    if (tuple && (AtTupleEnd(end) || stream_.IsOperator("="))) break;
    if (stream_.SkipOperator("(")) {
      ASSIGN_OR_RETURN(auto inner, ParseTarget(""));
      RETURN_IF_ERROR(stream_.ExpectOperator(")"));
      operands.push_back(std::move(inner));
      continue;
    }
    if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("a name to assign to");
    auto node = New(Kind::kName);
    node->name = stream_.Take().text;
    constexpr std::string_view kConstants[] = {"true", "True", "false", "False", "none", "None"};
    if (std::find(std::begin(kConstants), std::end(kConstants), node->name) !=
        std::end(kConstants)) {
      return stream_.Error(absl::StrCat("can't assign to '", node->name, "'"));
    }
    if (stream_.SkipOperator(".")) {
      if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("a name");
      node->kind = Kind::kNamespaceReference;
      node->attribute = stream_.Take().text;
    }
    operands.push_back(std::move(node));
  } while (stream_.SkipOperator(",") && (tuple = true));
  if (!tuple) return std::move(operands[0]);
  return Make(Kind::kTuple, line, std::move(operands));
}

}  // namespace spillway::jinja
