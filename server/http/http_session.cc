#include "server/http/http_session.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "server/http/response_head.h"
#include "server/http/string_memory.h"

namespace spillway {
namespace {

constexpr int kClientClosedRequest = 499;  // nginx's number for it

}  // namespace

HttpSession::HttpSession(ConnectionOrigin origin, HttpThreadState& thread, SessionOwner& owner)
    : thread_(thread), owner_(owner), origin_(std::move(origin)) {}

HttpSession::~HttpSession() { Release(); }

void HttpSession::Begin() { BeginReading(); }

bool HttpSession::wants_input() const {
  if (end_ != End::kOpen || input_ended_) return false;
  return stage_ != Stage::kAnswering || input_.size() < thread_.limits.read_ahead_bytes_max;
}

void HttpSession::Receive(std::string_view bytes) {
  if (end_ != End::kOpen || stage_ == Stage::kLingering) return;
  const size_t taken = stage_ == Stage::kReading ? Read(bytes) : 0;
  if (end_ != End::kOpen) return;
  input_.append(bytes.substr(taken));
  CountInput();
}

void HttpSession::ReceiveEnd() {
  input_ended_ = true;
  if (stage_ == Stage::kAnswering) {
    // Whoever has its whole answer on the way may have closed its side already.
    if (phase_ != Phase::kEnded) Broken();
  } else {
    Cut(End::kClose);
  }
}

void HttpSession::Broken() {
  if (end_ != End::kOpen) return;
  if (stage_ == Stage::kAnswering) thread_.metrics.ClientGone();
  Cut(End::kClose);
}

void HttpSession::Sent(size_t bytes) {
  buffer_.Sent(bytes);
  CountUnsent();
  if (write_pace_) write_pace_->Progress(bytes, Now());
  if (output().empty()) OnAllSent();
}

void HttpSession::OnAllSent() {
  write_pace_.reset();
  if (stage_ != Stage::kAnswering || phase_ == Phase::kNone) return;
  if (phase_ == Phase::kStreaming) {
    if (operation_ != nullptr) operation_->OnAllSent();
    return;
  }
  FinishAnswer();
  if (stage_ != Stage::kReading || end_ != End::kOpen) return;
  // The next request may be there already. It is only answered now, so that a client that sends
  // many at once never has more than one answer in memory.
  std::string input;
  input.swap(input_);
  Receive(input);
  if (input_ended_) ReceiveEnd();
}

absl::Time HttpSession::deadline() const {
  if (end_ != End::kOpen) return absl::InfiniteFuture();
  if (!overflow_.empty()) return absl::InfinitePast();
  switch (stage_) {
    case Stage::kReading:
      return body_pace_ ? body_pace_->deadline() : read_deadline_;
    case Stage::kAnswering:
      return write_pace_ ? std::min(write_pace_->deadline(), wake_at_) : wake_at_;
    case Stage::kLingering:
      return read_deadline_;
  }
  return absl::InfiniteFuture();
}

void HttpSession::Tick() {
  // An answer can end without a byte more to send.
  if (end_ == End::kOpen && output().empty()) OnAllSent();
  const absl::Time now = Now();
  if (end_ != End::kOpen || now < deadline()) return;
  if (!overflow_.empty()) return CutSlow(overflow_);
  switch (stage_) {
    case Stage::kReading:
      if (reader_->state() == RequestReader::State::kEmpty) {
        Cut(End::kClose);
      } else {
        Refuse(408, "the request took too long to arrive");
      }
      break;
    case Stage::kAnswering:
      if (write_pace_ && now >= write_pace_->deadline()) return CutSlow("slow");
      wake_at_ = absl::InfiniteFuture();
      if (operation_ != nullptr) operation_->OnWake();
      break;
    case Stage::kLingering:
      Cut(End::kClose);
      break;
  }
}

void HttpSession::Drain() {
  if (stage_ == Stage::kReading && reader_->state() == RequestReader::State::kEmpty) {
    Cut(End::kClose);
  }
}

void HttpSession::Cut(End end) {
  if (end_ != End::kOpen) return;
  Release();
  end_ = end;
  owner_.SessionChanged();
}

void HttpSession::Release() {
  if (end_ != End::kOpen) return;
  operation_.reset();
  if (stage_ == Stage::kAnswering) {
    thread_.metrics.RequestEnded(route_, status_ == 0 ? kClientClosedRequest : status_,
                                 Now() - began_);
  }
  StopWaiting();
  buffer_.Clear();
  CountUnsent();
  request_.reset();
  reader_.reset();
  ReleaseMemory(input_);
  CountInput();
}

// ---- answering ----

void HttpSession::BeginAnswering() {
  stage_ = Stage::kAnswering;
  phase_ = Phase::kNone;
  route_ = request_ ? request_->route : "none";
  status_ = 0;
  add_headers_ = nullptr;
  wake_at_ = absl::InfiniteFuture();
}

void HttpSession::Answer() {
  BeginAnswering();
  began_ = Now();
  request_->body = reader_->body();
  add_headers_ = std::move(request_->add_headers);
  std::unique_ptr<HttpOperation> operation = thread_.handler->Handle(*request_, *this);
  CHECK(operation != nullptr || phase_ == Phase::kEnded);
  operation_ = std::move(operation);
  request_.reset();
  reader_.reset();
}

void HttpSession::FinishAnswer() {
  operation_.reset();
  thread_.metrics.RequestEnded(route_, status_, Now() - began_);
  if (phase_ == Phase::kAborted && framing_ == BodyFraming::kUntilClose) {
    stage_ = Stage::kLingering;
    return Cut(End::kReset);  // An orderly end would look like a whole answer.
  }
  if (keep_alive_) return BeginReading();
  linger_ = linger_ || !input_.empty();
  stage_ = Stage::kLingering;
  read_deadline_ = Now() + thread_.limits.linger_time;
  ReleaseMemory(input_);
  if (!linger_ || input_ended_) Cut(End::kClose);
}

void HttpSession::Send(HttpResponse response) {
  CHECK(phase_ == Phase::kNone);
  phase_ = Phase::kEnded;
  status_ = response.status;
  if (response.close) keep_alive_ = false;
  ResponseHead head = MakeHead(response.status, response.content_type);
  head.body_bytes = response.body.size();
  if (add_headers_) add_headers_(response.headers);
  buffer_.SendWhole(FormatHead(head, response.headers),
                    head_only_ ? std::string_view() : response.body);
  CountUnsent();
  owner_.SessionChanged();
}

void HttpSession::BeginStream(std::string_view content_type,
                              const std::vector<HttpHeader>& headers) {
  CHECK(phase_ == Phase::kNone);
  phase_ = Phase::kStreaming;
  status_ = 200;
  framing_ = http_version_ == 10 ? BodyFraming::kUntilClose : BodyFraming::kChunked;
  if (framing_ == BodyFraming::kUntilClose) keep_alive_ = false;
  ResponseHead head = MakeHead(200, content_type);
  head.framing = framing_;
  if (!add_headers_) {
    buffer_.BeginStream(FormatHead(head, headers), framing_);
    return;
  }
  std::vector<HttpHeader> more = headers;
  add_headers_(more);
  buffer_.BeginStream(FormatHead(head, more), framing_);
}

void HttpSession::Write(std::string_view events) {
  CHECK(phase_ == Phase::kStreaming);
  if (!overflow_.empty()) return;
  const size_t unsent = buffer_.unsent_bytes() + events.size();
  if (unsent > thread_.limits.unsent_bytes_max) {
    overflow_ = "unsent_bytes";
  } else if (thread_.unsent_bytes > thread_.unsent_bytes_max &&
             unsent > thread_.limits.fair_bytes) {
    overflow_ = "unsent_bytes_total";
  }
  if (overflow_.empty()) {
    buffer_.Write(events);
    CountUnsent();
  } else {
    owner_.SessionChanged();  // Cutting destroys the operation, which may be the caller: not now.
  }
}

void HttpSession::Flush() {
  buffer_.Flush();
  CountUnsent();
  owner_.SessionChanged();
}

void HttpSession::EndStream() {
  CHECK(phase_ == Phase::kStreaming);
  phase_ = Phase::kEnded;
  buffer_.EndStream();
  CountUnsent();
  owner_.SessionChanged();
}

void HttpSession::AbortStream() {
  CHECK(phase_ == Phase::kStreaming);
  phase_ = Phase::kAborted;
  keep_alive_ = false;
  buffer_.AbortStream();
  CountUnsent();
  owner_.SessionChanged();
}

void HttpSession::WakeAfter(absl::Duration delay) {
  wake_at_ = Now() + delay;
  owner_.SessionChanged();
}

ResponseHead HttpSession::MakeHead(int status, std::string_view content_type) {
  if (thread_.draining) keep_alive_ = false;
  const absl::Time now = thread_.clock.WallNow();
  if (const int64_t second = absl::ToUnixSeconds(now); second != thread_.date_second) {
    thread_.date_second = second;
    thread_.date = FormatHttpDate(now);
  }
  ResponseHead head;
  head.status = status;
  head.http_version = http_version_;
  head.content_type = content_type;
  head.keep_alive = keep_alive_;
  head.any_origin = origin_.any_origin;
  head.date = thread_.date;
  head.request_id = request_id_;
  return head;
}

void HttpSession::CountUnsent() {
  const auto now = static_cast<int64_t>(buffer_.bytes_held());
  thread_.unsent_bytes += now - std::exchange(counted_unsent_, now);
  if (!output().empty() && !write_pace_) write_pace_.emplace(thread_.limits.write_pace, Now());
}

void HttpSession::CutSlow(std::string_view reason) {
  thread_.metrics.ClientCut(reason);
  // A reset, so that what the kernel still holds for this client is freed at once.
  Cut(End::kReset);
}

}  // namespace spillway
