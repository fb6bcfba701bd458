#include "router/error_table.h"

#include <algorithm>
#include <array>

namespace spillway {
namespace {

using absl::StatusCode;

constexpr absl::Duration kNever = absl::ZeroDuration();
constexpr absl::Duration kSoon = absl::Seconds(1);
constexpr std::string_view kInvalid = "invalid_request_error";
constexpr std::string_view kRate = "rate_limit_error";
constexpr std::string_view kServer = "server_error";

// clang-format off
constexpr std::array kTable = {
  //        code                           reason                         http eas  type      openai code               client replica after
  ErrorRow{StatusCode::kInvalidArgument,   "context_length_exceeded",     400, 400, kInvalid, "context_length_exceeded", false, false, kNever},
  ErrorRow{StatusCode::kInvalidArgument,   "invalid_request",             400, 400, kInvalid, "",                        false, false, kNever},
  ErrorRow{StatusCode::kInvalidArgument,   "content_filter",              400, 400, kInvalid, "content_filter",          false, false, kNever},
  ErrorRow{StatusCode::kInvalidArgument,   "",                            400, 400, kInvalid, "",                        false, false, kNever},
  ErrorRow{StatusCode::kOutOfRange,        "",                            400, 400, kInvalid, "",                        false, false, kNever},
  ErrorRow{StatusCode::kFailedPrecondition,"",                            400, 400, kInvalid, "",                        false, false, kNever},
  ErrorRow{StatusCode::kAlreadyExists,     "",                            409, 409, kInvalid, "",                        false, false, kNever},
  ErrorRow{StatusCode::kUnauthenticated,   "invalid_api_key",             401, 401, kInvalid, "invalid_api_key",         false, false, kNever},
  ErrorRow{StatusCode::kUnauthenticated,   "",                            401, 401, kInvalid, "invalid_api_key",         false, false, kNever},
  ErrorRow{StatusCode::kPermissionDenied,  "model_not_allowed",           403, 403, kInvalid, "model_not_allowed",       false, false, kNever},
  ErrorRow{StatusCode::kPermissionDenied,  "spill_forbidden",             403, 403, kInvalid, "spill_forbidden",         false, false, kNever},
  ErrorRow{StatusCode::kPermissionDenied,  "not_priced",                  403, 403, kInvalid, "not_priced",              false, false, kNever},
  ErrorRow{StatusCode::kPermissionDenied,  "",                            403, 403, kInvalid, "model_not_allowed",       false, false, kNever},
  ErrorRow{StatusCode::kNotFound,          "model_not_found",             404, 404, kInvalid, "model_not_found",         false, false, kNever},
  ErrorRow{StatusCode::kNotFound,          "",                            404, 404, kInvalid, "",                        false, false, kNever},
  ErrorRow{StatusCode::kResourceExhausted, "queue_full",                  429, 450, kRate,    "queue_full",              true,  true,  kSoon},
  ErrorRow{StatusCode::kResourceExhausted, "kv_full",                     429, 450, kRate,    "kv_full",                 true,  true,  kSoon},
  ErrorRow{StatusCode::kResourceExhausted, "predicted_wait_over_deadline",429, 450, kRate,    "predicted_wait_over_deadline", true, false, kSoon},
  ErrorRow{StatusCode::kResourceExhausted, "rate_limited",                429, 429, kRate,    "rate_limit_exceeded",     true,  false, kSoon},
  ErrorRow{StatusCode::kResourceExhausted, "quota_exceeded",              429, 429, kRate,    "insufficient_quota",      false, false, kNever},
  ErrorRow{StatusCode::kResourceExhausted, "request_over_limit",          429, 429, kRate,    "rate_limit_exceeded",     false, false, kNever},
  ErrorRow{StatusCode::kResourceExhausted, "provider_throttled",          429, 429, kRate,    "rate_limit_exceeded",     true,  false, kSoon},
  ErrorRow{StatusCode::kResourceExhausted, "budget_exceeded",             429, 429, kRate,    "insufficient_quota",      false, false, kNever},
  ErrorRow{StatusCode::kResourceExhausted, "",                            429, 429, kRate,    "rate_limit_exceeded",     true,  false, kSoon},
  ErrorRow{StatusCode::kUnavailable,       "no_ready_replica",            503, 503, kServer,  "no_ready_replica",        true,  true,  kSoon},
  ErrorRow{StatusCode::kUnavailable,       "worker_lost",                 503, 503, kServer,  "worker_lost",             true,  true,  kSoon},
  ErrorRow{StatusCode::kUnavailable,       "draining",                    503, 503, kServer,  "draining",                true,  true,  kSoon},
  ErrorRow{StatusCode::kUnavailable,       "",                            503, 503, kServer,  "",                        true,  true,  kSoon},
  ErrorRow{StatusCode::kAborted,           "provider_failed",             502, 502, kServer,  "provider_failed",         true,  false, kSoon},
  ErrorRow{StatusCode::kAborted,           "provider_unavailable",        503, 503, kServer,  "provider_unavailable",    true,  false, kSoon},
  ErrorRow{StatusCode::kAborted,           "budget_unavailable",          503, 503, kServer,  "budget_unavailable",      true,  false, kSoon},
  ErrorRow{StatusCode::kAborted,           "",                            503, 503, kServer,  "",                        true,  true,  kSoon},
  ErrorRow{StatusCode::kDeadlineExceeded,  "deadline",                    504, 408, kServer,  "deadline_exceeded",       false, false, kNever},
  ErrorRow{StatusCode::kDeadlineExceeded,  "provider_timeout",            504, 504, kServer,  "provider_timeout",        false, false, kNever},
  ErrorRow{StatusCode::kDeadlineExceeded,  "",                            504, 408, kServer,  "deadline_exceeded",       false, false, kNever},
  ErrorRow{StatusCode::kCancelled,         "cancelled",                   499, 499, kServer,  "",                        false, false, kNever},
  ErrorRow{StatusCode::kCancelled,         "",                            499, 499, kServer,  "",                        false, false, kNever},
  ErrorRow{StatusCode::kUnimplemented,     "",                            501, 501, kInvalid, "",                        false, false, kNever},
  ErrorRow{StatusCode::kDataLoss,          "",                            500, 500, kServer,  "internal_error",          false, false, kNever},
  ErrorRow{StatusCode::kUnknown,           "",                            500, 500, kServer,  "internal_error",          false, false, kNever},
  ErrorRow{StatusCode::kInternal,          "internal",                    500, 500, kServer,  "internal_error",          false, false, kNever},
  ErrorRow{StatusCode::kInternal,          "",                            500, 500, kServer,  "internal_error",          false, false, kNever},
};
// clang-format on

const ErrorRow* FindExact(StatusCode code, std::string_view reason) {
  const auto row = std::find_if(kTable.begin(), kTable.end(), [&](const ErrorRow& candidate) {
    return candidate.code == code && candidate.reason == reason;
  });
  return row == kTable.end() ? nullptr : &*row;
}

}  // namespace

std::span<const ErrorRow> ErrorTable() { return kTable; }

const ErrorRow& FindErrorRow(StatusCode code, std::string_view reason) {
  if (const ErrorRow* row = FindExact(code, reason)) return *row;
  if (const ErrorRow* row = FindExact(code, "")) return *row;
  return kTable.back();
}

std::string_view KnownReason(StatusCode code, std::string_view reason) {
  const ErrorRow* row = FindExact(code, reason);
  if (row != nullptr && !row->reason.empty()) return row->reason;
  switch (code) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
    case StatusCode::kFailedPrecondition:
      return "invalid_request";
    case StatusCode::kUnauthenticated:
      return "invalid_api_key";
    case StatusCode::kPermissionDenied:
      return "model_not_allowed";
    case StatusCode::kNotFound:
      return "model_not_found";
    case StatusCode::kResourceExhausted:
      return "queue_full";
    case StatusCode::kUnavailable:
    case StatusCode::kAborted:
      return "worker_lost";
    case StatusCode::kDeadlineExceeded:
      return "deadline";
    case StatusCode::kCancelled:
      return "cancelled";
    default:
      return "internal";
  }
}

}  // namespace spillway
