#include "router/embedding_flows.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Keeps the calls until the test answers them.
class HeldEmbedder : public TextEmbedder {
 public:
  void Embed(const EmbedCall& call, EmbedDone done) override {
    calls.emplace_back(call, std::move(done));
  }
  void CancelEmbed(uint64_t call_id) override { cancelled.push_back(call_id); }

  // Each text's vector is its length.
  void AnswerAll() {
    for (auto& [call, done] : std::exchange(calls, {})) {
      EmbedPart part;
      for (const EmbeddingInput& input : call.inputs) {
        part.vectors.push_back({static_cast<float>(std::get<std::string>(input).size())});
        ++part.prompt_tokens;
      }
      done(std::move(part));
    }
  }
  void FailAll(const absl::Status& status) {
    for (auto& [call, done] : std::exchange(calls, {})) done(status);
  }

  std::vector<std::pair<EmbedCall, EmbedDone>> calls;
  std::vector<uint64_t> cancelled;
};

class Directory : public ReplicaDirectory {
 public:
  absl::StatusOr<View> Find(const std::string& model) const override {
    if (model == "none") return absl::NotFoundError("no such model");
    return View{.service = "minilm", .replicas = replicas};
  }
  std::shared_ptr<SequenceCarrier> Upstream(ReplicaId) const override { return nullptr; }
  std::shared_ptr<TextEmbedder> Embedder(ReplicaId id) const override {
    return embedders.at(static_cast<size_t>(id));
  }
  std::string ReplicaName(ReplicaId) const override { return "worker"; }
  bool draining() const override { return is_draining; }

  std::vector<ReplicaSnapshot> replicas;
  std::vector<std::shared_ptr<HeldEmbedder>> embedders;
  bool is_draining = false;
};

struct RecordingSink : EmbeddingSink {
  void OnEmbedded(const EmbeddingAnswer& told) override { answer = told; }
  void OnEmbeddingFailed(const GenerateError& told) override { error = told; }
  std::optional<EmbeddingAnswer> answer;
  std::optional<GenerateError> error;
};

class EmbeddingFlowsTest : public ::testing::Test {
 protected:
  void AddReplica(int32_t inputs_max, bool generates = false) {
    const ReplicaId id{static_cast<int32_t>(directory_.replicas.size())};
    directory_.replicas.push_back(
        {.key = {id, 1}, .ready = true, .generates = generates, .embed_inputs_max = inputs_max});
    directory_.embedders.push_back(std::make_shared<HeldEmbedder>());
  }
  void Start(std::vector<EmbeddingInput> inputs, const std::string& model = "") {
    flows_.Start(RequestId{1}, {.model = model, .inputs = std::move(inputs)}, sink_, full_);
    RunTurns();
  }
  void RunTurns() {
    while (!turns_.empty()) {
      for (const auto& turn : std::exchange(turns_, {})) turn(flows_);
    }
  }
  HeldEmbedder& Embedder(size_t index) { return *directory_.embedders.at(index); }
  std::string FailureReason() const { return sink_.error ? sink_.error->reason : "none"; }

  bool full_ = false;
  Directory directory_;
  ManualClock clock_;
  MetricRegistry registry_;
  RequestMetrics metrics_{registry_};
  std::vector<std::function<void(EmbeddingFlows&)>> turns_;
  RecordingSink sink_;
  EmbeddingFlows flows_{
      0, {}, directory_, clock_, metrics_, [this](std::function<void(EmbeddingFlows&)> turn) {
        turns_.push_back(std::move(turn));
      }};
};

TEST_F(EmbeddingFlowsTest, PartsKeepTheOrderOfTheInputs) {
  AddReplica(2);
  AddReplica(2);
  Start({"a", "bb", "ccc", "dddd", "eeeee"});
  ASSERT_THAT(Embedder(0).calls, SizeIs(2));
  ASSERT_THAT(Embedder(1).calls, SizeIs(1));
  Embedder(1).AnswerAll();
  RunTurns();
  EXPECT_FALSE(sink_.answer.has_value());
  Embedder(0).AnswerAll();
  RunTurns();
  ASSERT_TRUE(sink_.answer.has_value());
  EXPECT_THAT(sink_.answer->vectors, ElementsAre(ElementsAre(1), ElementsAre(2), ElementsAre(3),
                                                 ElementsAre(4), ElementsAre(5)));
  EXPECT_EQ(sink_.answer->prompt_tokens, 5);
  EXPECT_EQ(sink_.answer->service, "minilm");
  EXPECT_EQ(flows_.count(), 0u);
  const std::string scrape = registry_.Scrape();
  EXPECT_THAT(scrape,
              HasSubstr("spillway_requests_total{model=\"minilm\",outcome=\"finished\"} 1"));
  EXPECT_THAT(scrape, HasSubstr("spillway_prompt_tokens_total{model=\"minilm\"} 5"));
}

