#include "worker/text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_expression_parser.h"
#include "worker/text/jinja_lexer.h"
#include "worker/text/jinja_token_stream.h"

namespace spillway::jinja {
namespace {

using Kind = Statement::Kind;
using Names = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  StatementParser(std::vector<Token> tokens, int depth_max)
      : stream_(std::move(tokens)), expressions_(stream_, depth_max), depth_max_(depth_max) {}

  absl::StatusOr<Block> ParseAll() {
    ASSIGN_OR_RETURN(Block block, ParseBlock({}));
    if (!stream_.Is(Token::Kind::kEnd)) return stream_.Unexpected("text");
    RETURN_IF_ERROR(expressions_.unknown());
    return block;
  }

 private:
  // Statements up to `{% name` of one of `ends`; the name is then the current token. Without ends,
  // up to the end of the template.
  absl::StatusOr<Block> ParseBlock(Names ends) {
    Block block;
    if (++depth_ > depth_max_)
      return stream_.Error(absl::StrCat("nested deeper than ", depth_max_));
    while (!stream_.Is(Token::Kind::kEnd)) {
      const Token& token = stream_.Take();
      if (token.kind == Token::Kind::kBlockBegin && IsAnyOf(ends)) {
        --depth_;
        return block;
      }
      ASSIGN_OR_RETURN(Statement statement, ParseAfter(token));
      block.push_back(std::move(statement));
    }
    if (ends.size() > 0) return stream_.Unexpected(absl::StrCat("{% ", Joined(ends), " %}"));
    --depth_;
    return block;
  }

  static std::string Joined(Names names) {
    std::string out;
    for (const std::string_view name : names) {
      absl::StrAppend(&out, out.empty() ? "" : " or ", std::string(name));
    }
    return out;
  }

  bool IsAnyOf(Names names) const {
    return std::any_of(names.begin(), names.end(),
                       [this](std::string_view name) { return stream_.IsName(name); });
  }

  // The statement that `token`, which has been taken, begins.
  absl::StatusOr<Statement> ParseAfter(const Token& token) {
    Statement statement;
    statement.line = token.line;
    switch (token.kind) {
      case Token::Kind::kData:
        statement.kind = Kind::kData;
        statement.text = std::make_shared<const StringCell>(Text::Trusted(token.text), nullptr);
        return statement;
      case Token::Kind::kVariableBegin: {
        statement.kind = Kind::kOutput;
        ASSIGN_OR_RETURN(statement.expression, expressions_.ParseTuple(/*conditional=*/true, ""));
        RETURN_IF_ERROR(stream_.Expect(Token::Kind::kVariableEnd, "'}}'"));
        return statement;
      }
      default:
        RETURN_IF_ERROR(ParseTag(statement));
        RETURN_IF_ERROR(ExpectTagEnd());
        return statement;
    }
  }

  absl::Status ExpectTagEnd() { return stream_.Expect(Token::Kind::kBlockEnd, "'%}'"); }

  // A body from the tag's end to the name of its end tag, which is taken.
  absl::Status ParseBody(Block& body, std::string_view end) {
    RETURN_IF_ERROR(ExpectTagEnd());
    ASSIGN_OR_RETURN(body, ParseBlock({end}));
    stream_.Take();
    return absl::OkStatus();
  }

  absl::Status ParseTag(Statement& statement) {
    if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("a statement");
    const std::string& name = stream_.current().text;
    using Parse = absl::Status (StatementParser::*)(Statement&);
    struct Row {
      std::string_view name;
      Parse parse;
    };
    constexpr Row kStatements[] = {
        {"if", &StatementParser::ParseIf},
        {"for", &StatementParser::ParseFor},
        {"set", &StatementParser::ParseSet},
        {"macro", &StatementParser::ParseMacro},
        {"call", &StatementParser::ParseCall},
        {"filter", &StatementParser::ParseFilter},
        {"with", &StatementParser::ParseWith},
        {"generation", &StatementParser::ParseGeneration},
        {"break", &StatementParser::ParseJump},
        {"continue", &StatementParser::ParseJump},
        {"autoescape", &StatementParser::ParseAutoescape},
        {"print", &StatementParser::ParsePrint},
        {"block", &StatementParser::ParseNamedBlock},
    };
    for (const Row& row : kStatements) {
      if (row.name != name) continue;
      statement.name = stream_.Take().text;
      return (this->*row.parse)(statement);
    }
    return stream_.Error(absl::StrCat("the statement {% ", name, " %} is not known here"));
  }

  absl::Status ParseIf(Statement& statement) {
    statement.kind = Kind::kIf;
    expressions_.EnterCondition();
    RETURN_IF_ERROR(ParseBranches(statement));
    expressions_.LeaveCondition();
    return absl::OkStatus();
  }

