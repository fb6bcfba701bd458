#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace spillway {

class TokenAccount;

// The seam between the HTTP server and what answers: plain types, so that dialects are tested
// without sockets and know nothing of the server's library.

struct HttpHeader {
  std::string name;
  std::string value;
};

// What a listener promises about its clients.
struct ListenerTraits {
  bool token_required = true;
  bool loopback = false;  // only this machine can connect
  bool ollama = false;    // it stands in for an Ollama: "/" says so
};

// A request. Its views hold until HttpHandler::Handle() returns.
struct HttpRequest {
  std::string_view method;  // "POST"
  std::string path;         // without the query; runs of slashes are one
  std::string query;        // without the question mark
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::string_view body;       // empty while it is admitted
  std::string request_id;      // the client's x-request-id if it is fit to repeat, else ours
  std::string traceparent;     // the client's, if it is valid
  std::string client_address;  // "127.0.0.1"; behind a trusted proxy the one that it tells
  std::string local_address;   // of this machine, where the client has connected: "127.0.0.1:8080"
  bool from_trusted_proxy = false;
  ListenerTraits listener;

  // Filled in by RouteTable when it admits the request.
  std::string_view route = "none";        // its label in metrics; a string that lives for ever
  std::string path_rest;                  // what a route's trailing "*" matched, percent-decoded
  std::string tenant;                     // whose token it was; empty where none was needed
  std::string token_name;                 // which of theirs
  std::shared_ptr<TokenAccount> account;  // of that token; null: nothing limits it
  // Adds to the head of whatever answer this request gets, when that is written; may be empty.
  std::function<void(std::vector<HttpHeader>&)> add_headers;

  // By whoever takes it off the path: the service that the path names; empty: it names none.
  std::string service;
  std::string path_of_service;  // then the path as it was before

  // The first header of that name, in any case; nullopt when there is none.
  std::optional<std::string_view> Header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<HttpHeader> headers = {};
  std::string body = {};
  // PAI-EAS's own number for this error, for requests that came by its paths; 0: the same.
  int eas_status = 0;
  bool close = false;  // the connection ends with it
};

// Where an answer goes: either one Send(), or BeginStream(), writes, and one of EndStream() and
// AbortStream(). Calls never block and never call back into the caller.
//
// Threading: the connection's thread. Lives until its HttpOperation is destroyed.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  // A whole answer.
  virtual void Send(HttpResponse response) = 0;

  // The head of a streamed answer, status 200. It leaves with the first Flush().
  virtual void BeginStream(std::string_view content_type,
                           const std::vector<HttpHeader>& headers) = 0;
  // Adds whole events. They are never split over two writes of ours.
  virtual void Write(std::string_view events) = 0;
  // Everything written so far may leave now, in one write.
  virtual void Flush() = 0;
  // The answer is complete.
  virtual void EndStream() = 0;
  // The answer is broken: what was written leaves, then the body is cut without its end, so that
  // no client takes it for whole.
  virtual void AbortStream() = 0;

  // Of what was written, what the client has not taken yet: whoever writes what comes from
  // elsewhere lets that wait before the connection's limit cuts the client.
  virtual size_t unsent_bytes() const { return 0; }

  // HttpOperation::OnWake() is called once after `delay`. A second call replaces the first.
  virtual void WakeAfter(absl::Duration delay) = 0;
};

// An answer that takes time. The connection owns it and destroys it when the answer has been
// written or the client has gone, whichever is first: the destructor stops the work.
class HttpOperation {
 public:
  virtual ~HttpOperation() = default;
  virtual void OnWake() {}
  // All that was flushed of a stream has gone to the kernel; may come at any time.
  virtual void OnAllSent() {}
};

// Answers requests. One per server thread, called on that thread only.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;

  // The head has arrived, the body has not: a refusal, so that no stranger's body is kept in
  // memory, or nullopt. What it fills in is there when Handle() is called.
  virtual std::optional<HttpResponse> Admit(HttpRequest& request) = 0;

  // Called for what Admit() let pass, with the body. Either calls writer.Send() and returns
  // nullptr, or returns an operation that will write later.
  virtual std::unique_ptr<HttpOperation> Handle(HttpRequest& request, ResponseWriter& writer) = 0;

  // The body of an error that the connection itself found: 400, 408, 413, 431, 501, 503 and such.
  virtual HttpResponse ConnectionError(int status, std::string_view message) const = 0;
};

}  // namespace spillway
