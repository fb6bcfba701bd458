#include "server/grpc/inference_service.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/mutex.h"
#include "grpc/grpc.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "proto/inference.grpc.pb.h"
#include "router/error_table.h"
#include "server/auth/request_gate.h"
#include "server/dialects/request_origin.h"
#include "server/grpc/inference_wire.h"
#include "server/http/id_generator.h"
#include "server/http/request_head.h"
#include "server/http/trace_context.h"

namespace spillway {
namespace {

constexpr char kReasonKey[] = "spillway-reason";
constexpr char kRetryKey[] = "retry-after-ms";
constexpr int kKeepAliveMs = 30'000;  // after so much silence a client is asked whether it is there
constexpr int kClientPingsMs = 10'000;  // the most often that a client may ask us

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// "ipv4:127.0.0.1:54321", "ipv6:%5B::1%5D:54321"
std::string AddressOfPeer(const std::string& peer) {
  const std::string text = absl::StrReplaceAll(peer, {{"%5B", "["}, {"%5D", "]"}});
  const size_t begin = text.find(':') + 1;
  const size_t end = text.rfind(':');
  if (begin == 0 || end <= begin) return "";
  std::string address = text.substr(begin, end - begin);
  std::erase_if(address, [](char c) { return c == '[' || c == ']'; });
  return address;
}

grpc::StatusCode CodeOfHttp(int status) {
  switch (status) {
    case 401:
      return grpc::StatusCode::UNAUTHENTICATED;
    case 403:
      return grpc::StatusCode::PERMISSION_DENIED;
    case 429:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    default:
      return grpc::StatusCode::INTERNAL;
  }
}

absl::Duration TimeLeft(const grpc::CallbackServerContext& context, absl::Time wall_now) {
  const absl::Time deadline = absl::FromChrono(context.deadline());
  return std::max(absl::ZeroDuration(), deadline - wall_now);
}

// A call that is refused as it comes.
class RefusedCall : public grpc::ServerWriteReactor<v1::GenerateEvent> {
 public:
  explicit RefusedCall(const grpc::Status& status) { Finish(status); }
  void OnDone() override { std::unique_ptr<RefusedCall> gone(this); }
};

// One Generate call: what its request brings on the shard's thread goes out on gRPC's.
//
// Two own it: gRPC until OnDone(), and the shard while it may call the sink.
class GenerateCall : public grpc::ServerWriteReactor<v1::GenerateEvent>,
                     public std::enable_shared_from_this<GenerateCall>,
                     private ResponseSink {
 public:
  // `calls` is counted down when gRPC is done with it.
  GenerateCall(grpc::CallbackServerContext& context, const InferenceShard& shard,
               size_t unsent_bytes_max, std::atomic<int32_t>& calls)
      : context_(context), shard_(shard), unsent_bytes_max_(unsent_bytes_max), calls_(calls) {
    ++calls_;
  }

  // On gRPC's thread, before it hears of the call.
  void Begin(GenerateRequest request) {
    grpc_owns_ = shared_from_this();
    shard_.post([call = shared_from_this(), request = std::move(request)]() mutable {
      call->Submit(std::move(request));
    });
  }

  // ServerWriteReactor, on gRPC's threads
  void OnWriteDone(bool /*ok*/) override {  // not ok: OnCancel() comes, or has come
    {
      MutexLock lock(mutex_);
      writing_ = false;
    }
    Pump();
  }
  void OnCancel() override {
    shard_.post([call = shared_from_this()] { call->CancelRequest(); });
    End(grpc::Status::CANCELLED, nullptr);
  }
  void OnDone() override {
    const std::shared_ptr<GenerateCall> last = std::move(grpc_owns_);
    --calls_;
  }

 private:
  // ---- on the shard's thread ----

  void Submit(GenerateRequest request) {
    choices_left_ = request.choices;
    shard_owns_ = shared_from_this();
    request_ = shard_.shard->Submit(std::move(request), *this);
  }
  // Nothing if it has ended.
  void CancelRequest() {
    if (shard_owns_ == nullptr) return;
    shard_.shard->Cancel(request_);
    shard_owns_.reset();
  }

  void OnAccepted(int32_t prompt_tokens) override {
    v1::GenerateEvent event;
    event.mutable_accepted()->set_prompt_tokens(prompt_tokens);
    Push(std::move(event));
  }
  void OnStarted(int32_t cached_tokens) override {
    v1::GenerateEvent event;
    event.mutable_started()->set_cached_tokens(cached_tokens);
    Push(std::move(event));
  }
  void OnDelta(int32_t choice, const OutputDelta& delta, int32_t /*token_count*/) override {
    if (delta.content.empty() && delta.reasoning.empty()) return;
    v1::GenerateEvent event;
    DeltaToWire(choice, delta, event);
    Push(std::move(event));
  }
  void OnFinished(int32_t choice, FinishReason reason, const Usage& usage) override {
    v1::GenerateEvent event;
    FinishedToWire(choice, reason, usage, event);
    Push(std::move(event));
    if (--choices_left_ > 0) return;
    End(grpc::Status::OK, nullptr);
    shard_owns_.reset();
  }
  void OnFailed(const GenerateError& error) override {
    End(ToGrpc(error.status), &error);
    shard_owns_.reset();
  }
  void OnBatchEnd() override { Pump(); }

  // Sent with the next OnBatchEnd().
  void Push(v1::GenerateEvent event) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (end_) return;
      unsent_bytes_ += event.ByteSizeLong();
      if (unsent_bytes_ <= unsent_bytes_max_) {
        Append(std::move(event));
        return;
      }
      Close(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                         absl::StrCat("the client reads too slowly: ", unsent_bytes_,
                                      " bytes wait for it, more than ", unsent_bytes_max_)),
            /*error=*/nullptr);
      queue_.clear();
    }
    // Not now: the shard is in the middle of telling us.
    shard_.post([call = shared_from_this()] { call->CancelRequest(); });
    Pump();
  }

  // ---- on any thread ----

  // A choice's text that waits anyway is one event.
  void Append(v1::GenerateEvent event) REQUIRES(mutex_) {
    if (!queue_.empty() && event.has_delta() && queue_.back().has_delta() &&
        queue_.back().delta().choice() == event.delta().choice()) {
      v1::Delta& last = *queue_.back().mutable_delta();
      last.mutable_content()->append(event.delta().content());
      // All reasoning comes before any content.
      last.mutable_reasoning()->append(event.delta().reasoning());
      return;
    }
    queue_.push_back(std::move(event));
  }

  // The call ends with this, behind what is queued; cancelled, at once. Only the first counts.
  void End(const grpc::Status& status, const GenerateError* error) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (end_) return;
      Close(status, error);
      if (status.error_code() == grpc::StatusCode::CANCELLED) queue_.clear();
    }
    Pump();
  }
  // The context is gRPC's until Finish(), which comes after this.
  void Close(const grpc::Status& status, const GenerateError* error) REQUIRES(mutex_) {
    end_ = status;
    if (error == nullptr) return;
    const ErrorRow& row = FindErrorRow(error->status.code(), error->reason);
    context_.AddTrailingMetadata(kReasonKey, error->reason);
    const absl::Duration after =
        error->retry_after > absl::ZeroDuration() ? error->retry_after : row.retry_after;
    if (row.client_may_retry && after > absl::ZeroDuration()) {
      context_.AddTrailingMetadata(kRetryKey, absl::StrCat(absl::ToInt64Milliseconds(after)));
    }
  }

  void Pump() EXCLUDES(mutex_) {
    std::optional<grpc::Status> finish;
    {
      MutexLock lock(mutex_);
      if (writing_ || finished_) return;
      if (!queue_.empty()) {
        current_ = std::move(queue_.front());
        queue_.pop_front();
        unsent_bytes_ -= std::min(unsent_bytes_, current_.ByteSizeLong());
        writing_ = true;
      } else if (end_) {
        finished_ = true;
        finish = end_;
      } else {
        return;
      }
    }
    // Without the lock: gRPC may call back from within.
    if (finish) {
      Finish(*finish);
    } else {
      StartWrite(&current_);
    }
  }

  grpc::CallbackServerContext& context_;
  const InferenceShard shard_;
  const size_t unsent_bytes_max_;
  std::atomic<int32_t>& calls_;
  std::shared_ptr<GenerateCall> grpc_owns_;

  // Of the shard's thread.
  std::shared_ptr<GenerateCall> shard_owns_;
  RequestId request_{};
  int32_t choices_left_ = 0;

  Mutex mutex_;
  std::deque<v1::GenerateEvent> queue_ GUARDED_BY(mutex_);
  size_t unsent_bytes_ GUARDED_BY(mutex_) = 0;  // of queue_
  bool writing_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ GUARDED_BY(mutex_);
  v1::GenerateEvent current_;  // being written; of whoever set writing_
};

