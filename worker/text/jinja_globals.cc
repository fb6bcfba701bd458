#include "worker/text/jinja_globals.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_objects.h"
#include "worker/text/jinja_operators.h"

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

constexpr int64_t kRangeMax = 100'000;  // Jinja's sandbox has the same

Result Range(Interpreter& interpreter, const Value& /*self*/, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::BindPositional("range", arguments,
                                                                    {"start", "stop", "step"}, 1));
  ASSIGN_OR_RETURN(int64_t start, bound.GetInteger(0, 0));
  ASSIGN_OR_RETURN(int64_t stop, bound.GetInteger(1, 0));
  ASSIGN_OR_RETURN(const int64_t step, bound.GetInteger(2, 1));
  if (!bound.has(1)) stop = std::exchange(start, 0);
  if (step == 0) return absl::InvalidArgumentError("range(): step is zero");
  std::vector<Value> items;
  for (int64_t value = start; step > 0 ? value < stop : value > stop;) {
    if (std::ssize(items) == kRangeMax) {
      return absl::ResourceExhaustedError(
          absl::StrCat("range(): more than ", kRangeMax, " numbers"));
    }
    items.push_back(Value::Int(value));
    if (__builtin_add_overflow(value, step, &value)) break;
  }
  const Value range = interpreter.heap().NewSequence(Sequence::Flavor::kRange, std::move(items));
  range.sequence()->start = start;
  range.sequence()->stop = stop;
  range.sequence()->step = step;
  return range;
}

// The entries of dict(…) and namespace(…): those of a dict or pairs, then the named arguments.
absl::StatusOr<Dict*> NewDictOf(Interpreter& interpreter, const Arguments& arguments) {
  Heap& heap = interpreter.heap();
  Dict* const dict = heap.NewDict();
  if (arguments.positional.size() > 1) {
    return absl::InvalidArgumentError("dict() takes one dict or list of pairs");
  }
  if (!arguments.positional.empty() && arguments.positional[0].is_undefined()) {
    return UndefinedError(arguments.positional[0]);
  }
  if (!arguments.positional.empty() && arguments.positional[0].dict() != nullptr) {
    for (const Dict::Entry& entry : arguments.positional[0].dict()->entries()) {
      dict->Set(entry.key, entry.value);
    }
  } else if (!arguments.positional.empty()) {
    ASSIGN_OR_RETURN(const auto pairs, Iterate(arguments.positional[0], heap));
    for (const Value& pair : pairs) {
      ASSIGN_OR_RETURN(const auto parts, Iterate(pair, heap));
      if (parts.size() != 2 || !dict->Set(parts[0], parts[1])) {
        return absl::InvalidArgumentError("dict(): an element is no pair of a key and a value");
      }
    }
  }
  for (const auto& [name, value] : arguments.named) dict->Set(heap.Untrusted(name), value);
  heap.budget().Charge(std::ssize(dict->entries()));
  return dict;
}

Result MakeDict(Interpreter& interpreter, const Value& /*self*/, const Arguments& arguments) {
  ASSIGN_OR_RETURN(Dict* const dict, NewDictOf(interpreter, arguments));
  return Value(dict);
}

Result MakeNamespace(Interpreter& interpreter, const Value& /*self*/, const Arguments& arguments) {
  ASSIGN_OR_RETURN(Dict* const dict, NewDictOf(interpreter, arguments));
  return Value(interpreter.heap().NewObject<Namespace>(*dict));
}

Result MakeJoiner(Interpreter& interpreter, const Value& /*self*/, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("joiner", arguments, {"sep"}));
  return Value(interpreter.heap().NewObject<Joiner>(
      bound.Get(0, interpreter.heap().NewString(Text::Trusted(", ")))));
}

Result MakeCycler(Interpreter& interpreter, const Value& /*self*/, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) {
    return absl::InvalidArgumentError("cycler() needs items to cycle through");
  }
  return Value(interpreter.heap().NewObject<Cycler>(arguments.positional));
}

Result RaiseException(Interpreter& interpreter, const Value& /*self*/, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("raise_exception", arguments, {"message"}, 1));
  ASSIGN_OR_RETURN(const Value message, interpreter.Str(bound[0]));
  return absl::InvalidArgumentError(std::string(message.string()->view()));
}

// datetime.strftime() of a time without a zone.
Result StrftimeNow(Interpreter& interpreter, const Value& /*self*/, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("strftime_now", arguments, {"format"}, 1));
  ASSIGN_OR_RETURN(const Text* const text, bound.GetText(0));
  constexpr size_t kFormatMax = 256;  // bytes
  if (text->size() > kFormatMax) {
    return absl::InvalidArgumentError("strftime_now(): the format is too long");
  }
  const int64_t microseconds = absl::ToUnixMicros(interpreter.time());
  const std::string micros =
      absl::StrFormat("%06d", ((microseconds % 1'000'000) + 1'000'000) % 1'000'000);
  const std::string format = absl::StrReplaceAll(
      std::string(text->view()), {{"%%", "%%"}, {"%f", micros}, {"%Z", ""}, {"%z", ""}});
  const struct tm fields = absl::ToTM(interpreter.time(), absl::UTCTimeZone());
  std::string out(kFormatMax * 32, '\0');
  out.resize(strftime(out.data(), out.size(), format.c_str(), &fields));
  return interpreter.heap().Untrusted(std::move(out));
}

struct Row {
  std::string_view name;
  Function::Body body;
};

constexpr Row kFunctions[] = {
    {"range", &Range},
    {"dict", &MakeDict},
    {"namespace", &MakeNamespace},
    {"joiner", &MakeJoiner},
    {"cycler", &MakeCycler},
    {"raise_exception", &RaiseException},
    {"strftime_now", &StrftimeNow},
};

}  // namespace

void SetGlobalFunctions(Heap& heap, Scope& scope) {
  for (const Row& row : kFunctions) {
    scope.Set(row.name, Value(heap.NewObject<Function>(row.body, Value())));
  }
}

}  // namespace spillway::jinja
