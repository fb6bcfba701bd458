#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_expression_parser.h"
#include "worker/text/jinja_filters.h"
#include "worker/text/jinja_tests.h"

namespace spillway::jinja {
namespace {

using Kind = Expression::Kind;

}  // namespace

ExpressionParser::Result ExpressionParser::ParsePrimary() {
  const Token& token = stream_.current();
  auto node = New(Kind::kConstant);
  switch (token.kind) {
    case Token::Kind::kName:
      stream_.Take();
      if (token.text == "true" || token.text == "True") {
        node->constant = Value::Bool(true);
      } else if (token.text == "false" || token.text == "False") {
        node->constant = Value::Bool(false);
      } else if (token.text == "none" || token.text == "None") {
        node->constant = None{};
      } else {
        node->kind = Kind::kName;
        node->name = token.text;
        names_.push_back(token.text);
      }
      return node;
    case Token::Kind::kString: {
      std::string text;
      while (stream_.Is(Token::Kind::kString)) text += stream_.Take().text;
      node->constant =
          Value(std::make_shared<const StringCell>(Text::Trusted(std::move(text)), nullptr));
      return node;
    }
    case Token::Kind::kInteger:
      node->constant = Value::Int(stream_.Take().integer);
      return node;
    case Token::Kind::kFloat:
      node->constant = Value::Float(stream_.Take().number);
      return node;
    default:
      if (stream_.IsOperator("(")) return ParseParentheses();
      if (stream_.IsOperator("[")) return ParseList();
      if (stream_.IsOperator("{")) return ParseDict();
      return stream_.Unexpected("an expression");
  }
}

ExpressionParser::Result ExpressionParser::ParseParentheses() {
  const int line = stream_.Take().line;
  if (stream_.SkipOperator(")")) return Make(Kind::kTuple, line, {});
  ASSIGN_OR_RETURN(auto node, ParseTuple(/*conditional=*/true, ""));
  RETURN_IF_ERROR(stream_.ExpectOperator(")"));
  return node;
}

ExpressionParser::Result ExpressionParser::ParseList() {
  const int line = stream_.Take().line;
  std::vector<ExpressionPointer> operands;
  while (!stream_.IsOperator("]")) {
    if (!operands.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
    if (stream_.IsOperator("]")) break;
    ASSIGN_OR_RETURN(auto operand, ParseExpression());
    operands.push_back(std::move(operand));
  }
  stream_.Take();
  return Make(Kind::kList, line, std::move(operands));
}

ExpressionParser::Result ExpressionParser::ParseDict() {
  const int line = stream_.Take().line;
  std::vector<ExpressionPointer> operands;
  while (!stream_.IsOperator("}")) {
    if (!operands.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
    if (stream_.IsOperator("}")) break;
    ASSIGN_OR_RETURN(auto key, ParseExpression());
    RETURN_IF_ERROR(stream_.ExpectOperator(":"));
    ASSIGN_OR_RETURN(auto value, ParseExpression());
    operands.push_back(std::move(key));
    operands.push_back(std::move(value));
  }
  stream_.Take();
  return Make(Kind::kDict, line, std::move(operands));
}

ExpressionParser::Result ExpressionParser::ParsePostfix(ExpressionPointer node) {
  while (true) {
    if (stream_.IsOperator(".") || stream_.IsOperator("[")) {
      ASSIGN_OR_RETURN(node, ParseSubscript(std::move(node)));
    } else if (stream_.IsOperator("(")) {
      ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
    } else {
      return node;
    }
  }
}

ExpressionParser::Result ExpressionParser::ParseSubscript(ExpressionPointer node) {
  const int line = stream_.line();
  if (stream_.SkipOperator(".")) {
    if (stream_.Is(Token::Kind::kInteger)) {
      auto index = New(Kind::kConstant);
      index->constant = Value::Int(stream_.Take().integer);
      return Make(Kind::kSubscript, line, List(std::move(node), std::move(index)));
    }
    if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("a name or a number");
    ASSIGN_OR_RETURN(auto attribute, Make(Kind::kAttribute, line, List(std::move(node))));
    attribute->name = stream_.Take().text;
    return attribute;
  }
  stream_.Take();
  ExpressionPointer parts[3];
  if (!stream_.IsOperator(":")) {
    ASSIGN_OR_RETURN(parts[0], ParseExpression());
    if (stream_.SkipOperator("]")) {
      return Make(Kind::kSubscript, line, List(std::move(node), std::move(parts[0])));
    }
  }
  RETURN_IF_ERROR(stream_.ExpectOperator(":"));
  ASSIGN_OR_RETURN(parts[1], ParseSlicePart());
  if (stream_.SkipOperator(":")) {
    ASSIGN_OR_RETURN(parts[2], ParseSlicePart());
  }
  RETURN_IF_ERROR(stream_.ExpectOperator("]"));
  return Make(Kind::kSlice, line,
              List(std::move(node), std::move(parts[0]), std::move(parts[1]), std::move(parts[2])));
}

ExpressionParser::Result ExpressionParser::ParseSlicePart() {
  if (stream_.IsOperator(":") || stream_.IsOperator("]")) return ExpressionPointer();
  return ParseExpression();
}

ExpressionParser::Result ExpressionParser::ParseCall(ExpressionPointer node) {
  const int line = stream_.line();
  ASSIGN_OR_RETURN(auto arguments, ParseArguments());
  ASSIGN_OR_RETURN(auto call, Make(Kind::kCall, line, List(std::move(node))));
  call->arguments = std::move(arguments);
  RETURN_IF_ERROR(SetDepth(*call));
  return call;
}

absl::StatusOr<std::vector<Argument>> ExpressionParser::ParseArguments() {
  RETURN_IF_ERROR(stream_.ExpectOperator("("));
  std::vector<Argument> arguments;
  while (!stream_.IsOperator(")")) {
    if (!arguments.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
    if (stream_.IsOperator(")")) break;
    Argument argument;
    if (stream_.SkipOperator("**")) {
      argument.kind = Argument::Kind::kSpreadNamed;
    } else if (stream_.SkipOperator("*")) {
      argument.kind = Argument::Kind::kSpread;
    } else if (stream_.Is(Token::Kind::kName) && stream_.next().kind == Token::Kind::kOperator &&
               stream_.next().text == "=") {
      argument.kind = Argument::Kind::kNamed;
      argument.name = stream_.Take().text;
      stream_.Take();
    }
    if (argument.kind == Argument::Kind::kPositional && !arguments.empty() &&
        arguments.back().kind != Argument::Kind::kPositional) {
      return stream_.Error("a positional argument follows a named one");
    }
    if (argument.kind == Argument::Kind::kNamed &&
        std::any_of(arguments.begin(), arguments.end(), [&](const Argument& other) {
          return other.kind == Argument::Kind::kNamed && other.name == argument.name;
        })) {
      return stream_.Error(absl::StrCat("the argument '", argument.name, "' is given twice"));
    }
    ASSIGN_OR_RETURN(argument.value, ParseExpression());
    arguments.push_back(std::move(argument));
  }
  stream_.Take();
  return arguments;
}

absl::StatusOr<std::string> ExpressionParser::ParseDottedName() {
  if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("a name");
  std::string name = stream_.Take().text;
  while (stream_.SkipOperator(".")) {
    if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("a name");
    absl::StrAppend(&name, ".", stream_.Take().text);
  }
  return name;
}

ExpressionParser::Result ExpressionParser::ParseFilters(ExpressionPointer node) {
  while (true) {
    if (stream_.SkipOperator("|")) {
      ASSIGN_OR_RETURN(node, ParseFilter(std::move(node)));
    } else if (stream_.IsName("is")) {
      ASSIGN_OR_RETURN(node, ParseTest(std::move(node)));
    } else if (stream_.IsOperator("(")) {
      ASSIGN_OR_RETURN(node, ParseCall(std::move(node)));
    } else {
      return node;
    }
  }
}

ExpressionParser::Result ExpressionParser::ParseFilter(ExpressionPointer input) {
  const int line = stream_.line();
  ASSIGN_OR_RETURN(std::string name, ParseDottedName());
  const FilterEntry* const filter = FindFilter(name);
  if (filter == nullptr) AddUnknown("filter", name, line);
  ASSIGN_OR_RETURN(auto node, Make(Kind::kFilter, line, List(std::move(input))));
  node->name = std::move(name);
  node->filter = filter;
  if (stream_.IsOperator("(")) {
    ASSIGN_OR_RETURN(node->arguments, ParseArguments());
    RETURN_IF_ERROR(SetDepth(*node));
  }
  return node;
}

ExpressionParser::Result ExpressionParser::ParseTest(ExpressionPointer node) {
  const int line = stream_.Take().line;
  const bool negated = stream_.SkipName("not");
  ASSIGN_OR_RETURN(std::string name, ParseDottedName());
  const TestEntry* const entry = FindTest(name);
  if (entry == nullptr) AddUnknown("test", name, line);
  ASSIGN_OR_RETURN(auto test, Make(Kind::kTest, line, List(std::move(node))));
  test->name = std::move(name);
  test->test = entry;
  const bool more = stream_.Is(Token::Kind::kName) || stream_.Is(Token::Kind::kString) ||
                    stream_.Is(Token::Kind::kInteger) || stream_.Is(Token::Kind::kFloat) ||
                    stream_.IsOperator("[") || stream_.IsOperator("{");
  if (stream_.IsOperator("(")) {
    ASSIGN_OR_RETURN(test->arguments, ParseArguments());
  } else if (more && !stream_.IsName("else") && !stream_.IsName("or") && !stream_.IsName("and")) {
    if (stream_.IsName("is")) return stream_.Error("tests can't be chained with is");
    Argument argument;
    ASSIGN_OR_RETURN(argument.value, ParsePrimary());
    ASSIGN_OR_RETURN(argument.value, ParsePostfix(std::move(argument.value)));
    test->arguments.push_back(std::move(argument));
  }
  RETURN_IF_ERROR(SetDepth(*test));
  if (!negated) return test;
  return Make(Kind::kNot, line, List(std::move(test)));
}

}  // namespace spillway::jinja
