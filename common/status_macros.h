#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// RETURN_IF_ERROR(expression) returns the status of `expression` from this function unless it is
// OK.
#define RETURN_IF_ERROR(expression)                           \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)

// ASSIGN_OR_RETURN(lhs, expression) assigns the value of a StatusOr, or returns its status.
#define ASSIGN_OR_RETURN(lhs, expression) \
  SPILLWAY_ASSIGN_OR_RETURN_(SPILLWAY_CONCAT_(status_or_, __LINE__), lhs, expression)
// NOLINTBEGIN(bugprone-macro-parentheses): a name and a declaration stand in no parentheses.
#define SPILLWAY_ASSIGN_OR_RETURN_(name, lhs, expression) \
  auto name = (expression);                               \
  if (!name.ok()) return name.status();                   \
  lhs = *std::move(name)
// NOLINTEND(bugprone-macro-parentheses)
#define SPILLWAY_CONCAT_(a, b) SPILLWAY_CONCAT_INNER_(a, b)
#define SPILLWAY_CONCAT_INNER_(a, b) a##b
