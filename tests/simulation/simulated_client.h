#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "router/router.h"
#include "tests/support/fake_answer.h"

namespace spillway {

// One request and all that its client hears: holds the router to the promise that a half answer
// never looks whole. `complaint` is the first thing that was wrong; empty when nothing was.
class SimulatedClient : public ResponseSink {
 public:
  SimulatedClient(uint64_t seed, int32_t tokens, int32_t choices)
      : seed_(seed), tokens_(tokens), choices_(choices) {}

  GenerateRequest Request(size_t prompt_bytes, absl::Duration timeout) const {
    GenerateRequest request;
    request.prompt = std::string(prompt_bytes, 'p');
    request.sampling.seed = seed_;
    request.new_tokens_max = tokens_;
    request.choices = choices_;
    request.timeout = timeout;
    return request;
  }
  // It goes away: nothing more may be heard.
  void Leave() { left_ = true; }

  void OnAccepted(int32_t) override {
    Hear();
    if (std::exchange(accepted_, true)) Complain("accepted twice");
  }
  void OnStarted(int32_t) override {
    Hear();
    if (!accepted_ || std::exchange(started_, true)) Complain("started too early or twice");
  }
  void OnDelta(int32_t choice, const OutputDelta& delta, int32_t token_count) override {
    Hear();
    if (!started_ || finished_.contains(choice)) Complain("a delta at the wrong time");
    std::string& text = texts_[choice];
    text += delta.content;
    told_tokens_[choice] += token_count;
    if (!Expected(choice).starts_with(text)) {
      Complain(
          absl::StrCat("choice ", choice, " is \"", text, "\" and not \"", Expected(choice), "\""));
    }
  }
  void OnFinished(int32_t choice, FinishReason, const Usage& usage) override {
    Hear();
    if (!finished_.insert(choice).second) Complain("finished twice");
    if (texts_[choice] != Expected(choice)) Complain("half an answer looks whole");
    if (told_tokens_[choice] != tokens_) Complain("tokens were counted wrong");
    if (usage.completion_tokens != tokens_) Complain("the usage is wrong");
  }
  void OnFailed(const GenerateError& error) override {
    Hear();
    static const std::set<std::string> kKnown = {"worker_lost", "no_ready_replica", "queue_full",
                                                 "deadline", "predicted_wait_over_deadline"};
    if (!kKnown.contains(error.reason)) Complain("failed with " + error.reason);
    failed_ = error.reason;
  }
  void OnBatchEnd() override {}

  bool finished() const { return finished_.size() == static_cast<size_t>(choices_); }
  bool over() const { return left_ || finished() || failed_.has_value(); }
  bool begun() const { return !texts_.empty(); }
  const std::optional<std::string>& failed() const { return failed_; }
  const std::string& complaint() const { return complaint_; }

 private:
  // Made once: it may be long.
  const std::string& Expected(int32_t choice) {
    std::string& expected = expected_[choice];
    if (expected.empty()) expected = FakeAnswer(seed_ + static_cast<uint64_t>(choice), tokens_);
    return expected;
  }
  void Hear() {
    if (over()) Complain("told something after the end");
  }
  void Complain(std::string what) {
    if (complaint_.empty()) complaint_ = std::move(what);
  }

  const uint64_t seed_;
  const int32_t tokens_;
  const int32_t choices_;
  bool accepted_ = false;
  bool started_ = false;
  bool left_ = false;
  std::map<int32_t, std::string> expected_;
  std::map<int32_t, std::string> texts_;
  std::map<int32_t, int32_t> told_tokens_;
  std::set<int32_t> finished_;
  std::optional<std::string> failed_;
  std::string complaint_;
};

}  // namespace spillway
