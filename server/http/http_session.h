#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "server/http/http_thread.h"
#include "server/http/http_types.h"
#include "server/http/pace.h"
#include "server/http/request_reader.h"
#include "server/http/response_buffer.h"

namespace spillway {

// Where a connection comes from.
struct ConnectionOrigin {
  ListenerTraits listener;
  bool any_origin = false;
  std::string peer_address;
  std::string local_address;  // with its port
};

// Who carries a session's bytes. Both calls may come from within any call of the session's but
// must not call back into it.
class SessionOwner : public HttpConnection {
 public:
  // There is something to write, or another deadline, or it has ended: look again soon.
  virtual void SessionChanged() = 0;
};

// One client's connection without its socket: bytes and time in, bytes and a deadline out. It reads
// requests, has them answered one at a time, and decides when the connection ends and how.
//
//   reading ------------------------> answering -----------------> reading, or ending
//     | idle too long: closed            | client gone: cut, operation destroyed
//     | malformed, too big, too slow:    | client doesn't read: cut
//     |   answered, ending               | broken answer: ending, without the body's end
//
// Ending: what is unsent leaves, the sending side is closed, and input is dropped for a moment,
// since a close with unread input becomes a reset that can overtake the answer (RFC 9112
// section 9.6).
//
// Threading: the thread of `thread`. Time is what thread.clock says; Tick() when deadline() is
// past.
class HttpSession final : public ResponseWriter {
 public:
  enum class End {
    kOpen,
    kClose,  // in good order
    kReset,  // at once, whatever the kernel still holds
  };

  // `thread` and `owner` must outlive it.
  HttpSession(ConnectionOrigin origin, HttpThreadState& thread, SessionOwner& owner);
  ~HttpSession() override;
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  // ---- for the owner ----

  // Once, before all others.
  void Begin();

  // Whether bytes may be given to Receive(). False: enough is waiting already.
  bool wants_input() const;
  void Receive(std::string_view bytes);
  // No more will come: the client has closed its side.
  void ReceiveEnd();
  // The connection is broken.
  void Broken();

  std::string_view output() const { return buffer_.output(); }
  void Sent(size_t bytes);
  // Once the output has left: close the sending side and go on receiving.
  bool send_ended() const { return stage_ == Stage::kLingering; }

  absl::Time deadline() const;
  void Tick();

  // Ends after the answer in the making, at once if there is none.
  void Drain();
  // Ends now; destroys the operation.
  void Cut(End end);

  End end() const { return end_; }

  // ---- ResponseWriter ----

  void Send(HttpResponse response) override;
  void BeginStream(std::string_view content_type, const std::vector<HttpHeader>& headers) override;
  void Write(std::string_view events) override;
  void Flush() override;
  void EndStream() override;
  void AbortStream() override;
  size_t unsent_bytes() const override { return buffer_.unsent_bytes(); }
  void WakeAfter(absl::Duration delay) override;

 private:
  enum class Stage { kReading, kAnswering, kLingering };
  enum class Phase { kNone, kStreaming, kEnded, kAborted };  // of an answer

  // Reading.
  void BeginReading();
  size_t Read(std::string_view bytes);
  void OnHead();
  void OnRequest();
  void Refuse(int status, std::string_view message);
  void StopWaiting();
  HttpRequest MakeRequest();
  void NoteProxies(HttpRequest& request) const;
  bool IsOverInputTotal() const;
  void CountInput();

  // Answering.
  void BeginAnswering();
  void Answer();
  void OnAllSent();
  void FinishAnswer();
  ResponseHead MakeHead(int status, std::string_view content_type);
  void CountUnsent();
  void CutSlow(std::string_view reason);
  void Release();

  absl::Time Now() const { return thread_.clock.Now(); }

  HttpThreadState& thread_;
  SessionOwner& owner_;
  const ConnectionOrigin origin_;
  Stage stage_ = Stage::kReading;
  End end_ = End::kOpen;
  std::string input_;  // received and not yet read
  bool input_ended_ = false;
  int64_t counted_input_ = 0;   // in thread_.input_bytes
  int64_t counted_unsent_ = 0;  // in thread_.unsent_bytes

  // Reading.
  std::optional<RequestReader> reader_;
  std::optional<HttpRequest> request_;   // once its head is there; views into reader_
  std::optional<HttpResponse> refusal_;  // of Admit(), to be sent when the body has been read away
  std::optional<std::list<HttpConnection*>::iterator> waiting_;
  absl::Time read_deadline_;
  std::optional<Pace> body_pace_;

  // Answering.
  std::unique_ptr<HttpOperation> operation_;
  Phase phase_ = Phase::kNone;
  BodyFraming framing_ = BodyFraming::kLength;
  std::string_view route_;
  std::string request_id_;
  std::function<void(std::vector<HttpHeader>&)> add_headers_;  // as HttpRequest has it
  int status_ = 0;
  int http_version_ = 11;
  bool head_only_ = false;
  bool keep_alive_ = true;
  bool linger_ = false;
  std::string_view overflow_;  // why the client must be cut; empty: it need not
  absl::Time began_;
  absl::Time wake_at_ = absl::InfiniteFuture();
  ResponseBuffer buffer_;
  std::optional<Pace> write_pace_;  // while something is unsent
};

}  // namespace spillway