  absl::Status ParseBranches(Statement& statement) {
    while (true) {
      Statement::Branch& branch = statement.branches.emplace_back();
      ASSIGN_OR_RETURN(branch.condition, expressions_.ParseTuple(/*conditional=*/false, ""));
      RETURN_IF_ERROR(ExpectTagEnd());
      ASSIGN_OR_RETURN(branch.body, ParseBlock({"elif", "else", "endif"}));
      const std::string& end = stream_.Take().text;
      if (end == "else") return ParseBody(statement.otherwise, "endif");
      if (end == "endif") return absl::OkStatus();
    }
  }

  absl::Status ParseFor(Statement& statement) {
    statement.kind = Kind::kFor;
    ASSIGN_OR_RETURN(statement.target, expressions_.ParseTarget("in"));
    if (Assigns(*statement.target, "loop")) return stream_.Error("a loop can't assign to 'loop'");
    if (!stream_.SkipName("in")) return stream_.Unexpected("'in'");
    ASSIGN_OR_RETURN(statement.expression,
                     expressions_.ParseTuple(/*conditional=*/false, "recursive"));
    if (stream_.SkipName("if")) {
      ASSIGN_OR_RETURN(statement.condition, expressions_.ParseExpression());
    }
    statement.recursive = stream_.SkipName("recursive");
    RETURN_IF_ERROR(ExpectTagEnd());
    ++loop_depth_;
    ASSIGN_OR_RETURN(statement.body, ParseBlock({"endfor", "else"}));
    --loop_depth_;
    if (stream_.Take().text == "else") return ParseBody(statement.otherwise, "endfor");
    return absl::OkStatus();
  }

  absl::Status ParseSet(Statement& statement) {
    ASSIGN_OR_RETURN(statement.target, expressions_.ParseTarget(""));
    if (stream_.SkipOperator("=")) {
      statement.kind = Kind::kSet;
      ASSIGN_OR_RETURN(statement.expression, expressions_.ParseTuple(/*conditional=*/true, ""));
      return absl::OkStatus();
    }
    statement.kind = Kind::kSetBlock;
    if (stream_.IsOperator("|")) {
      ASSIGN_OR_RETURN(statement.expression, expressions_.ParseFilters(FilterInput()));
    }
    return ParseBody(statement.body, "endset");
  }

  static bool Assigns(const Expression& target, std::string_view name) {
    return (target.kind == Expression::Kind::kName && target.name == name) ||
           std::any_of(target.operands.begin(), target.operands.end(),
                       [&](const ExpressionPointer& operand) { return Assigns(*operand, name); });
  }

  static ExpressionPointer FilterInput() {
    auto node = std::make_unique<Expression>();
    node->kind = Expression::Kind::kFilterInput;
    return node;
  }

