#include "server/dialects/openai_generation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "server/dialects/json_escape.h"

namespace spillway {

OpenAiGeneration::OpenAiGeneration(OpenAiIdentity identity, OpenAiRequest request,
                                   const StreamTimings& timings, RouterShard& shard,
                                   ResponseWriter& writer, Spiller* spiller)
    : identity_(std::move(identity)),
      stream_(request.stream),
      include_usage_(request.include_usage),
      logprobs_(request.generate.sampling.top_logprobs >= 0),
      reasoning_(request.include_reasoning && identity_.endpoint == OpenAiEndpoint::kChat),
      timings_(timings),
      chunks_(identity_, request.include_usage),
      shard_(shard),
      writer_(writer),
      spiller_(spiller),
      choices_(static_cast<size_t>(request.generate.choices) * (1 + request.further_prompts.size()),
               Choice(identity_.endpoint)),
      unfinished_(choices_.size()) {
  CHECK(!choices_.empty());
  const int32_t choices = request.generate.choices;
  for (size_t i = 0; i <= request.further_prompts.size(); ++i) {
    prompts_.emplace_back(*this, static_cast<int32_t>(i) * choices, choices);
  }
  PromptSource prompt = std::move(request.generate.prompt);
  for (size_t i = 0; i < prompts_.size(); ++i) {
    GenerateRequest one = request.generate;
    one.prompt = std::move(prompt);
    prompts_[i].Submit(shard_, std::move(one));
    if (i < request.further_prompts.size()) prompt = std::move(request.further_prompts[i]);
  }
}

OpenAiGeneration::~OpenAiGeneration() { CancelPrompts(); }

void OpenAiGeneration::CancelPrompts() {
  for (Prompt& prompt : prompts_) prompt.Cancel(shard_);
}

void OpenAiGeneration::OnAccepted(int32_t prompt_tokens) {
  usage_.prompt_tokens += prompt_tokens;
  if (++accepted_ < prompts_.size() || !stream_) return;
  writer_.WakeAfter(timings_.start_after_accepted);
  BeginStreamIfDue();
}

void OpenAiGeneration::OnStarted(int32_t cached_tokens) {
  usage_.cached_tokens += cached_tokens;
  started_ = true;
  BeginStreamIfDue();
}

void OpenAiGeneration::OnDelta(int32_t choice, const OutputDelta& delta) {
  Choice& target = choices_.at(static_cast<size_t>(choice));
  target.called |= !delta.tool_calls.empty();
  if (!stream_) {
    AddToAnswer(target, delta);
    return;
  }
  BeginStreamIfDue();
  if (reasoning_) chunks_.AppendReasoning(choice, delta.reasoning, events_);
  if (logprobs_) {
    chunks_.AppendScored(choice, delta, target.position, events_);
  } else {
    chunks_.AppendContent(choice, delta.content, events_);
  }
  chunks_.AppendToolCalls(choice, delta.tool_calls, events_);
}

void OpenAiGeneration::AddToAnswer(Choice& choice, const OutputDelta& delta) const {
  choice.text += delta.content;
  if (reasoning_) choice.reasoning += delta.reasoning;
  AddPieces(delta.tool_calls, choice.calls);
  if (!logprobs_) return;
  const std::string_view text = choice.text;
  for (const TokenLogprobs& token : delta.logprobs) {
    const uint64_t begin =
        std::clamp<uint64_t>(token.content_begin, choice.position.bytes, text.size());
    choice.position.Advance(text.substr(choice.position.bytes, begin - choice.position.bytes));
    choice.logprobs.Add(token, choice.position.characters);
  }
}

void OpenAiGeneration::OnFinished(int32_t choice, FinishReason reason, const Usage& usage) {
  Choice& target = choices_.at(static_cast<size_t>(choice));
  CHECK(!target.finished);
  target.finished = true;
  target.reason = reason;
  usage_.completion_tokens += usage.completion_tokens;
  usage_.reasoning_tokens += usage.reasoning_tokens;
  if (stream_) {
    BeginStreamIfDue();
    chunks_.AppendFinish(choice, reason, target.called, events_);
  }
  if (--unfinished_ == 0) Complete();
}

void OpenAiGeneration::OnFailed(const GenerateError& error) {
  ended_ = true;
  CancelPrompts();
  const OpenAiError shown =
      ToOpenAiError(error, identity_.endpoint == OpenAiEndpoint::kChat ? "messages" : "prompt");
  if (!streaming_) {
    writer_.Send(ErrorResponse(shown));
    return;
  }
  absl::StrAppend(&events_, "data: ", ErrorJson(shown), "\n\n");
  WriteEvents(/*flush=*/false);
  writer_.AbortStream();
}

void OpenAiGeneration::OnBatchEnd() {
  if (streaming_ && !events_.empty()) WriteEvents(/*flush=*/true);
}

void OpenAiGeneration::OnWake() {
  if (ended_) return;
  if (!streaming_) {
    BeginStream();
    OpenAiChunkWriter::AppendKeepAlive(events_);
    WriteEvents(/*flush=*/true);
  } else if (quiet_) {
    OpenAiChunkWriter::AppendKeepAlive(events_);
    WriteEvents(/*flush=*/true);
  }
  quiet_ = true;
  writer_.WakeAfter(timings_.keep_alive_every);
}

void OpenAiGeneration::BeginStreamIfDue() {
  if (stream_ && !streaming_ && started_ && accepted_ == prompts_.size()) BeginStream();
}

void OpenAiGeneration::BeginStream() {
  streaming_ = true;
  writer_.BeginStream("text/event-stream; charset=utf-8",
                      {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
  for (size_t i = 0; i < choices_.size(); ++i) {
    chunks_.AppendRole(static_cast<int32_t>(i), events_);
  }
  writer_.WakeAfter(timings_.keep_alive_every);
}

void OpenAiGeneration::WriteEvents(bool flush) {
  quiet_ = false;
  writer_.Write(events_);
  events_.clear();
  if (flush) writer_.Flush();
}

void OpenAiGeneration::Complete() {
  ended_ = true;
  if (stream_) {
    if (include_usage_) chunks_.AppendUsage(usage_, events_);
    OpenAiChunkWriter::AppendDone(events_);
    WriteEvents(/*flush=*/false);
    writer_.EndStream();
    return;
  }
  HttpResponse response;
  response.body = WholeAnswer();
  writer_.Send(std::move(response));
}

std::string OpenAiGeneration::WholeAnswer() const {
  const bool chat = identity_.endpoint == OpenAiEndpoint::kChat;
  std::string out = "{\"id\":";
  AppendJsonString(out, identity_.id);
  absl::StrAppend(&out, ",\"object\":\"", chat ? "chat.completion" : "text_completion",
                  "\",\"created\":", identity_.created_s, ",\"model\":");
  AppendJsonString(out, identity_.model);
  out += ",\"choices\":[";
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    absl::StrAppend(&out, i == 0 ? "" : ",", "{\"index\":", i);
    if (chat) {
      AppendMessage(choice, static_cast<int32_t>(i), out);
    } else {
      out += ",\"text\":";
      AppendJsonString(out, choice.text);
    }
    out += ",\"logprobs\":";
    if (logprobs_) {
      choice.logprobs.AppendTo(out);
    } else {
      out += "null";
    }
    out += ",\"finish_reason\":\"";
    out += OpenAiFinishReason(choice.reason, choice.called);
    out += "\"}";
  }
  out += "],\"usage\":";
  AppendUsageObject(usage_, out);
  out += ",\"system_fingerprint\":";
  AppendJsonString(out, identity_.fingerprint);
  out += '}';
  return out;
}

void OpenAiGeneration::AppendMessage(const Choice& choice, int32_t index, std::string& out) const {
  out += ",\"message\":{\"role\":\"assistant\",\"content\":";
  if (choice.called && choice.text.empty()) {
    out += "null";
  } else {
    AppendJsonString(out, choice.text);
  }
  if (!choice.reasoning.empty()) {
    out += ",\"reasoning_content\":";
    AppendJsonString(out, choice.reasoning);
  }
  for (size_t i = 0; i < choice.calls.size(); ++i) {
    out += i == 0 ? ",\"tool_calls\":[{\"id\":" : ",{\"id\":";
    AppendJsonString(out, ToolCallId(identity_.id, index, static_cast<int32_t>(i)));
    out += ",\"type\":\"function\",\"function\":{\"name\":";
    AppendJsonString(out, choice.calls[i].name);
    out += ",\"arguments\":";
    AppendJsonString(out, choice.calls[i].arguments);
    out += "}}";
  }
  out += choice.calls.empty() ? ",\"refusal\":null}" : "],\"refusal\":null}";
}

}  // namespace spillway
