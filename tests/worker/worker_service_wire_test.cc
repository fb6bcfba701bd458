#include "worker/worker_service_wire.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"

namespace spillway {
namespace {

class WorkerServiceWireTest : public ::testing::Test {
 protected:
  EngineRequest Read(const wire::GenerateSpec& spec) {
    EngineRequest request;
    const SpecRefusal refusal = RequestFromWire(spec,
                                                {.prompts = prompts_,
                                                 .vocabulary_size = kByteVocabularySize,
                                                 .sequence_tokens_max = 100,
                                                 .sampling_defaults = defaults_},
                                                SequenceId{1}, absl::UnixEpoch(), request);
    EXPECT_TRUE(refusal.status.ok()) << refusal.status;
    return request;
  }
  static wire::GenerateSpec TextSpec() {
    wire::GenerateSpec spec;
    spec.mutable_prompt()->set_text("a");
    return spec;
  }

  const std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
  const PromptBuilder prompts_{*tokenizer_, nullptr};
  SamplingParams defaults_;
};

TEST_F(WorkerServiceWireTest, WhatASpecLeavesOpenIsTheModels) {
  defaults_ = {
      .temperature = 0.6f, .top_p = 0.9f, .top_k = 20, .min_p = 0.1f, .repetition_penalty = 1.5f};

  const SamplingParams sampling = Read(TextSpec()).sampling;

  EXPECT_EQ(sampling.temperature, 0.6f);
  EXPECT_EQ(sampling.top_p, 0.9f);
  EXPECT_EQ(sampling.top_k, 20);
  EXPECT_EQ(sampling.min_p, 0.1f);
  EXPECT_EQ(sampling.repetition_penalty, 1.5f);
}

TEST_F(WorkerServiceWireTest, WhatASpecSaysCountsAlsoWhereItIsZero) {
  defaults_ = {.temperature = 0.6f, .top_k = 20, .min_p = 0.1f};
  wire::GenerateSpec spec = TextSpec();
  spec.mutable_sampling()->set_temperature(0);
  spec.mutable_sampling()->set_top_k(0);
  spec.mutable_sampling()->set_min_p(0);
  spec.mutable_sampling()->set_top_p(0.5f);
  spec.mutable_sampling()->set_repetition_penalty(2);

  const SamplingParams sampling = Read(spec).sampling;

  EXPECT_EQ(sampling.temperature, 0);
  EXPECT_EQ(sampling.top_k, 0);
  EXPECT_EQ(sampling.min_p, 0);
  EXPECT_EQ(sampling.top_p, 0.5f);
  EXPECT_EQ(sampling.repetition_penalty, 2);
}

TEST_F(WorkerServiceWireTest, AChatsReasoningIsSplitUnlessItIsToStayInline) {
  const auto thinks = *ChatTemplate::Parse("{{ messages[0].content }}</think>?<think>", "", "");
  const PromptBuilder prompts(*tokenizer_, thinks.get());
  const auto read = [&](const wire::GenerateSpec& spec) {
    EngineRequest request;
    EXPECT_TRUE(RequestFromWire(spec,
                                {.prompts = prompts,
                                 .vocabulary_size = kByteVocabularySize,
                                 .sequence_tokens_max = 100},
                                SequenceId{1}, absl::UnixEpoch(), request)
                    .status.ok());
    return request;
  };
  wire::GenerateSpec spec;
  spec.mutable_prompt()->mutable_chat()->set_messages_json(R"([{"content":"a"}])");
  spec.set_resumed_reasoning_bytes(5);

  EXPECT_NE(read(spec).reasoning.format, nullptr);
  EXPECT_TRUE(read(spec).reasoning.open);
  EXPECT_EQ(read(spec).resumed_reasoning_bytes, 5);
  spec.set_inline_reasoning(true);
  EXPECT_EQ(read(spec).reasoning.format, nullptr);
  EXPECT_EQ(read(TextSpec()).reasoning.format, nullptr);
}

TEST_F(WorkerServiceWireTest, ReasoningIsToldApart) {
  EngineEvent delta = {SequenceId{1}, DeltaEvent{.text = {.reasoning = "hm", .content = "yes"},
                                                 .tokens = {'m'},
                                                 .reasoning_tokens = 3}};
  EngineEvent ended = {SequenceId{1}, EndedEvent{.usage = {.reasoning_tokens = 4}}};
  wire::SequenceEvent to;

  EventToWire(delta, *tokenizer_, to);
  EXPECT_EQ(to.delta().reasoning(), "hm");
  EXPECT_EQ(to.delta().content(), "yes");
  EXPECT_EQ(to.delta().reasoning_tokens(), 3);
  EventToWire(ended, *tokenizer_, to);
  EXPECT_EQ(to.finished().usage().reasoning_tokens(), 4);
}

TEST_F(WorkerServiceWireTest, DefaultsAreTold) {
  wire::SamplingParams told;
  DefaultsToWire({.temperature = 0.6f, .top_k = 20}, told);
  EXPECT_EQ(told.temperature(), 0.6f);
  EXPECT_EQ(told.top_k(), 20);
  EXPECT_EQ(told.top_p(), 1);
  EXPECT_TRUE(told.has_repetition_penalty());
}

TEST_F(WorkerServiceWireTest, ADescriptionHasTheWholeIdentity) {
  wire::WorkerDescription description;
  IdentityToWire({.model_name = "name",
                  .model_hash = "hash",
                  .numerics_id = "numerics",
                  .architecture = "llama",
                  .device = "cpu",
                  .build = "1.0",
                  .instance_id = "7"},
                 description);
  EXPECT_EQ(description.model_name(), "name");
  EXPECT_EQ(description.model_hash(), "hash");
  EXPECT_EQ(description.numerics_id(), "numerics");
  EXPECT_EQ(description.architecture(), "llama");
  EXPECT_EQ(description.device(), "cpu");
  EXPECT_EQ(description.build(), "1.0");
  EXPECT_EQ(description.instance_id(), "7");
}

TEST(LoadToWire, TellsHowLongANewcomerWouldWait) {
  wire::WorkerLoad load;
  LoadToWire({.running = 3,
              .newcomer = {.wait = absl::Seconds(1.5),
                           .per_prompt_token = absl::Microseconds(500),
                           .per_sequence = absl::Milliseconds(20)}},
             /*draining=*/true, load);
  EXPECT_EQ(load.running(), 3);
  EXPECT_TRUE(load.draining());
  EXPECT_EQ(load.newcomer_wait_ms(), 1500);
  EXPECT_EQ(load.wait_ms_per_prompt_token(), 0.5);
  EXPECT_EQ(load.wait_ms_per_sequence(), 20);
}

}  // namespace
}  // namespace spillway
