#include "worker/worker_flags.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

std::variant<WorkerFlags, int> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "spillway-worker");
  return ParseWorkerFlags(static_cast<int>(arguments.size()), arguments.data());
}

WorkerFlags Flags(std::vector<const char*> arguments) {
  return std::get<WorkerFlags>(Parse(std::move(arguments)));
}

// What the user reads of arguments that are refused.
std::string Refusal(std::vector<const char*> arguments) {
  testing::internal::CaptureStderr();
  const auto parsed = Parse(std::move(arguments));
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(std::get<int>(parsed), 0);
  return text;
}

TEST(WorkerFlagsTest, AModelIsEnough) {
  const WorkerFlags flags = Flags({"--model", "/models/SmolLM2-135M.Q4_1.gguf"});
  EXPECT_EQ(flags.model, "/models/SmolLM2-135M.Q4_1.gguf");
  EXPECT_EQ(flags.model_name, "smollm2-135m");
  EXPECT_EQ(flags.listen, "unix:spillway-worker.sock");
  EXPECT_TRUE(flags.tls.certificate.empty());
  EXPECT_EQ(flags.device.kind, DeviceChoice::Kind::kAuto);
  EXPECT_EQ(flags.gpu_memory.share, 0.9);
  EXPECT_EQ(flags.step_target_ms, 200);
}

TEST(WorkerFlagsTest, WithoutAModelThereIsNothingToServe) {
  EXPECT_THAT(Refusal({}), HasSubstr("--model is required"));
}

TEST(WorkerFlagsTest, ANameThatIsGivenStays) {
  EXPECT_EQ(Flags({"--model", "a.gguf", "--model-name", "gpt-4"}).model_name, "gpt-4");
}

// `spillway serve` passes on what its user wrote behind its own: the last one counts.
TEST(WorkerFlagsTest, OfTwoDevicesTheLastCounts) {
  const WorkerFlags flags =
      Flags({"--model", "a", "--device", "cpu", "--device", "cuda:1", "--gpu-memory", "8GiB",
             "--kv-memory", "1GB", "--kv-memory", "2MiB"});
  EXPECT_EQ(flags.device.kind, DeviceChoice::Kind::kCuda);
  EXPECT_EQ(flags.device.cuda_index, 1);
  EXPECT_EQ(flags.gpu_memory.bytes, int64_t{8} << 30);
  EXPECT_EQ(flags.executor.kv_bytes, 2 << 20);
}

TEST(WorkerFlagsTest, WhatADeviceOrLimitCantBeIsNamed) {
  EXPECT_THAT(Refusal({"--model", "a", "--device", "tpu"}), HasSubstr("tpu"));
  EXPECT_THAT(Refusal({"--model", "a", "--gpu-memory", "1.5"}), HasSubstr("1.5"));
  EXPECT_THAT(Refusal({"--model", "a", "--running-max", "0"}), HasSubstr("1 to 4096"));
  EXPECT_THAT(Refusal({"--model", "a", "--step-target", "-1"}), HasSubstr("60000"));
}

TEST(WorkerFlagsTest, ACertificateWantsItsKeyAndWhomToTrust) {
  const char* const file = "/dev/null";
  EXPECT_THAT(Refusal({"--model", "a", "--tls-cert", file}), HasSubstr("requires --tls-"));
  EXPECT_THAT(Refusal({"--model", "a", "--tls-ca", file}), HasSubstr("requires --tls-cert"));
  const WorkerFlags flags =
      Flags({"--model", "a", "--tls-cert", file, "--tls-key", file, "--tls-ca", file});
  EXPECT_EQ(flags.tls_authority, file);
}

TEST(WorkerFlagsTest, HelpAndVersionEndWell) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(std::get<int>(Parse({"--help"})), 0);
  EXPECT_EQ(std::get<int>(Parse({"--version"})), 0);
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("--step-target"));
}

}  // namespace
}  // namespace spillway
