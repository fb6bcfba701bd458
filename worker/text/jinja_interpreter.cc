#include "worker/text/jinja_interpreter.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_objects.h"
#include "worker/text/jinja_operators.h"

namespace spillway::jinja {

absl::Status Interpreter::EnterNode() {
  budget().Charge(1);
  if (depth_ > depth_max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the chat template's calls are nested deeper than ", depth_max_));
  }
  return budget().Check();
}

// The innermost line is the one that helps.
absl::Status Interpreter::AtLine(absl::Status status, int line) {
  if (status.ok() || error_has_line_) return status;
  error_has_line_ = true;
  return absl::Status(status.code(),
                      absl::StrCat("line ", line, ": ", std::string(status.message())));
}

absl::StatusOr<Text> Interpreter::Run(const Block& block, Scope* globals) {
  TextBuilder out(heap_);
  output_ = &out;
  const BlockScope top(heap_, globals);
  top_ = top.get();
  const auto flow = ExecuteBlock(block, top.get());
  output_ = nullptr;
  RETURN_IF_ERROR(flow.status());
  RETURN_IF_ERROR(budget().Check());
  return out.text();
}

absl::StatusOr<Value> Interpreter::Str(const Value& value) {
  if (value.string() != nullptr) return value;
  TextBuilder out(heap_);
  RETURN_IF_ERROR(AppendStr(value, out));
  return out.Finish();
}

absl::Status Interpreter::Write(const Value& value) { return AppendStr(value, *output_); }

absl::StatusOr<Value> Interpreter::Call(const Value& callee, const Arguments& arguments) {
  const Nesting nesting(depth_);
  RETURN_IF_ERROR(EnterNode());
  if (callee.undefined() != nullptr && callee.undefined()->refused) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", *callee.undefined()->name, "' would change a list or dict, which templates may not"));
  }
  if (callee.is_undefined()) return UndefinedError(callee);
  if (callee.object() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", callee.TypeName(), "' object is not callable"));
  }
  return callee.object()->Call(*this, arguments);
}

absl::StatusOr<Value> Interpreter::Capture(const Block& block, Scope* scope) {
  TextBuilder captured(heap_);
  TextBuilder* const outer = std::exchange(output_, &captured);
  const auto flow = ExecuteBlock(block, scope);
  output_ = outer;
  RETURN_IF_ERROR(flow.status());
  return captured.Finish();
}

absl::StatusOr<Value> Interpreter::CallMacro(const Statement& macro, Scope* scope,
                                             const Arguments& arguments) {
  const BlockScope inner(heap_, scope);
  std::vector<Value> extra;
  Dict* const extra_named = macro.uses_named ? heap_.NewDict() : nullptr;
  // A parameter is there from the beginning, but undefined until it has a value.
  for (const Statement::Parameter& parameter : macro.parameters) {
    inner->Set(parameter.name, Undefined{&parameter.name});
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < macro.parameters.size()) {
      inner->Set(macro.parameters[i].name, arguments.positional[i]);
    } else {
      extra.push_back(arguments.positional[i]);
    }
  }
  std::vector<bool> given(macro.parameters.size());
  for (const auto& [name, value] : arguments.named) {
    size_t known = 0;
    while (known < macro.parameters.size() && macro.parameters[known].name != name) ++known;
    if (known < macro.parameters.size() && known >= arguments.positional.size()) {
      inner->Set(macro.parameters[known].name, value);
      given[known] = true;
    } else if (name == "caller" && macro.uses_caller) {
      inner->Set("caller", value);
    } else if (macro.uses_named) {
      extra_named->Set(heap_.Untrusted(name), value);
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("macro '", macro.name, "' has no parameter '", name, "'"));
    }
  }
  if (!extra.empty() && !macro.uses_positional) {
    return absl::InvalidArgumentError(absl::StrCat("macro '", macro.name, "' takes ",
                                                   macro.parameters.size(), " arguments, got ",
                                                   arguments.positional.size()));
  }
  for (size_t i = arguments.positional.size(); i < macro.parameters.size(); ++i) {
    const Statement::Parameter& parameter = macro.parameters[i];
    if (given[i] || parameter.value == nullptr) continue;
    ASSIGN_OR_RETURN(Value value, Evaluate(*parameter.value, inner.get()));
    inner->Set(parameter.name, std::move(value));
  }
  if (macro.uses_positional) {
    inner->Set("varargs", heap_.NewSequence(Sequence::Flavor::kTuple, std::move(extra)));
  }
  if (macro.uses_named) inner->Set("kwargs", extra_named);
  return Capture(macro.body, inner.get());
}