  absl::Status ParseParameters(Statement& statement) {
    RETURN_IF_ERROR(stream_.ExpectOperator("("));
    while (!stream_.IsOperator(")")) {
      if (!statement.parameters.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
      if (stream_.IsOperator(")")) break;
      if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("a parameter's name");
      Statement::Parameter parameter;
      parameter.name = stream_.Take().text;
      if (std::any_of(statement.parameters.begin(), statement.parameters.end(),
                      [&](const auto& other) { return other.name == parameter.name; })) {
        return stream_.Error(absl::StrCat("there are two parameters '", parameter.name, "'"));
      }
      if (stream_.SkipOperator("=")) {
        ASSIGN_OR_RETURN(parameter.value, expressions_.ParseExpression());
      } else if (!statement.parameters.empty() && statement.parameters.back().value != nullptr) {
        return stream_.Error("a parameter without a default follows one with a default");
      }
      if (parameter.name == "caller") {
        if (parameter.value == nullptr) return stream_.Error("'caller' needs a default");
        statement.explicit_caller = true;
      }
      statement.parameters.push_back(std::move(parameter));
    }
    stream_.Take();
    return absl::OkStatus();
  }

  // The body of a macro or call block, and what of its call it refers to.
  absl::Status ParseCallable(Statement& statement, std::string_view end) {
    const size_t outer_names = expressions_.names().size();
    const int outer_loops = std::exchange(loop_depth_, 0);
    RETURN_IF_ERROR(ParseBody(statement.body, end));
    loop_depth_ = outer_loops;
    for (size_t i = outer_names; i < expressions_.names().size(); ++i) {
      const std::string& name = expressions_.names()[i];
      statement.uses_caller |= name == "caller" && !statement.explicit_caller;
      statement.uses_positional |= name == "varargs";
      statement.uses_named |= name == "kwargs";
    }
    return absl::OkStatus();
  }

  absl::Status ParseMacro(Statement& statement) {
    statement.kind = Kind::kMacro;
    if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("the macro's name");
    statement.name = stream_.Take().text;
    RETURN_IF_ERROR(ParseParameters(statement));
    return ParseCallable(statement, "endmacro");
  }

  absl::Status ParseCall(Statement& statement) {
    statement.kind = Kind::kCall;
    statement.name = "caller";
    if (stream_.IsOperator("(")) RETURN_IF_ERROR(ParseParameters(statement));
    ASSIGN_OR_RETURN(statement.expression, expressions_.ParseExpression());
    if (statement.expression->kind != Expression::Kind::kCall) {
      return stream_.Error("{% call %} needs a call");
    }
    return ParseCallable(statement, "endcall");
  }

  absl::Status ParseFilter(Statement& statement) {
    statement.kind = Kind::kFilter;
    ASSIGN_OR_RETURN(statement.expression, expressions_.ParseFilter(FilterInput()));
    ASSIGN_OR_RETURN(statement.expression,
                     expressions_.ParseFilters(std::move(statement.expression)));
    return ParseBody(statement.body, "endfilter");
  }

  absl::Status ParseWith(Statement& statement) {
    statement.kind = Kind::kWith;
    while (!stream_.Is(Token::Kind::kBlockEnd)) {
      if (!statement.parameters.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
      Statement::Parameter& parameter = statement.parameters.emplace_back();
      ASSIGN_OR_RETURN(parameter.target, expressions_.ParseTarget(""));
      RETURN_IF_ERROR(stream_.ExpectOperator("="));
      ASSIGN_OR_RETURN(parameter.value, expressions_.ParseExpression());
    }
    return ParseBody(statement.body, "endwith");
  }

  // transformers marks the assistant's part with it; it changes nothing in the text.
  absl::Status ParseGeneration(Statement& statement) {
    statement.kind = Kind::kScope;
    const int outer_loops = std::exchange(loop_depth_, 0);
    RETURN_IF_ERROR(ParseBody(statement.body, "endgeneration"));
    loop_depth_ = outer_loops;
    return absl::OkStatus();
  }

  // {% print a, b %}: what {{ a }}{{ b }} is.
  absl::Status ParsePrint(Statement& statement) {
    statement.kind = Kind::kScope;
    while (!stream_.Is(Token::Kind::kBlockEnd)) {
      if (!statement.body.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
      Statement& output = statement.body.emplace_back();
      output.kind = Kind::kOutput;
      output.line = statement.line;
      ASSIGN_OR_RETURN(output.expression, expressions_.ParseExpression());
    }
    return absl::OkStatus();
  }

  // Without inheritance a block is written where it stands.
  absl::Status ParseNamedBlock(Statement& statement) {
    statement.kind = Kind::kBlock;
    if (!stream_.Is(Token::Kind::kName)) return stream_.Unexpected("the block's name");
    const std::string name = stream_.Take().text;
    if (std::find(blocks_.begin(), blocks_.end(), name) != blocks_.end()) {
      return stream_.Error(absl::StrCat("there are two blocks '", name, "'"));
    }
    blocks_.push_back(name);
    if (stream_.SkipName("scoped")) statement.kind = Kind::kScope;
    if (stream_.IsName("required")) return stream_.Error("a required block needs inheritance");
    RETURN_IF_ERROR(ParseBody(statement.body, "endblock"));
    stream_.SkipName(name);
    return absl::OkStatus();
  }

  absl::Status ParseAutoescape(Statement& statement) {
    ASSIGN_OR_RETURN(auto on, expressions_.ParseExpression());
    if (on->kind != Expression::Kind::kConstant || on->constant.IsTrue()) {
      return stream_.Error("{% autoescape %} can only be false");
    }
    statement.kind = Kind::kScope;
    return ParseBody(statement.body, "endautoescape");
  }

  absl::Status ParseJump(Statement& statement) {
    if (loop_depth_ == 0) {
      return stream_.Error(absl::StrCat("{% ", statement.name, " %} outside of a loop"));
    }
    statement.kind = statement.name == "break" ? Kind::kBreak : Kind::kContinue;
    return absl::OkStatus();
  }

  TokenStream stream_;
  ExpressionParser expressions_;
  const int depth_max_;
  int depth_ = 0;
  int loop_depth_ = 0;
  std::vector<std::string> blocks_;  // the names of {% block %} so far
};

}  // namespace

absl::StatusOr<Block> ParseTemplate(std::string_view source, int depth_max) {
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return StatementParser(std::move(tokens), depth_max).ParseAll();
}

}  // namespace spillway::jinja
