#include "server/http/trace_context.h"

#include <algorithm>

#include "common/check.h"

namespace spillway {
namespace {

// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
constexpr size_t kTraceIdBegin = 3;
constexpr size_t kTraceIdDigits = 32;
constexpr size_t kParentIdBegin = 36;
constexpr size_t kParentIdDigits = 16;
constexpr size_t kFlagsBegin = 53;
constexpr size_t kVersion0Bytes = 55;
constexpr size_t kBytesMax = 128;  // of versions to come: room for as much again

bool IsHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}
bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

bool IsTraceparent(std::string_view value) {
  if (value.size() < kVersion0Bytes || value.size() > kBytesMax) return false;
  if (value[2] != '-' || value[kParentIdBegin - 1] != '-' || value[kFlagsBegin - 1] != '-') {
    return false;
  }
  const std::string_view version = value.substr(0, 2);
  const std::string_view trace_id = value.substr(kTraceIdBegin, kTraceIdDigits);
  const std::string_view parent_id = value.substr(kParentIdBegin, kParentIdDigits);
  if (!IsHex(version) || version == "ff" || !IsHex(trace_id) || IsZero(trace_id) ||
      !IsHex(parent_id) || IsZero(parent_id) || !IsHex(value.substr(kFlagsBegin, 2))) {
    return false;
  }
  if (value.size() == kVersion0Bytes) return true;
  return version != "00" && value[kVersion0Bytes] == '-' &&
         std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::string TraceIdOf(std::string_view traceparent) {
  CHECK(IsTraceparent(traceparent));
  return std::string(traceparent.substr(kTraceIdBegin, kTraceIdDigits));
}

std::string ParentIdOf(std::string_view traceparent) {
  CHECK(IsTraceparent(traceparent));
  return std::string(traceparent.substr(kParentIdBegin, kParentIdDigits));
}

bool IsSampled(std::string_view traceparent) {
  CHECK(IsTraceparent(traceparent));
  // The lowest bit of the flags.
  return std::string_view("13579bdf").find(traceparent[kFlagsBegin + 1]) != std::string_view::npos;
}

}  // namespace spillway
