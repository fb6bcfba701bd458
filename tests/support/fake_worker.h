#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/support/fake_answer.h"

namespace spillway {

// A worker without a model: a real gRPC server in this process that speaks proto/worker.proto.
//
// It answers deterministically from the seed: new_tokens_max tokens (12 if the request leaves it
// open), each held back until the next one, as text that may begin a stop string is. A resume
// follows the contract of GenerateSpec. The prompt has one token per 4 bytes of its text.
//
// Time is the test's: a sequence runs on at once up to `hold_after` tokens and stands there until
// Allow(). Nothing sleeps.
//
// Thread-safe.
class FakeWorker {
 public:
  static constexpr int32_t kNoHold = 1 << 30;

  struct Options {
    std::string model_name = "tiny-model";
    std::string numerics_id = "fake";
    int32_t context_tokens_max = 1000;
    int32_t running_max = 8;
    int32_t waiting_max = 8;
    int32_t hold_after = kNoHold;  // tokens that a sequence samples here before it stands still
    int32_t reasoning_tokens = 0;  // the first so many of an answer's tokens are reasoning
    bool starts = true;            // false: sequences are accepted and wait, until Allow()
    bool answer_submits = true;    // false: not even Accepted
    // For how long what was on a stream that broke may be picked up again.
    absl::Duration reattach_grace = absl::ZeroDuration();
    int32_t frames_per_stream = 0;  // each stream is cut behind so many frames; 0: none is
  };

  // What has arrived.
  struct Submission {
    uint64_t sequence_id = 0;
    std::string prompt;  // text, or the messages
    uint64_t seed = 0;
    int32_t new_tokens_max = 0;
    std::vector<int32_t> resumed_token_ids;
    uint64_t resumed_content_bytes = 0;
    uint64_t resumed_reasoning_bytes = 0;
    int64_t deadline_ms = 0;
    int64_t template_time_unix_s = 0;
    int32_t parts = 0;         // SubmitParts; 0: one Submit
    size_t largest_frame = 0;  // bytes
  };
  struct Seen {
    std::vector<Submission> submissions;
    std::vector<uint64_t> cancelled;
    std::vector<std::string> router_ids;  // one per Attach
    uint64_t last_ack = 0;
    int32_t pings = 0;
    uint64_t frames_sent = 0;  // since the router attached anew
  };

  // Listens on the unix socket `path`.
  FakeWorker(const std::string& path, Options options);
  explicit FakeWorker(const std::string& path) : FakeWorker(path, Options()) {}
  ~FakeWorker();  // Kill()

  // Ends the server and every call on it, as a crash would.
  void Kill();
  // Ends the streams only; the router may attach again.
  void DropStreams();
  // Says and does nothing more, like a stopped process; connections stay open.
  void Hang();

  // Every sequence may sample up to `tokens` tokens, and does so now.
  void Allow(int32_t tokens);
  // The next submissions are answered with Failed.
  void RefuseNext(int32_t count, absl::StatusCode code, const std::string& reason);
  // Sends a frame with this load, which is told from then on.
  void SendLoad(int32_t running, int32_t waiting, bool draining);
  // Sends events that fit nothing: of unknown sequences and impossible shards, empty ones, and, for
  // those it runs, everything once more.
  void SendNonsense();

  Seen seen() const;
  // False when `condition` doesn't come true in time.
  bool WaitUntil(const std::function<bool(const Seen&)>& condition,
                 absl::Duration timeout = absl::Seconds(20)) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