absl::StatusOr<Value> Interpreter::CallLoop(const Statement& loop, Scope* scope,
                                            const Value& iterable, int depth) {
  TextBuilder captured(heap_);
  TextBuilder* const outer = std::exchange(output_, &captured);
  const auto flow = ExecuteFor(loop, scope, iterable, depth);
  output_ = outer;
  RETURN_IF_ERROR(flow.status());
  return captured.Finish();
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteBlock(const Block& block, Scope* scope) {
  for (const Statement& statement : block) {
    ASSIGN_OR_RETURN(const Flow flow, Execute(statement, scope));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Statement& statement, Scope* scope) {
  const Nesting nesting(depth_);
  RETURN_IF_ERROR(AtLine(EnterNode(), statement.line));
  auto flow = ExecuteKind(statement, scope);
  if (!flow.ok()) return AtLine(flow.status(), statement.line);
  return flow;
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteKind(const Statement& statement,
                                                           Scope* scope) {
  using Kind = Statement::Kind;
  switch (statement.kind) {
    case Kind::kData:
      output_->Append(statement.text->text);
      RETURN_IF_ERROR(output_->Check());
      return Flow::kNext;
    case Kind::kOutput: {
      ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.expression, scope));
      RETURN_IF_ERROR(Write(value));
      return Flow::kNext;
    }
    case Kind::kIf:
      return ExecuteIf(statement, scope);
    case Kind::kFor: {
      ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.expression, scope));
      return ExecuteFor(statement, scope, iterable, /*depth=*/1);
    }
    case Kind::kSet: {
      ASSIGN_OR_RETURN(Value value, Evaluate(*statement.expression, scope));
      RETURN_IF_ERROR(Assign(*statement.target, std::move(value), scope));
      return Flow::kNext;
    }
    case Kind::kSetBlock:
      RETURN_IF_ERROR(ExecuteSetBlock(statement, scope));
      return Flow::kNext;
    case Kind::kMacro:
      scope->Capture();
      scope->Set(statement.name, Value(heap_.NewObject<Macro>(statement, scope)));
      return Flow::kNext;
    case Kind::kCall:
      RETURN_IF_ERROR(ExecuteCall(statement, scope));
      return Flow::kNext;
    case Kind::kFilter:
      RETURN_IF_ERROR(ExecuteFilter(statement, scope));
      return Flow::kNext;
    case Kind::kWith:
      RETURN_IF_ERROR(ExecuteWith(statement, scope));
      return Flow::kNext;
    case Kind::kScope:
      return ExecuteBlock(statement.body, BlockScope(heap_, scope).get());
    case Kind::kBlock:
      // A block sees the template's own variables, not those of loops around it.
      return ExecuteBlock(statement.body, BlockScope(heap_, top_).get());
    case Kind::kBreak:
      return Flow::kBreak;
    case Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteIf(const Statement& statement, Scope* scope) {
  for (const Statement::Branch& branch : statement.branches) {
    ASSIGN_OR_RETURN(const Value condition, Evaluate(*branch.condition, scope));
    if (condition.IsTrue()) return ExecuteBlock(branch.body, scope);
  }
  return ExecuteBlock(statement.otherwise, scope);
}

absl::StatusOr<std::vector<Value>> Interpreter::Filtered(const Statement& statement, Scope* scope,
                                                         std::vector<Value> items) {
  if (statement.condition == nullptr) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    const BlockScope inner(heap_, scope);
    RETURN_IF_ERROR(Assign(*statement.target, item, inner.get()));
    ASSIGN_OR_RETURN(const Value condition, Evaluate(*statement.condition, inner.get()));
    if (condition.IsTrue()) kept.push_back(std::move(item));
  }
  return kept;
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteFor(const Statement& statement, Scope* scope,
                                                          const Value& iterable, int depth) {
  ASSIGN_OR_RETURN(std::vector<Value> all, Iterate(iterable, heap_));
  ASSIGN_OR_RETURN(std::vector<Value> items, Filtered(statement, scope, std::move(all)));
  if (items.empty()) return ExecuteBlock(statement.otherwise, BlockScope(heap_, scope).get());
  if (statement.recursive) scope->Capture();
  Loop* const loop = heap_.NewObject<Loop>(statement, scope, std::move(items), depth);
  for (; !loop->done(); loop->Next()) {
    // Jinja gives each round its own variables: what it sets is gone in the next.
    const BlockScope inner(heap_, scope);
    inner->Set("loop", Value(loop));
    RETURN_IF_ERROR(Assign(*statement.target, loop->item(), inner.get()));
    ASSIGN_OR_RETURN(const Flow flow, ExecuteBlock(statement.body, inner.get()));
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

absl::Status Interpreter::ExecuteWith(const Statement& statement, Scope* scope) {
  const BlockScope inner(heap_, scope);
  for (const Statement::Parameter& parameter : statement.parameters) {
    ASSIGN_OR_RETURN(Value value, Evaluate(*parameter.value, scope));
    RETURN_IF_ERROR(Assign(*parameter.target, std::move(value), inner.get()));
  }
  return ExecuteBlock(statement.body, inner.get()).status();
}

absl::Status Interpreter::ExecuteSetBlock(const Statement& statement, Scope* scope) {
  ASSIGN_OR_RETURN(Value value, Capture(statement.body, BlockScope(heap_, scope).get()));
  if (statement.expression != nullptr) {
    filter_inputs_.push_back(value);
    auto filtered = Evaluate(*statement.expression, scope);
    filter_inputs_.pop_back();
    ASSIGN_OR_RETURN(value, std::move(filtered));
  }
  return Assign(*statement.target, std::move(value), scope);
}

absl::Status Interpreter::ExecuteFilter(const Statement& statement, Scope* scope) {
  ASSIGN_OR_RETURN(Value value, Capture(statement.body, BlockScope(heap_, scope).get()));
  filter_inputs_.push_back(std::move(value));
  const auto filtered = Evaluate(*statement.expression, scope);
  filter_inputs_.pop_back();
  RETURN_IF_ERROR(filtered.status());
  return Write(*filtered);
}

absl::Status Interpreter::ExecuteCall(const Statement& statement, Scope* scope) {
  scope->Capture();
  const Value caller(heap_.NewObject<Macro>(statement, scope));
  ASSIGN_OR_RETURN(const Value value, EvaluateCall(*statement.expression, scope, &caller));
  return Write(value);
}

absl::Status Interpreter::Assign(const Expression& target, Value value, Scope* scope) {
  if (target.kind == Expression::Kind::kName) {
    scope->Set(target.name, std::move(value));
    return absl::OkStatus();
  }
  if (target.kind == Expression::Kind::kNamespaceReference) {
    Value* const found = scope->Find(target.name);
    auto* const space = found == nullptr ? nullptr : dynamic_cast<Namespace*>(found->object());
    if (space == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot assign attribute on '", target.name, "', which is no namespace"));
    }
    space->attributes().Set(heap_.NewString(Text::Trusted(target.attribute)), std::move(value));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value, heap_));
  if (items.size() != target.operands.size()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot unpack ", items.size(), " values into ",
                                                   target.operands.size(), " names"));
  }
  for (size_t i = 0; i < items.size(); ++i) {
    RETURN_IF_ERROR(Assign(*target.operands[i], std::move(items[i]), scope));
  }
  return absl::OkStatus();
}

}  // namespace spillway::jinja
