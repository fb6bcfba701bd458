#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/jinja_ast.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_value.h"

// The values that are neither text nor numbers nor containers. All belong to the rendering's Heap.

namespace spillway::jinja {

// {% macro %}, or the body of {% call %}. It sees the variables around its definition.
class Macro : public Object {
 public:
  Macro(const Statement& definition, Scope* scope) : definition_(definition), scope_(scope) {}
  std::string TypeName() const override { return "Macro"; }
  std::string Repr() const override { return "<Macro '" + definition_.name + "'>"; }
  Value Attribute(Interpreter& interpreter, std::string_view name) override;
  absl::StatusOr<Value> Call(Interpreter& interpreter, const Arguments& arguments) override;

 private:
  const Statement& definition_;
  Scope* const scope_;
};

// `loop`, inside a loop over `items`.
class Loop : public Object {
 public:
  Loop(const Statement& statement, Scope* scope, std::vector<Value> items, int depth)
      : statement_(statement), scope_(scope), items_(std::move(items)), depth_(depth) {}

  bool done() const { return index_ == items_.size(); }
  void Next() { ++index_; }
  const Value& item() const { return items_[index_]; }

  std::string TypeName() const override { return "LoopContext"; }
  std::string Repr() const override;
  Value Attribute(Interpreter& interpreter, std::string_view name) override;
  // Runs the loop again over another iterable, where it is `recursive`.
  absl::StatusOr<Value> Call(Interpreter& interpreter, const Arguments& arguments) override;

 private:
  friend class LoopMethod;

  const Statement& statement_;
  Scope* const scope_;
  const std::vector<Value> items_;
  const int depth_;
  size_t index_ = 0;
  bool has_changed_value_ = false;
  std::vector<Value> changed_value_;  // what changed() was last asked about
};

// namespace(): what {% set name.attribute = value %} can write to, also from inside a loop.
class Namespace : public Object {
 public:
  explicit Namespace(Dict& attributes) : attributes_(attributes) {}
  Dict& attributes() { return attributes_; }
  std::string TypeName() const override { return "Namespace"; }
  Value Attribute(Interpreter& interpreter, std::string_view name) override;
  bool callable() const override { return false; }

 private:
  Dict& attributes_;
};

// A function of ours that templates call: a global one, or a method together with its object.
class Function : public Object {
 public:
  using Body = absl::StatusOr<Value> (*)(Interpreter& interpreter, const Value& self,
                                         const Arguments& arguments);
  Function(Body body, Value self) : body_(body), self_(std::move(self)) {}
  std::string TypeName() const override { return "builtin_function_or_method"; }
  absl::StatusOr<Value> Call(Interpreter& interpreter, const Arguments& arguments) override;

 private:
  const Body body_;
  const Value self_;
};

// joiner(): empty at its first call, the separator afterwards.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string TypeName() const override { return "Joiner"; }
  absl::StatusOr<Value> Call(Interpreter& interpreter, const Arguments& arguments) override;

 private:
  const Value separator_;
  bool used_ = false;
};

// cycler(): its items in turn.
class Cycler : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}  // Requires items.
  const Value& current() const { return items_[index_]; }
  void Next() { index_ = (index_ + 1) % items_.size(); }
  void Reset() { index_ = 0; }
  std::string TypeName() const override { return "Cycler"; }
  Value Attribute(Interpreter& interpreter, std::string_view name) override;
  bool callable() const override { return false; }

 private:
  const std::vector<Value> items_;
  size_t index_ = 0;
};

}  // namespace spillway::jinja
