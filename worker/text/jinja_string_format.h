#pragma once

#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// 'text {} {name!r:>5}'.format(…), and the same with the values of a dict.
absl::StatusOr<Value> FormatBraces(Interpreter& interpreter, const Value& self,
                                   const Arguments& arguments);
absl::StatusOr<Value> FormatBracesOfMap(Interpreter& interpreter, const Value& self,
                                        const Arguments& arguments);

// 'text %s %(name)d' % …, as printf has it.
absl::StatusOr<Value> FormatPercent(Interpreter& interpreter, const Text& format,
                                    const Value& values);

}  // namespace spillway::jinja
