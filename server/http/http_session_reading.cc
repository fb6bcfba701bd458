// From bytes to a request: HttpSession's first half.
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "server/http/http_session.h"
#include "server/http/string_memory.h"
#include "server/http/trace_context.h"

namespace spillway {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

void HttpSession::BeginReading() {
  stage_ = Stage::kReading;
  buffer_.Clear();  // an idle connection holds no memory that it doesn't need
  reader_.emplace(thread_.limits);
  body_pace_.reset();
  http_version_ = 11;
  head_only_ = false;
  read_deadline_ = Now() + thread_.limits.idle_time;
  waiting_ = thread_.waiting.insert(thread_.waiting.end(), &owner_);
  if (thread_.draining) Cut(End::kClose);
}

void HttpSession::StopWaiting() {
  if (waiting_) thread_.waiting.erase(*waiting_);
  waiting_.reset();
}

// Takes what is for the request that is being read; how much.
size_t HttpSession::Read(std::string_view bytes) {
  using State = RequestReader::State;
  size_t taken = 0;
  while (end_ == End::kOpen && stage_ == Stage::kReading && taken < bytes.size()) {
    const State before = reader_->state();
    const size_t count = reader_->Read(bytes.substr(taken));
    taken += count;
    if (before == State::kBody) body_pace_->Progress(count, Now());
    const State after = reader_->state();
    if (before == State::kEmpty && after != State::kEmpty) {
      read_deadline_ = Now() + thread_.limits.head_time;
    }
    if (after == State::kRefused) {
      Refuse(reader_->refusal().status, reader_->refusal().message);
    } else if (after == State::kBody || after == State::kComplete) {
      if (!request_) OnHead();
      if (stage_ == Stage::kReading && reader_->state() == State::kComplete) OnRequest();
    }
    CountInput();
    if (stage_ == Stage::kReading && end_ == End::kOpen && IsOverInputTotal()) {
      Refuse(503, "this server has too many requests half arrived; try again in a moment");
    }
  }
  return taken;
}

void HttpSession::OnHead() {
  StopWaiting();
  const RequestHead& head = reader_->head();
  http_version_ = head.version;
  head_only_ = head.method == "HEAD";
  keep_alive_ = head.keep_alive;
  began_ = Now();
  request_ = MakeRequest();
  request_id_ = request_->request_id;
  refusal_ = thread_.handler->Admit(*request_);
  if (reader_->state() != RequestReader::State::kBody) return;
  body_pace_.emplace(thread_.limits.body_pace, Now());
  if (refusal_ && !head.expects_continue) {
    reader_->DiscardBody();
  } else if (refusal_) {
    linger_ = true;  // The client may send the body or leave it.
    OnRequest();
  } else if (head.expects_continue) {
    buffer_.SendInterim(kContinue);
    CountUnsent();
    owner_.SessionChanged();
  }
  if (reader_ && reader_->state() == RequestReader::State::kRefused) {
    linger_ = true;
    OnRequest();
  }
}

void HttpSession::OnRequest() {
  if (!refusal_) return Answer();
  BeginAnswering();
  if (linger_) keep_alive_ = false;
  Send(*std::exchange(refusal_, std::nullopt));
  request_.reset();
  reader_.reset();
}

HttpRequest HttpSession::MakeRequest() {
  const RequestHead& head = reader_->head();
  HttpRequest request;
  request.method = head.method;
  request.path = head.path;
  request.query = head.query;
  request.headers = head.fields;
  const std::optional<std::string_view> id = request.Header("x-request-id");
  request.request_id = id && IsFitRequestId(*id) ? std::string(*id) : thread_.ids.Next();
  if (const auto trace = request.Header("traceparent"); trace && IsTraceparent(*trace)) {
    request.traceparent = *trace;
  }
  request.client_address = origin_.peer_address;
  if (!thread_.trusted_proxies.empty()) NoteProxies(request);
  request.local_address = origin_.local_address;
  request.listener = origin_.listener;
  return request;
}

void HttpSession::NoteProxies(HttpRequest& request) const {
  std::vector<std::string_view> forwarded_for;
  for (const auto& [name, value] : request.headers) {
    if (absl::EqualsIgnoreCase(absl::string_view(name.data(), name.size()), "X-Forwarded-For")) {
      forwarded_for.push_back(value);
    }
  }
  const std::optional<IpAddress> peer = ParseIpAddress(origin_.peer_address);
  request.from_trusted_proxy = peer && IsInAny(*peer, thread_.trusted_proxies);
  request.client_address =
      ClientAddress(origin_.peer_address, forwarded_for, thread_.trusted_proxies);
}

// Answers what is no request, or not taken; the connection ends with it.
void HttpSession::Refuse(int status, std::string_view message) {
  StopWaiting();
  if (!request_) {
    request_id_ = thread_.ids.Next();
    began_ = Now();
  }
  keep_alive_ = false;
  linger_ = true;
  HttpResponse response = refusal_ ? *std::exchange(refusal_, std::nullopt)
                                   : thread_.handler->ConnectionError(status, message);
  if (status == 503) response.headers.push_back({"Retry-After", "1"});
  BeginAnswering();
  Send(std::move(response));
  request_.reset();
  reader_.reset();
}

bool HttpSession::IsOverInputTotal() const {
  return thread_.input_bytes > thread_.input_bytes_max &&
         counted_input_ > static_cast<int64_t>(thread_.limits.fair_bytes);
}

void HttpSession::CountInput() {
  const size_t held = HeapBytes(input_) + (reader_ ? reader_->bytes_held() : 0);
  const auto now = static_cast<int64_t>(held);
  thread_.input_bytes += now - std::exchange(counted_input_, now);
}

}  // namespace spillway
