#include "worker/embedding_service.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/bounded_queue.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.grpc.pb.h"
#include "worker/worker_service_wire.h"

namespace spillway {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// One Embed call. gRPC keeps request and reply until it is finished.
struct Call {
  grpc::CallbackServerContext* context = nullptr;
  const wire::EmbedRequest* request = nullptr;
  wire::EmbedReply* reply = nullptr;
  grpc::ServerUnaryReactor* reactor = nullptr;
};

const char* const kNoText =
    "this worker serves an embedding model; it answers Embed, Describe and Control";

}  // namespace

class EmbeddingService::Impl : public wire::Worker::CallbackService {
 public:
  Impl(const EmbeddingServiceLimits& limits, EmbeddingInfo info,
       const EmbeddingTokenizer& tokenizer, EmbeddingEngine& engine)
      : limits_(limits),
        info_(std::move(info)),
        tokenizer_(tokenizer),
        engine_(engine),
        calls_(static_cast<size_t>(limits.requests_max)) {
    thread_ = std::thread([this] {
      while (std::optional<Call> call = calls_.Pop()) Tokenize(*call);
    });
    pthread_setname_np(thread_.native_handle(), "tokenize");
  }

  ~Impl() override {
    calls_.Close();
    thread_.join();
  }

  void SetDraining(bool draining) { draining_ = draining; }

  grpc::ServerUnaryReactor* Describe(grpc::CallbackServerContext* context,
                                     const wire::DescribeRequest* request,
                                     wire::WorkerDescription* reply) override;
  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const wire::EmbedRequest* request,
                                  wire::EmbedReply* reply) override;
  grpc::ServerUnaryReactor* Control(grpc::CallbackServerContext* context,
                                    const wire::ControlRequest* request,
                                    wire::ControlReply* reply) override;
  grpc::ServerUnaryReactor* Render(grpc::CallbackServerContext* context,
                                   const wire::RenderRequest* /*request*/,
                                   wire::RenderReply* /*reply*/) override {
    return Finished(context, grpc::Status(grpc::StatusCode::UNIMPLEMENTED, kNoText));
  }
  grpc::ServerBidiReactor<wire::RouterFrame, wire::WorkerFrame>* Attach(
      grpc::CallbackServerContext* context) override;

 private:
  static grpc::ServerUnaryReactor* Finished(grpc::CallbackServerContext* context,
                                            const grpc::Status& status) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  int32_t inputs_max() const {
    const size_t vector_bytes = static_cast<size_t>(info_.vector_size) * sizeof(float) + 16;
    return std::max(1,
                    static_cast<int32_t>(std::min<size_t>(static_cast<size_t>(limits_.inputs_max),
                                                          limits_.reply_bytes_max / vector_bytes)));
  }
  absl::Status CheckRequest(const wire::EmbedRequest& request) const;
  absl::StatusOr<EncodedText> EncodeInput(const wire::EmbedInput& input, bool truncate) const;
  void Tokenize(const Call& call);
  void Reply(const Call& call, const absl::StatusOr<std::vector<float>>& vectors) const;

  const EmbeddingServiceLimits limits_;
  const EmbeddingInfo info_;
  const EmbeddingTokenizer& tokenizer_;
  EmbeddingEngine& engine_;
  std::atomic<bool> draining_ = false;
  BoundedQueue<Call> calls_;
  std::thread thread_;  // last: it uses all of the above
};

grpc::ServerUnaryReactor* EmbeddingService::Impl::Describe(grpc::CallbackServerContext* context,
                                                           const wire::DescribeRequest*,
                                                           wire::WorkerDescription* reply) {
  IdentityToWire(info_.identity, *reply);
  reply->set_context_tokens_max(info_.text_tokens_max);
  reply->set_vocabulary_size(info_.vocabulary_size);
  reply->add_capabilities(wire::CAPABILITY_EMBED);
  reply->set_embedding_size(info_.vector_size);
  reply->set_embed_inputs_max(inputs_max());
  return Finished(context, grpc::Status::OK);
}

grpc::ServerBidiReactor<wire::RouterFrame, wire::WorkerFrame>* EmbeddingService::Impl::Attach(
    grpc::CallbackServerContext* /*context*/) {
  class Refusal : public grpc::ServerBidiReactor<wire::RouterFrame, wire::WorkerFrame> {
   public:
    Refusal() { Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, kNoText)); }
    void OnDone() override { std::unique_ptr<Refusal> gone(this); }
  };
  return std::make_unique<Refusal>().release();
}

