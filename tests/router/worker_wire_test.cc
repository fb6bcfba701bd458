#include "router/worker_wire.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/worker.pb.h"

namespace spillway {
namespace {

namespace wire = worker::v1;
using ::testing::ElementsAre;

TEST(ToGenerateSpec, CarriesAllThatARerunNeeds) {
  GenerateRequest request;
  request.prompt = ChatPrompt{.messages_json = "[1]",
                              .tools_json = "[2]",
                              .template_kwargs_json = "{}",
                              .add_generation_prompt = false};
  request.tenant = "acme";
  request.traceparent = "00-trace";
  request.sampling = {.temperature = 0.5f,
                      .top_p = 0.9f,
                      .top_k = 40,
                      .min_p = 0.1f,
                      .presence_penalty = 1,
                      .frequency_penalty = 2,
                      .repetition_penalty = 3,
                      .logit_bias = {{7, -1.5f}},
                      .seed = 1};
  request.stop_strings = {"stop"};
  request.stop_token_ids = {9};
  request.new_tokens_max = 10;
  request.new_tokens_min = 2;
  request.ignore_end_of_text = true;
  request.inline_reasoning = true;
  request.priority = 3;
  const std::vector<int32_t> resumed = {4, 5};

  const wire::GenerateSpec spec = ToGenerateSpec({.request = request,
                                                  .seed = 77,
                                                  .template_time_unix_s = 1000,
                                                  .time_left = absl::Seconds(2),
                                                  .resumed_token_ids = resumed,
                                                  .resumed_content_bytes = 6,
                                                  .resumed_reasoning_bytes = 8});

  EXPECT_EQ(spec.prompt().chat().messages_json(), "[1]");
  EXPECT_EQ(spec.prompt().chat().tools_json(), "[2]");
  EXPECT_EQ(spec.prompt().chat().template_kwargs_json(), "{}");
  EXPECT_FALSE(spec.prompt().chat().add_generation_prompt());
  EXPECT_EQ(spec.prompt().chat().template_time_unix_s(), 1000);
  EXPECT_EQ(spec.tenant(), "acme");
  EXPECT_EQ(spec.traceparent(), "00-trace");
  EXPECT_EQ(spec.sampling().temperature(), 0.5f);
  EXPECT_EQ(spec.sampling().top_p(), 0.9f);
  EXPECT_EQ(spec.sampling().top_k(), 40);
  EXPECT_EQ(spec.sampling().min_p(), 0.1f);
  EXPECT_EQ(spec.sampling().seed(), 77u);
  EXPECT_EQ(spec.sampling().presence_penalty(), 1);
  EXPECT_EQ(spec.sampling().frequency_penalty(), 2);
  EXPECT_EQ(spec.sampling().repetition_penalty(), 3);
  EXPECT_EQ(spec.sampling().logit_bias().at(7), -1.5f);
  EXPECT_FALSE(spec.sampling().has_top_logprobs());
  EXPECT_THAT(spec.stop_strings(), ElementsAre("stop"));
  EXPECT_THAT(spec.stop_token_ids(), ElementsAre(9));
  EXPECT_EQ(spec.new_tokens_max(), 10);
  EXPECT_EQ(spec.new_tokens_min(), 2);
  EXPECT_TRUE(spec.ignore_end_of_text());
  EXPECT_EQ(spec.priority(), 3);
  EXPECT_EQ(spec.deadline_ms(), 2000);
  EXPECT_THAT(spec.resumed_token_ids(), ElementsAre(4, 5));
  EXPECT_EQ(spec.resumed_content_bytes(), 6);
  EXPECT_EQ(spec.resumed_reasoning_bytes(), 8);
  EXPECT_TRUE(spec.inline_reasoning());
}

TEST(ToGenerateSpec, LeavesTheModelsDefaultsOpen) {
  GenerateRequest request;
  request.sampling.temperature = 0.0f;

  const wire::GenerateSpec spec = ToGenerateSpec({.request = request});

  EXPECT_TRUE(spec.sampling().has_temperature());
  EXPECT_EQ(spec.sampling().temperature(), 0);
  EXPECT_FALSE(spec.sampling().has_top_p());
  EXPECT_FALSE(spec.sampling().has_top_k());
  EXPECT_FALSE(spec.sampling().has_min_p());
  EXPECT_FALSE(spec.sampling().has_repetition_penalty());
}

TEST(ToGenerateSpec, AsksForLogprobsOnlyWhereTheRequestDoes) {
  GenerateRequest request;
  request.sampling.top_logprobs = 0;
  const wire::GenerateSpec spec = ToGenerateSpec({.request = request, .resumed_token_ids = {}});
  EXPECT_TRUE(spec.sampling().has_top_logprobs());
  EXPECT_EQ(spec.sampling().top_logprobs(), 0);
}

TEST(ToGenerateSpec, TellsWhatBecomesOfThePrompt) {
  GenerateRequest request;
  const wire::GenerateSpec plain = ToGenerateSpec({.request = request, .resumed_token_ids = {}});
  EXPECT_FALSE(plain.echo() || plain.prompt_only() || plain.sampling().has_prompt_logprobs());
  request.echo = true;
  request.prompt_only = true;
  request.prompt_logprobs = 0;
  const wire::GenerateSpec spec =
      ToGenerateSpec({.request = request, .resumed_token_ids = {}, .resumed_logprobs = 5});
  EXPECT_TRUE(spec.echo() && spec.prompt_only() && spec.sampling().has_prompt_logprobs());
  EXPECT_EQ(spec.resumed_logprobs(), 5);
}

TEST(ToGenerateSpec, TimeThatIsAlmostUpIsNotEndlessTime) {
  const GenerateRequest request;
  EXPECT_EQ(ToGenerateSpec({.request = request, .resumed_token_ids = {}}).deadline_ms(), 0);
  EXPECT_EQ(ToGenerateSpec(
                {.request = request, .time_left = absl::Microseconds(-3), .resumed_token_ids = {}})
                .deadline_ms(),
            1);
}

TEST(ToSubmitFrames, SplitsALongSpecIntoPartsThatMakeItWhole) {
  GenerateRequest request;
  for (const size_t bytes : {10u, 990u, 1000u, 1001u, 2500u, 5000u}) {
    request.prompt = std::string(bytes, 'p');
    const wire::GenerateSpec spec = ToGenerateSpec({.request = request, .resumed_token_ids = {}});
    const std::vector<wire::RouterFrame> frames = ToSubmitFrames(5, spec, 1000);
    if (spec.ByteSizeLong() <= 1000) {
      ASSERT_EQ(frames.size(), 1u);
      EXPECT_EQ(frames[0].submit().sequence_id(), 5u);
      EXPECT_EQ(frames[0].submit().spec().prompt().text().size(), bytes);
      continue;
    }
    std::string whole;
    for (const wire::RouterFrame& frame : frames) {
      EXPECT_LE(frame.submit_part().spec_bytes().size(), 1000u);
      EXPECT_EQ(frame.submit_part().sequence_id(), 5u);
      EXPECT_EQ(frame.submit_part().last(), &frame == &frames.back());
      whole += frame.submit_part().spec_bytes();
    }
    wire::GenerateSpec parsed;
    ASSERT_TRUE(parsed.ParseFromString(whole));
    EXPECT_EQ(parsed.prompt().text().size(), bytes);
  }
}

TEST(ToSubmitFrames, MarksTheLastPartAlsoWhenItIsFull) {
  GenerateRequest request;
  request.prompt = std::string(1000, 'p');
  const wire::GenerateSpec spec = ToGenerateSpec({.request = request, .resumed_token_ids = {}});
  for (const size_t part_bytes : {spec.ByteSizeLong() - 1, spec.ByteSizeLong() / 2, size_t{1}}) {
    const std::vector<wire::RouterFrame> frames = ToSubmitFrames(5, spec, part_bytes);
    EXPECT_EQ(frames.size(), (spec.ByteSizeLong() + part_bytes - 1) / part_bytes);
    EXPECT_TRUE(frames.back().submit_part().last()) << part_bytes;
    EXPECT_FALSE(frames.front().submit_part().last()) << part_bytes;
  }
}

GenerateError FailureOf(wire::SequenceEvent event) {
  const std::optional<UpstreamEvent> out = FromSequenceEvent(event);
  return std::get<FailedEvent>(out.value().what).error;
}

TEST(FromSequenceEvent, AnswersThatEndForNoReasonAreFailures) {
  for (const int reason : {0, 77}) {
    wire::SequenceEvent event;
    event.mutable_finished()->set_reason(static_cast<wire::FinishReason>(reason));
    EXPECT_EQ(FailureOf(event).status.code(), absl::StatusCode::kInternal) << reason;
  }
}

TEST(FromSequenceEvent, KnowsFailuresByTheTableOnly) {
  wire::SequenceEvent event;
  event.mutable_failed()->set_code(static_cast<int32_t>(absl::StatusCode::kInvalidArgument));
  event.mutable_failed()->set_reason("context_length_exceeded");
  event.mutable_failed()->set_message("9 tokens of 8");
  event.mutable_failed()->set_field("prompt");
  EXPECT_EQ(FailureOf(event).field, "prompt");
  EXPECT_EQ(FailureOf(event).reason, "context_length_exceeded");
  EXPECT_EQ(FailureOf(event).status, absl::InvalidArgumentError("9 tokens of 8"));

  event.mutable_failed()->set_reason("made up");
  EXPECT_EQ(FailureOf(event).reason, "invalid_request");
  for (const int code : {0, -1, 17, 4711}) {
    event.mutable_failed()->set_code(code);
    EXPECT_EQ(FailureOf(event).status.code(), absl::StatusCode::kInternal) << code;
    EXPECT_EQ(FailureOf(event).reason, "internal");
  }
}

TEST(FromSequenceEvent, TakesReasoningApart) {
  wire::SequenceEvent event;
  event.mutable_delta()->set_reasoning("hm");
  event.mutable_delta()->set_reasoning_tokens(3);
  const UpstreamEvent out = FromSequenceEvent(event).value();
  EXPECT_EQ(std::get<DeltaEvent>(out.what).output.reasoning, "hm");
  EXPECT_EQ(std::get<DeltaEvent>(out.what).output.content, "");
  EXPECT_EQ(std::get<DeltaEvent>(out.what).output.reasoning_tokens, 3);

  event.mutable_finished()->set_reason(wire::FINISH_REASON_STOP);
  event.mutable_finished()->mutable_usage()->set_reasoning_tokens(4);
  const UpstreamEvent end = FromSequenceEvent(event).value();
  EXPECT_EQ(std::get<FinishedEvent>(end.what).usage.reasoning_tokens, 4);
}

TEST(FromSequenceEvent, TakesTextTokensAndUsage) {
  wire::SequenceEvent event;
  event.set_sequence_id(8);
  event.mutable_delta()->set_content("hi");
  event.mutable_delta()->add_token_ids(3);
  const UpstreamEvent out = FromSequenceEvent(event).value();
  EXPECT_EQ(out.sequence_id, 8u);
  EXPECT_EQ(std::get<DeltaEvent>(out.what).output.content, "hi");
  EXPECT_THAT(std::get<DeltaEvent>(out.what).token_ids, ElementsAre(3));

  event.mutable_delta()->add_token_ids(3);
  wire::TokenLogprobs& sent = *event.mutable_delta()->add_logprobs();
  sent.mutable_token()->set_token_id(3);
  sent.mutable_token()->set_logprob(-0.5f);
  sent.mutable_token()->set_text("\xe4");
  sent.set_rank(2);
  sent.add_top()->set_token_id(9);
  sent.set_content_begin(17);
  sent.set_silent(true);
  event.mutable_delta()->add_logprobs()->set_of_prompt(true);
  const UpstreamEvent scored = FromSequenceEvent(event).value();
  const TokenLogprobs& got = std::get<DeltaEvent>(scored.what).output.logprobs.at(0);
  EXPECT_EQ(got.token.token_id, 3);
  EXPECT_EQ(got.token.logprob, -0.5f);
  EXPECT_EQ(got.token.text, "\xe4");
  EXPECT_EQ(got.rank, 2);
  EXPECT_EQ(got.top.at(0).token_id, 9);
  EXPECT_EQ(got.content_begin, 17u);
  EXPECT_TRUE(got.known && got.silent);
  EXPECT_FALSE(got.of_prompt);
  const TokenLogprobs& first = std::get<DeltaEvent>(scored.what).output.logprobs.at(1);
  EXPECT_TRUE(first.of_prompt);
  EXPECT_FALSE(first.known || first.silent);

  event.mutable_finished()->set_reason(wire::FINISH_REASON_LENGTH);
  event.mutable_finished()->mutable_usage()->set_completion_tokens(4);
  const UpstreamEvent end = FromSequenceEvent(event).value();
  EXPECT_EQ(std::get<FinishedEvent>(end.what).reason, FinishReason::kLength);
  EXPECT_EQ(std::get<FinishedEvent>(end.what).usage.completion_tokens, 4);

  event.clear_event();
  EXPECT_FALSE(FromSequenceEvent(event).has_value());
}

TEST(FromWorkerLoad, TakesHowLongANewcomerWouldWait) {
  wire::WorkerLoad load;
  load.set_newcomer_wait_ms(1500);
  load.set_wait_ms_per_prompt_token(0.5);
  load.set_wait_ms_per_sequence(20);
  const ReplicaLoad taken = FromWorkerLoad(load);
  EXPECT_EQ(taken.newcomer_wait_ms, 1500);
  EXPECT_EQ(taken.wait_ms_per_prompt_token, 0.5);
  EXPECT_EQ(taken.wait_ms_per_sequence, 20);
}

}  // namespace
}  // namespace spillway
