#include "worker/worker_service_grammars.h"

#include <pthread.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace spillway {

GrammarThreads::GrammarThreads(const GrammarThreadLimits& limits, const Tokenizer& tokenizer,
                               Handlers handlers)
    : limits_(limits),
      handlers_(std::move(handlers)),
      quick_("grammar", limits_, tokenizer, handlers_),
      slow_("big grammar", limits_, tokenizer, handlers_) {}

bool GrammarThreads::TryPush(EngineRequest&& request) {
  size_t bytes = request.grammar_source->text.size();
  for (const std::string& choice : request.grammar_source->choices) bytes += choice.size();
  return (bytes <= limits_.quick_source_bytes_max ? quick_ : slow_).TryPush(std::move(request));
}

GrammarThreads::Lane::Lane(const char* name, const GrammarThreadLimits& limits,
                           const Tokenizer& tokenizer, const Handlers& handlers)
    : handlers_(handlers),
      requests_(limits.requests_max),
      compiler_(tokenizer),
      cache_(limits.cache),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), name);
}

GrammarThreads::Lane::~Lane() {
  requests_.Close();
  thread_.join();
}

void GrammarThreads::Lane::Run() {
  while (std::optional<EngineRequest> request = requests_.Pop()) {
    if (!handlers_.wanted(request->id)) continue;
    const GrammarSource source = *std::exchange(request->grammar_source, std::nullopt);
    request->grammar = cache_.Find(source);
    if (request->grammar == nullptr) {
      auto compiled = compiler_.Compile(source);
      if (!compiled.ok()) {
        const std::string field = std::exchange(request->grammar_field, {});
        handlers_.refused(request->id, {.status = absl::InvalidArgumentError(absl::StrCat(
                                            field, ": ", std::string(compiled.status().message()))),
                                        .reason = "invalid_request",
                                        .field = field});
        continue;
      }
      request->grammar = *std::move(compiled);
      cache_.Add(source, request->grammar);
    }
    handlers_.ready(*std::move(request));
  }
}

}  // namespace spillway