class InferenceServerImpl : public InferenceServer, private v1::Inference::CallbackService {
 public:
  InferenceServerImpl(InferenceServerOptions options, Parts parts)
      : options_(std::move(options)),
        parts_(std::move(parts)),
        gate_(MakeRequestGate(parts_.authenticator, parts_.failures, parts_.clock,
                              [](int status, std::string_view, std::string_view message) {
                                return HttpResponse{.status = status, .body = std::string(message)};
                              })),
        ids_(options_.id_seed) {
    grpc_init();  // or the last call's end would take gRPC down with it, from its own thread
  }
  ~InferenceServerImpl() override {
    Stop();
    grpc_shutdown();
  }

  absl::Status Listen();

  const std::string& address() const override { return address_; }
  int32_t calls_in_flight() const override { return calls_; }
  void SetReady(bool ready) override {
    if (server_ == nullptr || std::exchange(ready_, ready) == ready) return;
    server_->GetHealthCheckService()->SetServingStatus(ready);
  }
  void Stop() override {
    if (server_ == nullptr) return;
    server_->Shutdown(absl::ToChronoTime(parts_.clock.WallNow() + options_.stop_max));
    server_->Wait();
    server_.reset();
  }

 private:
  grpc::ServerWriteReactor<v1::GenerateEvent>* Generate(grpc::CallbackServerContext* context,
                                                        const v1::GenerateRequest* wire) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* wire,
                                       v1::ListModelsReply* reply) override;

  std::shared_ptr<grpc::ServerCredentials> Credentials() const;
  // Who calls, as the request gate sees it; `request` is filled in as an HTTP request's would be.
  grpc::Status Admit(grpc::CallbackServerContext& context, HttpRequest& request) const;

  const InferenceServerOptions options_;
  const Parts parts_;
  const RequestGate gate_;
  std::string NextId() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return ids_.Next();
  }

  std::atomic<uint64_t> next_shard_ = 0;
  std::atomic<int32_t> calls_ = 0;
  Mutex mutex_;
  IdGenerator ids_ GUARDED_BY(mutex_);
  std::string address_;
  bool ready_ = true;  // as gRPC takes it at first
  std::unique_ptr<grpc::Server> server_;
};

