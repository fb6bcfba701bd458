#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/text/jinja_value.h"

// A parsed template. Immutable and shared by all renderings.

namespace spillway::jinja {

struct FilterEntry;
struct TestEntry;

enum class Operator {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Argument;

struct Expression {
  enum class Kind {
    kConstant,     // constant
    kName,         // name
    kList,         // operands
    kTuple,        // operands
    kDict,         // operands: key, value, key, value …
    kAttribute,    // operands[0].name
    kSubscript,    // operands[0][operands[1]]
    kSlice,        // operands[0][operands[1] : operands[2] : operands[3]], null where left out
    kCall,         // operands[0](arguments)
    kFilter,       // operands[0] | filter(arguments)
    kFilterInput,  // what a filter block or a set block has captured
    kTest,         // operands[0] is test(arguments)
    kNot,          // not operands[0]
    kNegate,       // -operands[0]
    kPositive,     // +operands[0]
    kAnd,          // operands[0] and operands[1]
    kOr,           // operands[0] or operands[1]
    kCompare,      // operands[0] operators[0] operands[1] operators[1] operands[2] …
    kArithmetic,   // operands[0] operators[0] operands[1]
    kConcatenate,  // operands, with ~ between them
    kConditional,  // operands[1] if operands[0] else operands[2], null where left out
    kNamespaceReference,  // name.attribute, as a target
  };

  Kind kind = Kind::kConstant;
  int line = 0;
  int depth = 1;  // of the tree below, itself counted
  Value constant;
  std::string name;
  std::string attribute;
  std::vector<std::unique_ptr<Expression>> operands;
  std::vector<Operator> operators;
  std::vector<Argument> arguments;
  const FilterEntry* filter = nullptr;
  const TestEntry* test = nullptr;
};
using ExpressionPointer = std::unique_ptr<Expression>;

struct Argument {
  enum class Kind { kPositional, kNamed, kSpread, kSpreadNamed };
  Kind kind = Kind::kPositional;
  std::string name;
  ExpressionPointer value;
};

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum class Kind {
    kData,      // text
    kOutput,    // expression
    kIf,        // branches; otherwise
    kFor,       // target in expression [if condition]: body; otherwise
    kSet,       // target = expression
    kSetBlock,  // target = body, through `expression` if there is one
    kMacro,     // name(parameters): body
    kCall,      // expression, which is a call, with body as its caller(parameters)
    kFilter,    // body through expression
    kWith,      // parameters: body
    kScope,     // body with variables of its own: generation, autoescape, a scoped block
    kBlock,     // body with variables of its own inside of the template's
    kBreak,
    kContinue,
  };
  struct Branch {
    ExpressionPointer condition;
    Block body;
  };
  struct Parameter {
    std::string name;
    ExpressionPointer value;   // the default, if there is one
    ExpressionPointer target;  // `with` only
  };

  Kind kind = Kind::kData;
  int line = 0;
  String text;
  std::string name;
  ExpressionPointer target;
  ExpressionPointer expression;
  ExpressionPointer condition;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  Block body;
  Block otherwise;
  bool recursive = false;
  // What the body of a macro refers to, and so what its call accepts.
  bool uses_caller = false;
  bool explicit_caller = false;  // as a parameter, with a default
  bool uses_positional = false;  // varargs
  bool uses_named = false;       // kwargs
};

}  // namespace spillway::jinja
