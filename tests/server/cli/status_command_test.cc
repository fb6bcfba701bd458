#include "server/cli/status_command.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/dialects/status_report.h"

namespace spillway {
namespace {

// What the server tells is what the command shows.
TEST(StatusCommandTest, EverythingAtAGlance) {
  StatusReport report = {.version = "1.2.3", .up = absl::Hours(3) + absl::Minutes(12)};
  report.models = {{"smollm2", 8192, absl::UnixEpoch()}};
  ReplicaStatus busy = {.name = "worker-0", .address = "unix:/a", .ready = true};
  busy.model = "smollm2";
  busy.running = 3;
  busy.running_max = 256;
  busy.waiting = 1;
  busy.waiting_max = 1024;
  busy.kv_blocks_free = 75;
  busy.kv_blocks_total = 100;
  busy.step_ms = 8.04;
  busy.decode_tokens_per_s = 410.2;
  ReplicaStatus loading = {.name = "worker-10", .ready = false, .reason = "connecting \"x\""};
  report.replicas = {busy, loading};
  report.problems = {"2026-11-21T10:00:00.000Z warning spillway  worker-10 ended"};
  const auto text = FormatStatus(StatusJson(report));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text,
            "spillway 1.2.3, up 3 h 12 min\n"
            "load: 3 running, 1 waiting, KV 25 %\n"
            "model: smollm2, context 8192 tokens\n"
            "\n"
            "WORKER     MODEL    STATE  RUNNING  WAITING  KV USED  STEP    PREFILL  DECODE\n"
            "worker-0   smollm2  ready  3/256    1/1024   25 %     8.0 ms  -        410/s\n"
            "worker-10  -        connecting \"x\"\n"
            "\n"
            "last problems, the latest last:\n"
            "2026-11-21T10:00:00.000Z warning spillway  worker-10 ended\n");
}

TEST(StatusCommandTest, ProvidersAndWhatTheyAreNotAsked) {
  StatusReport report = {.version = "1", .up = absl::Seconds(5)};
  report.providers = {{.name = "upstream", .any_model = true},
                      {.name = "bailian",
                       .models = 3,
                       .shunned = {{"qwen-plus", "throttled", absl::Milliseconds(1500)},
                                   {"", "billing", absl::Minutes(2)}}}};
  const auto text = FormatStatus(StatusJson(report));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text,
            "spillway 1, up 5 s\n"
            "load: 0 running, 0 waiting, KV -\n"
            "provider: upstream, any model\n"
            "provider: bailian, 3 models; not asked for a while: qwen-plus (throttled, 2 s), "
            "all of it (billing, 120 s)\n");
}

TEST(StatusCommandTest, AServerWithNothingYet) {
  const auto text =
      FormatStatus(StatusJson({.version = "1", .up = absl::Seconds(5), .draining = true}));
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text,
            "spillway 1, up 5 s, shutting down: running answers end, no new ones begin\n"
            "load: 0 running, 0 waiting, KV -\n"
            "model: none is ready yet\n"
            "\n"
            "there are no workers\n");
}

TEST(StatusCommandTest, AnswersOfOthersAreNoStatus) {
  for (const char* text : {"", "<html>", "[]", "{}", "7"}) {
    EXPECT_EQ(FormatStatus(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  for (const char* text :
       {R"({"replicas":7})", R"({"replicas":[7],"models":[7],"problems":[7]})",
        R"({"replicas":[{"ready":1,"name":7}]})", R"({"replicas":[],"up_seconds":1e300})"}) {
    EXPECT_TRUE(FormatStatus(text).ok()) << text;
  }
}

}  // namespace
}  // namespace spillway
