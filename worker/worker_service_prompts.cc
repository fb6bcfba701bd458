#include "worker/worker_service_prompts.h"

#include <optional>
#include <utility>

namespace spillway {

PromptThread::PromptThread(int32_t submissions_max, const SpecContext& context, Handlers handlers)
    : context_(context),
      handlers_(std::move(handlers)),
      submissions_(static_cast<size_t>(submissions_max)),
      thread_([this] { Run(); }) {}

PromptThread::~PromptThread() {
  submissions_.Close();
  thread_.join();
}

void PromptThread::Run() {
  while (const std::optional<Submission> submission = submissions_.Pop()) {
    if (!handlers_.wanted(submission->id)) continue;
    EngineRequest request;
    const SpecRefusal refusal =
        RequestFromWire(submission->spec, context_, submission->id, submission->arrival, request);
    if (refusal.status.ok()) {
      handlers_.ready(std::move(request));
    } else {
      handlers_.refused(submission->id, refusal);
    }
  }
}

}  // namespace spillway
