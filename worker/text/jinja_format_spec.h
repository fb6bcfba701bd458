#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// Python's format(value, spec), as fields of str.format() use it: fill, alignment, sign, width,
// grouping, precision and type. An empty spec is str(). INVALID_ARGUMENT where Python raises: a
// spec that is none, or not for a value of this type.
absl::Status AppendFormatted(const Value& value, std::string_view spec, TextBuilder& out);

// A float in one of printf's ways: `kind` is e, f, g or their capitals. `alternate`: with a point,
// and zeros behind it. Requires a finite value and a precision of at most kPrecisionMax.
inline constexpr int kPrecisionMax = 2000;
std::string FormatFloatAs(char kind, int precision, bool alternate, double value);

// An integer to a base of 2, 8, 10 or 16, without a sign.
std::string FormatMagnitude(uint64_t magnitude, int base, bool upper);
uint64_t Magnitude(int64_t value);

}  // namespace spillway::jinja
