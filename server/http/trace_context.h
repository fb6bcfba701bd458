#pragma once

#include <string>
#include <string_view>

namespace spillway {

// Whether `value` is a traceparent header as W3C Trace Context (level 1, section 3.2.2) has it: its
// version, trace and parent ids, flags. Of versions to come, whatever begins likewise.
bool IsTraceparent(std::string_view value);

// Which trace it is of (32 hex digits), which span of it asked (16), and whether whoever asked
// records it. Each requires IsTraceparent(traceparent).
std::string TraceIdOf(std::string_view traceparent);
std::string ParentIdOf(std::string_view traceparent);
bool IsSampled(std::string_view traceparent);

}  // namespace spillway
