#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "router/request_flow.h"
#include "router/router_metrics.h"
#include "router/router_shard.h"
#include "router/token_account.h"

namespace spillway {

// One request of a shard, from Submit() to its end. The shard's own: for router_shard*.cc alone.
struct RouterShardImpl::Request {
  Request(RequestId id_in, GenerateRequest request_in, ResponseSink& sink_in,
          const RequestFlow::Options& options, ResumeBudget& budget)
      : id(id_in), request(std::move(request_in)), sink(&sink_in), flow(options, budget) {}

  const RequestId id;
  GenerateRequest request;  // its prompt is dropped once no resubmission can come
  ResponseSink* sink;       // null after Cancel()
  RequestFlow flow;
  std::string service = "none";  // once resolved, for good
  absl::Time deadline;
  int64_t template_time_unix_s = 0;
  size_t prompt_bytes = 0;
  std::vector<uint64_t> sequence_ids;  // by choice; 0: none yet
  // By choice: of the replica that it was last placed on before it had tokens. Its text comes from
  // those numerics, and only equal ones are sure to continue it.
  std::vector<uint64_t> numerics;
  RequestRecord record;
  DeliveredTokenCounts told;  // to the observer, so far
  QuotaReservation quota;     // settled at its end
  bool busy = false;          // its actions are being carried out: Forget() is their end's business
  bool accepted = false;      // EmitAccepted has come
  bool offered = false;       // to be done elsewhere, since it waits too long
  bool touched = false;       // the sink heard something in this batch
};

}  // namespace spillway