TEST_F(EmbeddingFlowsTest, LongTextsGoInPartsOfTheirOwn) {
  AddReplica(100);
  Start({std::string(700'000, 'a'), std::string(700'000, 'b'), "c"});
  EXPECT_THAT(Embedder(0).calls, SizeIs(2));
  EXPECT_THAT(Embedder(0).calls[1].first.inputs, SizeIs(2));
}

TEST_F(EmbeddingFlowsTest, ATextThatNoWorkerTakesIsRefused) {
  AddReplica(100);
  Start({"a", std::string((1 << 20) + 1, 'a')});
  EXPECT_EQ(FailureReason(), "invalid_request");
  EXPECT_THAT(std::string(sink_.error->status.message()), HasSubstr("input 1 has 1048577 bytes"));
}

TEST_F(EmbeddingFlowsTest, APartOfALostWorkerGoesToAnother) {
  AddReplica(2);
  AddReplica(2);
  Start({"a"});
  Embedder(0).FailAll(absl::UnavailableError("gone"));
  RunTurns();
  ASSERT_THAT(Embedder(1).calls, SizeIs(1));
  Embedder(1).AnswerAll();
  RunTurns();
  EXPECT_TRUE(sink_.answer.has_value());
}

TEST_F(EmbeddingFlowsTest, WithNoOtherWorkerTheLossIsTold) {
  AddReplica(2);
  Start({"a"});
  Embedder(0).FailAll(absl::UnavailableError("gone"));
  RunTurns();
  EXPECT_EQ(FailureReason(), "worker_lost");
}

TEST_F(EmbeddingFlowsTest, AFailedPartEndsAllAndCountsAsTheClientDoes) {
  AddReplica(2);
  Start({"a", "b", "c", "d"});
  const uint64_t other = Embedder(0).calls[0].first.id;
  Embedder(0).calls[1].second(absl::InvalidArgumentError("input 1: too long"));
  RunTurns();
  EXPECT_EQ(std::string(sink_.error->status.message()), "input 3: too long");
  EXPECT_EQ(FailureReason(), "invalid_request");
  EXPECT_THAT(Embedder(0).cancelled, ::testing::Contains(other));
  Embedder(0).AnswerAll();
  RunTurns();
  EXPECT_FALSE(sink_.answer.has_value());
}

TEST_F(EmbeddingFlowsTest, CancelledRequestsAreSilent) {
  AddReplica(2);
  Start({"a"});
  EXPECT_TRUE(flows_.Cancel(RequestId{1}));
  EXPECT_FALSE(flows_.Cancel(RequestId{1}));
  EXPECT_THAT(Embedder(0).cancelled, SizeIs(1));
  Embedder(0).AnswerAll();
  RunTurns();
  EXPECT_FALSE(sink_.answer.has_value());
  EXPECT_FALSE(sink_.error.has_value());
}

TEST_F(EmbeddingFlowsTest, SaysWhyItDoesNotBegin) {
  Start({"a"});
  EXPECT_EQ(FailureReason(), "no_ready_replica");
  AddReplica(0, /*generates=*/true);
  Start({"a"});
  EXPECT_EQ(FailureReason(), "invalid_request");
  EXPECT_THAT(std::string(sink_.error->status.message()), HasSubstr("makes no embeddings"));
  Start({"a"}, "none");
  EXPECT_EQ(FailureReason(), "model_not_found");
  directory_.is_draining = true;
  Start({"a"});
  EXPECT_EQ(FailureReason(), "draining");
  directory_.is_draining = false;
  full_ = true;
  Start({"a"});
  EXPECT_EQ(FailureReason(), "queue_full");
}

}  // namespace
}  // namespace spillway