absl::Status InferenceServerImpl::Listen() {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options_.address, Credentials(), &port);
  builder.RegisterService(this);
  builder.SetMaxReceiveMessageSize(static_cast<int>(options_.request_bytes_max));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepAliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kClientPingsMs);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    server_ = nullptr;
    return absl::UnavailableError(
        absl::StrCat("can't serve gRPC at ", options_.address,
                     ": it is in use, or no address of this machine; choose another with --grpc"));
  }
  address_ = absl::StrCat(options_.address.substr(0, options_.address.rfind(':')), ":", port);
  SetReady(false);
  return absl::OkStatus();
}

std::shared_ptr<grpc::ServerCredentials> InferenceServerImpl::Credentials() const {
  if (options_.tls.certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::experimental::TlsServerCredentialsOptions tls(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          options_.tls.key, options_.tls.certificate, /*refresh_interval_sec=*/2));
  tls.watch_identity_key_cert_pairs();
  tls.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return grpc::experimental::TlsServerCredentials(tls);
}

grpc::Status InferenceServerImpl::Admit(grpc::CallbackServerContext& context,
                                        HttpRequest& request) const {
  for (const auto& [name, value] : context.client_metadata()) {
    request.headers.emplace_back(std::string_view(name.data(), name.size()),
                                 std::string_view(value.data(), value.size()));
  }
  const std::optional<std::string_view> id = request.Header("x-request-id");
  if (id && IsFitRequestId(*id)) request.request_id = std::string(*id);
  if (const auto trace = request.Header("traceparent"); trace && IsTraceparent(*trace)) {
    request.traceparent = *trace;
  }
  request.client_address = AddressOfPeer(context.peer());
  request.listener = {.token_required = options_.token_required, .loopback = options_.loopback};
  const std::optional<HttpResponse> refusal = gate_(request, TokenRule::kAlways);
  if (!refusal) return grpc::Status::OK;
  return grpc::Status(CodeOfHttp(refusal->status), refusal->body);
}

grpc::ServerWriteReactor<v1::GenerateEvent>* InferenceServerImpl::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* wire) {
  const auto refuse = [](const grpc::Status& status) {
    return std::make_unique<RefusedCall>(status).release();
  };
  HttpRequest caller;
  if (grpc::Status status = Admit(*context, caller); !status.ok()) return refuse(status);
  absl::StatusOr<GenerateRequest> request = GenerateRequestFromWire(*wire, options_.limits);
  if (!request.ok()) {
    context->AddTrailingMetadata(kReasonKey, "invalid_request");
    return refuse(ToGrpc(request.status()));
  }
  if (caller.request_id.empty()) caller.request_id = NextId();
  SetOrigin(caller, *request);
  request->timeout = std::min(request->timeout, TimeLeft(*context, parts_.clock.WallNow()));
  const auto call =
      std::make_shared<GenerateCall>(*context, parts_.shards[next_shard_++ % parts_.shards.size()],
                                     options_.unsent_bytes_max, calls_);
  call->Begin(*std::move(request));
  return call.get();
}

grpc::ServerUnaryReactor* InferenceServerImpl::ListModels(grpc::CallbackServerContext* context,
                                                          const v1::ListModelsRequest*,
                                                          v1::ListModelsReply* reply) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  HttpRequest caller;
  const grpc::Status status = Admit(*context, caller);
  if (status.ok()) ModelsToWire(ModelsFor(caller, parts_.router), *reply);
  reactor->Finish(status);
  return reactor;
}

}  // namespace

absl::StatusOr<std::unique_ptr<InferenceServer>> InferenceServer::Start(
    InferenceServerOptions options, Parts parts) {
  auto server = std::make_unique<InferenceServerImpl>(std::move(options), std::move(parts));
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return server;
}

}  // namespace spillway
