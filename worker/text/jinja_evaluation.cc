#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/text/jinja_access.h"
#include "worker/text/jinja_filters.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_string_format.h"
#include "worker/text/jinja_tests.h"

namespace spillway::jinja {

absl::StatusOr<Value> Interpreter::Evaluate(const Expression& expression, Scope* scope) {
  const Nesting nesting(depth_);
  RETURN_IF_ERROR(AtLine(EnterNode(), expression.line));
  auto value = EvaluateKind(expression, scope);
  if (!value.ok()) return AtLine(value.status(), expression.line);
  return value;
}

absl::StatusOr<Value> Interpreter::EvaluateKind(const Expression& expression, Scope* scope) {
  using Kind = Expression::Kind;
  switch (expression.kind) {
    case Kind::kConstant:
      return expression.constant;
    case Kind::kName:
      return EvaluateName(expression, scope);
    case Kind::kList:
    case Kind::kTuple: {
      ASSIGN_OR_RETURN(auto items, EvaluateOperands(expression, scope));
      return heap_.NewSequence(
          expression.kind == Kind::kList ? Sequence::Flavor::kList : Sequence::Flavor::kTuple,
          std::move(items));
    }
    case Kind::kDict:
      return EvaluateDict(expression, scope);
    case Kind::kSlice:
      return EvaluateSlice(expression, scope);
    case Kind::kCall:
      return EvaluateCall(expression, scope, /*caller=*/nullptr);
    case Kind::kFilterInput:
      CHECK(!filter_inputs_.empty());
      return filter_inputs_.back();
    case Kind::kCompare:
      return EvaluateComparison(expression, scope);
    case Kind::kArithmetic:
      return EvaluateArithmetic(expression, scope);
    case Kind::kConcatenate:
      return EvaluateConcatenation(expression, scope);
    default:
      return EvaluateOnFirst(expression, scope);
  }
}

absl::StatusOr<Value> Interpreter::EvaluateOnFirst(const Expression& expression, Scope* scope) {
  using Kind = Expression::Kind;
  ASSIGN_OR_RETURN(Value first, Evaluate(*expression.operands[0], scope));
  switch (expression.kind) {
    case Kind::kAttribute:
      return GetAttribute(*this, first, expression.name);
    case Kind::kSubscript: {
      ASSIGN_OR_RETURN(const Value key, Evaluate(*expression.operands[1], scope));
      return GetItem(*this, first, key);
    }
    case Kind::kFilter: {
      if (expression.filter == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("no filter named '", expression.name, "'"));
      }
      ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expression.arguments, scope));
      budget().ChargeText(first);
      return expression.filter->apply(*this, first, arguments);
    }
    case Kind::kTest: {
      if (expression.test == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("no test named '", expression.name, "'"));
      }
      ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(expression.arguments, scope));
      budget().ChargeText(first);
      ASSIGN_OR_RETURN(const bool holds, expression.test->apply(*this, first, arguments));
      return Value::Bool(holds);
    }
    case Kind::kNot:
      return Value::Bool(!first.IsTrue());
    case Kind::kNegate:
      if (first.floating() != nullptr) return Value::Float(-*first.floating());  // -0.0 too
      return Compute(Operator::kSubtract, Value::Int(0), first, heap_);
    case Kind::kPositive:
      if (first.floating() != nullptr) return first;
      return Compute(Operator::kAdd, Value::Int(0), first, heap_);
    case Kind::kAnd:
      return first.IsTrue() ? Evaluate(*expression.operands[1], scope) : first;
    case Kind::kOr:
      return first.IsTrue() ? first : Evaluate(*expression.operands[1], scope);
    case Kind::kConditional:
      if (first.IsTrue()) return Evaluate(*expression.operands[1], scope);
      if (expression.operands[2] == nullptr) return Undefined{};
      return Evaluate(*expression.operands[2], scope);
    default:
      CHECK(false);  // Targets are assigned to, never evaluated.
      return Undefined{};
  }
}

absl::StatusOr<Value> Interpreter::EvaluateName(const Expression& expression, Scope* scope) {
  const Value* const value = scope->Find(expression.name);
  return value != nullptr ? *value : Value(Undefined{&expression.name});
}

