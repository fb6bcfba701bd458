#include "router/error_table.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

using absl::StatusCode;

TEST(ErrorTable, HoldsTogetherRowByRow) {
  std::set<std::pair<StatusCode, std::string_view>> seen;
  for (const ErrorRow& row : ErrorTable()) {
    SCOPED_TRACE(absl::StatusCodeToString(row.code) + " " + std::string(row.reason));
    EXPECT_TRUE(seen.emplace(row.code, row.reason).second) << "stands twice";
    EXPECT_EQ(&FindErrorRow(row.code, row.reason), &row);
    EXPECT_GE(row.http_status, 400);
    EXPECT_LT(row.http_status, 600);
    EXPECT_FALSE(row.openai_type.empty());
    // One meaning per code, from end to end.
    if (row.http_status < 499) {
      EXPECT_NE(row.openai_type, "server_error");
    }
    if (row.code == StatusCode::kInvalidArgument) {
      EXPECT_EQ(row.http_status, 400);
    }
    if (row.code == StatusCode::kResourceExhausted) {
      EXPECT_EQ(row.http_status, 429);
    }
    if (row.code == StatusCode::kUnavailable) {
      EXPECT_TRUE(row.another_replica);
    }
    // Who may retry is told when; who may not is told nothing.
    EXPECT_EQ(row.client_may_retry, row.retry_after > absl::ZeroDuration());
    // Only what shed load or lost a worker is worth another replica.
    if (row.another_replica) {
      EXPECT_TRUE(row.http_status == 429 || row.http_status == 503);
    }
  }
}

TEST(ErrorTable, EveryCodeHasAGeneralRow) {
  for (int code = 1; code <= 16; ++code) {
    const ErrorRow& row = FindErrorRow(static_cast<StatusCode>(code), "never heard of");
    EXPECT_EQ(row.code, static_cast<StatusCode>(code));
    EXPECT_EQ(row.reason, "");
  }
}

TEST(ErrorTable, AnUnknownCodeIsInternal) {
  EXPECT_EQ(FindErrorRow(StatusCode::kOk, "").http_status, 500);
  EXPECT_EQ(FindErrorRow(static_cast<StatusCode>(4711), "x").http_status, 500);
}

TEST(ErrorTable, SaysWhatTheDesignPromises) {
  struct Promise {
    StatusCode code;
    const char* reason;
    int http_status;
    int eas_http_status;
  };
  for (const Promise& promise : {
           Promise{StatusCode::kInvalidArgument, "invalid_request", 400, 400},
           Promise{StatusCode::kNotFound, "model_not_found", 404, 404},
           Promise{StatusCode::kInvalidArgument, "context_length_exceeded", 400, 400},
           Promise{StatusCode::kUnauthenticated, "invalid_api_key", 401, 401},
           Promise{StatusCode::kResourceExhausted, "queue_full", 429, 450},
           Promise{StatusCode::kResourceExhausted, "predicted_wait_over_deadline", 429, 450},
           Promise{StatusCode::kResourceExhausted, "kv_full", 429, 450},
           Promise{StatusCode::kResourceExhausted, "quota_exceeded", 429, 429},
           Promise{StatusCode::kResourceExhausted, "rate_limited", 429, 429},
           Promise{StatusCode::kResourceExhausted, "request_over_limit", 429, 429},
           Promise{StatusCode::kPermissionDenied, "model_not_allowed", 403, 403},
           Promise{StatusCode::kUnavailable, "no_ready_replica", 503, 503},
           Promise{StatusCode::kUnavailable, "draining", 503, 503},
           Promise{StatusCode::kDeadlineExceeded, "deadline", 504, 408},
           Promise{StatusCode::kCancelled, "cancelled", 499, 499},
           Promise{StatusCode::kInternal, "internal", 500, 500},
       }) {
    const ErrorRow& row = FindErrorRow(promise.code, promise.reason);
    EXPECT_EQ(row.reason, promise.reason);
    EXPECT_EQ(row.http_status, promise.http_status) << promise.reason;
    EXPECT_EQ(row.eas_http_status, promise.eas_http_status) << promise.reason;
  }
}

// A gateway that sees these words disables the whole channel (reference: one-api), so no row that
// waiting cures may carry one.
TEST(ErrorTable, TransientRowsCarryNoWordThatDisablesAChannel) {
  for (const ErrorRow& row : ErrorTable()) {
    if (!row.client_may_retry) continue;
    for (const std::string_view word :
         {"insufficient_quota", "authentication", "permission", "invalid_api_key"}) {
      EXPECT_EQ(row.openai_type.find(word), std::string_view::npos);
      EXPECT_EQ(row.openai_code.find(word), std::string_view::npos);
    }
  }
}

TEST(KnownReason, ReplacesWhatAPeerMadeUp) {
  EXPECT_EQ(KnownReason(StatusCode::kResourceExhausted, "kv_full"), "kv_full");
  EXPECT_EQ(KnownReason(StatusCode::kResourceExhausted, "request-4711"), "queue_full");
  EXPECT_EQ(KnownReason(StatusCode::kInternal, "queue_full"), "internal");
  EXPECT_EQ(KnownReason(StatusCode::kUnavailable, ""), "worker_lost");
}

TEST(KnownReason, GivesOnlyWordsOfTheTable) {
  std::set<std::string_view> reasons;
  for (const ErrorRow& row : ErrorTable()) reasons.insert(row.reason);
  for (int code = 0; code <= 16; ++code) {
    EXPECT_TRUE(reasons.contains(KnownReason(static_cast<StatusCode>(code), "made up")));
  }
}

}  // namespace
}  // namespace spillway