grpc::ServerUnaryReactor* EmbeddingService::Impl::Control(grpc::CallbackServerContext* context,
                                                          const wire::ControlRequest* request,
                                                          wire::ControlReply* reply) {
  if (request->action_case() != wire::ControlRequest::kDrain) {
    return Finished(context, grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                                          "an embedding model knows the action drain only"));
  }
  SetDraining(request->drain());
  const EmbeddingLoad load = engine_.load();
  reply->mutable_load()->set_waiting(load.jobs);
  reply->mutable_load()->set_steps(load.passes);
  reply->mutable_load()->set_draining(draining_);
  return Finished(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* EmbeddingService::Impl::Embed(grpc::CallbackServerContext* context,
                                                        const wire::EmbedRequest* request,
                                                        wire::EmbedReply* reply) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (draining_) {
    reactor->Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the worker is draining"));
  } else if (absl::Status status = CheckRequest(*request); !status.ok()) {
    reactor->Finish(ToGrpc(status));
  } else if (!calls_.TryPush({context, request, reply, reactor})) {
    reactor->Finish(
        grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                     absl::StrCat(limits_.requests_max, " requests are waiting to be tokenized")));
  }
  return reactor;
}

absl::Status EmbeddingService::Impl::CheckRequest(const wire::EmbedRequest& request) const {
  if (request.inputs_size() < 1 || request.inputs_size() > inputs_max()) {
    return absl::InvalidArgumentError(absl::StrCat("the request has ", request.inputs_size(),
                                                   " inputs, beyond 1 to ", inputs_max()));
  }
  for (int i = 0; i < request.inputs_size(); ++i) {
    const size_t bytes = request.inputs(i).text().size();
    if (bytes <= limits_.input_bytes_max) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "input ", i, " has ", bytes, " bytes, beyond the limit of ", limits_.input_bytes_max));
  }
  return absl::OkStatus();
}

absl::StatusOr<EncodedText> EmbeddingService::Impl::EncodeInput(const wire::EmbedInput& input,
                                                                bool truncate) const {
  if (input.kind_case() == wire::EmbedInput::kTokenIds) {
    return tokenizer_.Check({input.token_ids().ids().begin(), input.token_ids().ids().end()},
                            truncate);
  }
  return tokenizer_.Encode(input.text(), truncate);
}

void EmbeddingService::Impl::Tokenize(const Call& call) {
  EmbeddingJob job;
  for (int i = 0; i < call.request->inputs_size(); ++i) {
    if (call.context->IsCancelled()) {
      call.reactor->Finish(grpc::Status::CANCELLED);
      return;
    }
    absl::StatusOr<EncodedText> encoded =
        EncodeInput(call.request->inputs(i), call.request->truncate());
    if (!encoded.ok()) {
      call.reactor->Finish(ToGrpc(absl::Status(
          encoded.status().code(), absl::StrCat("input ", i, ": ", encoded.status().message()))));
      return;
    }
    wire::Embedding& embedding = *call.reply->add_embeddings();
    embedding.set_prompt_tokens(static_cast<int32_t>(encoded->tokens.size()));
    embedding.set_truncated(encoded->truncated);
    job.texts.push_back(std::move(encoded->tokens));
  }
  job.abandoned = [context = call.context] { return context->IsCancelled(); };
  job.done = [this, call](const absl::StatusOr<std::vector<float>>& vectors) {
    Reply(call, vectors);
  };
  if (engine_.Submit(std::move(job))) return;
  call.reactor->Finish(
      grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the embedding engine's queue is full"));
}

void EmbeddingService::Impl::Reply(const Call& call,
                                   const absl::StatusOr<std::vector<float>>& vectors) const {
  if (!vectors.ok()) {
    call.reactor->Finish(ToGrpc(vectors.status()));
    return;
  }
  auto next = vectors->begin();
  for (wire::Embedding& embedding : *call.reply->mutable_embeddings()) {
    const auto end = next + info_.vector_size;
    embedding.mutable_values()->Add(next, end);
    next = end;
  }
  call.reactor->Finish(grpc::Status::OK);
}

EmbeddingService::EmbeddingService(const EmbeddingServiceLimits& limits, EmbeddingInfo info,
                                   const EmbeddingTokenizer& tokenizer, EmbeddingEngine& engine)
    : impl_(std::make_unique<Impl>(limits, std::move(info), tokenizer, engine)) {}

EmbeddingService::~EmbeddingService() = default;

grpc::Service& EmbeddingService::service() { return *impl_; }

void EmbeddingService::SetDraining(bool draining) { impl_->SetDraining(draining); }

}  // namespace spillway
