#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/text/jinja_ast.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// Runs a parsed template once: statements in jinja_interpreter.cc, expressions in
// jinja_evaluation.cc. Not thread-safe; template and heap outlive it.
class Interpreter {
 public:
  // `depth_max`: the depth to which the template itself may be nested; macros that call each other
  // get a fixed multiple of it.
  Interpreter(Heap& heap, absl::Time time, int depth_max)
      : heap_(heap), time_(time), depth_max_(kCallFactor * depth_max) {}

  // The template's output with `globals` around its variables. Errors name the line.
  absl::StatusOr<Text> Run(const Block& block, Scope* globals);

  // For filters, methods and functions.
  Heap& heap() { return heap_; }
  Budget& budget() { return heap_.budget(); }
  absl::Time time() const { return time_; }

  absl::StatusOr<Value> Call(const Value& callee, const Arguments& arguments);
  absl::StatusOr<Value> Str(const Value& value);

  // For macros and loops, which are objects that hold statements.
  absl::StatusOr<Value> CallMacro(const Statement& macro, Scope* scope, const Arguments& arguments);
  absl::StatusOr<Value> CallLoop(const Statement& loop, Scope* scope, const Value& iterable,
                                 int depth);

 private:
  static constexpr int kCallFactor = 10;

  enum class Flow { kNext, kBreak, kContinue };
  // Counts how deep calls of Evaluate, Execute and macros are nested.
  class Nesting {
   public:
    explicit Nesting(int& depth) : depth_(depth) { ++depth_; }
    ~Nesting() { --depth_; }

   private:
    int& depth_;
  };

  absl::StatusOr<Flow> ExecuteBlock(const Block& block, Scope* scope);
  absl::StatusOr<Flow> Execute(const Statement& statement, Scope* scope);
  absl::StatusOr<Flow> ExecuteKind(const Statement& statement, Scope* scope);
  absl::StatusOr<Flow> ExecuteIf(const Statement& statement, Scope* scope);
  absl::StatusOr<Flow> ExecuteFor(const Statement& statement, Scope* scope, const Value& iterable,
                                  int depth);
  absl::Status ExecuteWith(const Statement& statement, Scope* scope);
  absl::Status ExecuteSetBlock(const Statement& statement, Scope* scope);
  absl::Status ExecuteFilter(const Statement& statement, Scope* scope);
  absl::Status ExecuteCall(const Statement& statement, Scope* scope);
  absl::StatusOr<std::vector<Value>> Filtered(const Statement& statement, Scope* scope,
                                              std::vector<Value> items);
  // Runs a block and returns its output instead of writing it.
  absl::StatusOr<Value> Capture(const Block& block, Scope* scope);
  absl::Status Assign(const Expression& target, Value value, Scope* scope);
  absl::Status Write(const Value& value);

  absl::StatusOr<Value> Evaluate(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateKind(const Expression& expression, Scope* scope);
  // Those kinds that need their first operand whatever it is.
  absl::StatusOr<Value> EvaluateOnFirst(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateName(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateDict(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateComparison(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateConcatenation(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateSlice(const Expression& expression, Scope* scope);
  absl::StatusOr<Value> EvaluateCall(const Expression& expression, Scope* scope,
                                     const Value* caller);
  absl::StatusOr<Value> EvaluateArithmetic(const Expression& expression, Scope* scope);
  absl::StatusOr<std::vector<Value>> EvaluateOperands(const Expression& expression, Scope* scope);
  absl::StatusOr<Arguments> EvaluateArguments(const std::vector<Argument>& arguments, Scope* scope);
  absl::Status EnterNode();
  absl::Status AtLine(absl::Status status, int line);

  Heap& heap_;
  const absl::Time time_;
  const int depth_max_;
  int depth_ = 0;
  bool error_has_line_ = false;
  Scope* top_ = nullptr;              // of the template's own variables
  TextBuilder* output_ = nullptr;     // of the innermost capture
  std::vector<Value> filter_inputs_;  // of the filter and set blocks that are being finished
};

}  // namespace spillway::jinja
