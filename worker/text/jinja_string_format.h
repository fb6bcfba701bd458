#pragma once

#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// 'text {} {name}'.format(…), without format specifications other than !s and !r.
absl::StatusOr<Value> FormatBraces(Interpreter& interpreter, const Value& self,
                                   const Arguments& arguments);

// 'text %s' % …, with %s %r %d %i %x %f %c %%, flags, width and precision.
absl::StatusOr<Value> FormatPercent(Interpreter& interpreter, const Value& self,
                                    const Arguments& arguments);

}  // namespace spillway::jinja
