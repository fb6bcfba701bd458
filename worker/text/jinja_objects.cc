#include "worker/text/jinja_objects.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"

namespace spillway::jinja {

// loop.cycle and loop.changed, which need the loop itself.
class LoopMethod {
 public:
  static absl::StatusOr<Value> Cycle(Interpreter& /*interpreter*/, const Value& self,
                                     const Arguments& arguments) {
    const auto& loop = static_cast<const Loop&>(*self.object());
    if (arguments.positional.empty()) {
      return absl::InvalidArgumentError("loop.cycle() needs something to cycle through");
    }
    return arguments.positional[loop.index_ % arguments.positional.size()];
  }

  static absl::StatusOr<Value> Changed(Interpreter& interpreter, const Value& self,
                                       const Arguments& arguments) {
    auto& loop = static_cast<Loop&>(*self.object());
    bool same =
        loop.has_changed_value_ && loop.changed_value_.size() == arguments.positional.size();
    for (size_t i = 0; same && i < arguments.positional.size(); ++i) {
      same = Equals(loop.changed_value_[i], arguments.positional[i], interpreter.budget());
    }
    loop.has_changed_value_ = true;
    loop.changed_value_ = arguments.positional;
    return Value::Bool(!same);
  }
};

namespace {

absl::StatusOr<Value> CyclerNext(Interpreter& /*interpreter*/, const Value& self,
                                 const Arguments& /*arguments*/) {
  auto& cycler = static_cast<Cycler&>(*self.object());
  Value current = cycler.current();
  cycler.Next();
  return current;
}

absl::StatusOr<Value> CyclerReset(Interpreter& /*interpreter*/, const Value& self,
                                  const Arguments& /*arguments*/) {
  static_cast<Cycler&>(*self.object()).Reset();
  return Value(None{});
}

}  // namespace

Value Macro::Attribute(Interpreter& interpreter, std::string_view name) {
  Heap& heap = interpreter.heap();
  if (name == "name") return heap.NewString(Text::Trusted(definition_.name));
  if (name == "catch_kwargs") return Value::Bool(definition_.uses_named);
  if (name == "catch_varargs") return Value::Bool(definition_.uses_positional);
  if (name == "caller") return Value::Bool(definition_.uses_caller);
  if (name == "explicit_caller") return Value::Bool(definition_.explicit_caller);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const Statement::Parameter& parameter : definition_.parameters) {
      names.push_back(heap.NewString(Text::Trusted(parameter.name)));
    }
    return heap.NewSequence(Sequence::Flavor::kTuple, std::move(names));
  }
  return {};
}

absl::StatusOr<Value> Macro::Call(Interpreter& interpreter, const Arguments& arguments) {
  return interpreter.CallMacro(definition_, scope_, arguments);
}

Value Loop::Attribute(Interpreter& interpreter, std::string_view name) {
  const auto index = static_cast<int64_t>(index_);
  const auto length = static_cast<int64_t>(items_.size());
  if (name == "index") return Value::Int(index + 1);
  if (name == "index0") return Value::Int(index);
  if (name == "revindex") return Value::Int(length - index);
  if (name == "revindex0") return Value::Int(length - index - 1);
  if (name == "first") return Value::Bool(index == 0);
  if (name == "last") return Value::Bool(index == length - 1);
  if (name == "length") return Value::Int(length);
  if (name == "depth") return Value::Int(depth_);
  if (name == "depth0") return Value::Int(depth_ - 1);
  if (name == "previtem") return index > 0 ? items_[index_ - 1] : Value();
  if (name == "nextitem") return index + 1 < length ? items_[index_ + 1] : Value();
  if (name == "cycle") {
    return Value(interpreter.heap().NewObject<Function>(&LoopMethod::Cycle, Value(this)));
  }
  if (name == "changed") {
    return Value(interpreter.heap().NewObject<Function>(&LoopMethod::Changed, Value(this)));
  }
  return {};
}

std::string Loop::Repr() const {
  return absl::StrCat("<LoopContext ", index_ + 1, "/", items_.size(), ">");
}

absl::StatusOr<Value> Loop::Call(Interpreter& interpreter, const Arguments& arguments) {
  if (!statement_.recursive) {
    return absl::InvalidArgumentError("the loop is called, but it is not 'recursive'");
  }
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    return absl::InvalidArgumentError("loop() takes one argument");
  }
  return interpreter.CallLoop(statement_, scope_, arguments.positional[0], depth_ + 1);
}

Value Namespace::Attribute(Interpreter& /*interpreter*/, std::string_view name) {
  const Value* const value = attributes_.Find(name);
  return value == nullptr ? Value() : *value;
}

absl::StatusOr<Value> Function::Call(Interpreter& interpreter, const Arguments& arguments) {
  interpreter.budget().ChargeText(self_);
  ASSIGN_OR_RETURN(Value result, body_(interpreter, self_, arguments));
  const bool of_markup = self_.string() != nullptr && self_.string()->is_markup();
  if (!of_markup || result.string() == nullptr || result.string()->is_markup()) return result;
  Text markup = *result.string();
  markup.set_markup();
  return interpreter.heap().NewString(std::move(markup));
}

absl::StatusOr<Value> Joiner::Call(Interpreter& interpreter, const Arguments& /*arguments*/) {
  if (used_) return separator_;
  used_ = true;
  return interpreter.heap().NewString(Text());
}

Value Cycler::Attribute(Interpreter& interpreter, std::string_view name) {
  if (name == "current") return current();
  if (name == "next") {
    return Value(interpreter.heap().NewObject<Function>(&CyclerNext, Value(this)));
  }
  if (name == "reset") {
    return Value(interpreter.heap().NewObject<Function>(&CyclerReset, Value(this)));
  }
  return {};
}

}  // namespace spillway::jinja