absl::StatusOr<std::vector<Value>> Interpreter::EvaluateOperands(const Expression& expression,
                                                                 Scope* scope) {
  std::vector<Value> values;
  values.reserve(expression.operands.size());
  for (const ExpressionPointer& operand : expression.operands) {
    if (operand == nullptr) {
      values.push_back(None{});
      continue;
    }
    ASSIGN_OR_RETURN(Value value, Evaluate(*operand, scope));
    values.push_back(std::move(value));
  }
  return values;
}

absl::StatusOr<Value> Interpreter::EvaluateDict(const Expression& expression, Scope* scope) {
  ASSIGN_OR_RETURN(const std::vector<Value> values, EvaluateOperands(expression, scope));
  Dict* const dict = heap_.NewDict();
  for (size_t i = 0; i < values.size(); i += 2) {
    if (dict->Set(values[i], values[i + 1])) continue;
    return NotHashable(values[i]);
  }
  return dict;
}

absl::StatusOr<Value> Interpreter::EvaluateSlice(const Expression& expression, Scope* scope) {
  ASSIGN_OR_RETURN(const std::vector<Value> values, EvaluateOperands(expression, scope));
  return GetSlice(*this, values[0], values[1], values[2], values[3]);
}

absl::StatusOr<Value> Interpreter::EvaluateComparison(const Expression& expression, Scope* scope) {
  ASSIGN_OR_RETURN(Value left, Evaluate(*expression.operands[0], scope));
  for (size_t i = 0; i < expression.operators.size(); ++i) {
    ASSIGN_OR_RETURN(Value right, Evaluate(*expression.operands[i + 1], scope));
    ASSIGN_OR_RETURN(const bool holds, Compare(expression.operators[i], left, right, budget()));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

absl::StatusOr<Value> Interpreter::EvaluateConcatenation(const Expression& expression,
                                                         Scope* scope) {
  ASSIGN_OR_RETURN(const std::vector<Value> values, EvaluateOperands(expression, scope));
  TextBuilder out(heap_);
  for (const Value& value : values) RETURN_IF_ERROR(AppendStr(value, out));
  return out.Finish();
}

absl::StatusOr<Value> Interpreter::EvaluateArithmetic(const Expression& expression, Scope* scope) {
  ASSIGN_OR_RETURN(const Value left, Evaluate(*expression.operands[0], scope));
  ASSIGN_OR_RETURN(const Value right, Evaluate(*expression.operands[1], scope));
  const Operator op = expression.operators[0];
  if (op == Operator::kModulo && left.string() != nullptr) {
    return FormatPercent(*this, *left.string(), right);
  }
  return Compute(op, left, right, heap_);
}

absl::StatusOr<Value> Interpreter::EvaluateCall(const Expression& expression, Scope* scope,
                                                const Value* caller) {
  ASSIGN_OR_RETURN(const Value callee, Evaluate(*expression.operands[0], scope));
  ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(expression.arguments, scope));
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  return Call(callee, arguments);
}

absl::StatusOr<Arguments> Interpreter::EvaluateArguments(const std::vector<Argument>& arguments,
                                                         Scope* scope) {
  Arguments result;
  for (const Argument& argument : arguments) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*argument.value, scope));
    switch (argument.kind) {
      case Argument::Kind::kPositional:
        result.positional.push_back(std::move(value));
        break;
      case Argument::Kind::kNamed:
        result.named.emplace_back(argument.name, std::move(value));
        break;
      case Argument::Kind::kSpread: {
        ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, heap_));
        result.positional.insert(result.positional.end(), items.begin(), items.end());
        break;
      }
      case Argument::Kind::kSpreadNamed: {
        if (value.dict() == nullptr) {
          return absl::InvalidArgumentError("what follows ** is no dict");
        }
        for (const Dict::Entry& entry : value.dict()->entries()) {
          if (entry.key.string() == nullptr) {
            return absl::InvalidArgumentError("a key of what follows ** is no string");
          }
          result.named.emplace_back(std::string(entry.key.string()->view()), entry.value);
        }
        break;
      }
    }
  }
  return result;
}

}  // namespace spillway::jinja
