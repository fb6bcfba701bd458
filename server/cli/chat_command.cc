#include "server/cli/chat_command.h"

#include <algorithm>
#include <istream>
#include <iterator>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/cli/chat_answer.h"
#include "server/http/http_client.h"

namespace spillway {
namespace {

constexpr char kDim[] = "\x1b[2m";
constexpr char kPlain[] = "\x1b[0m";

// A model's text may not move the cursor or do worse.
std::string Harmless(std::string text) {
  std::erase_if(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
  });
  return text;
}

class Chat {
 public:
  Chat(BaseUrl url, std::vector<HttpHeader> headers, ChatOptions options,
       const ChatTerminal& terminal)
      : client_(
            std::move(url),
            {.stopped = [this] { return interrupted_ = interrupted_ || terminal_.interrupted(); }}),
        headers_(std::move(headers)),
        conversation_(std::move(options)),
        terminal_(terminal) {}

  absl::Status Say(const std::string& message) {
    interrupted_ = false;
    HttpClientRequest request = {.method = "POST", .path = "/chat/completions"};
    request.headers = headers_;
    request.headers.push_back({"Content-Type", "application/json"});
    request.headers.push_back({"Accept", "text/event-stream, application/json"});
    request.body = conversation_.Ask(message);
    const absl::Status status = Receive(request);
    if (status.ok()) {
      conversation_.Answered(answer_->content());
    } else {
      conversation_.TakeBack();
    }
    return status;
  }

  void Converse() {
    terminal_.err << "Type a message; /clear begins anew, Ctrl-C stops an answer, Ctrl-D ends.\n";
    for (std::string line; Prompt(line);) {
      if (line.empty()) continue;
      if (line == "/bye" || line == "/exit") return;
      if (line == "/clear") {
        conversation_.Forget();
        continue;
      }
      const absl::Status status = Say(line);
      if (!status.ok()) terminal_.err << "(" << status.message() << ")\n";
    }
    terminal_.err << "\n";
  }

 private:
  bool Prompt(std::string& line) {
    terminal_.err << ">>> " << std::flush;
    return static_cast<bool>(std::getline(terminal_.in, line));
  }

  absl::Status Receive(const HttpClientRequest& request) {
    answer_.reset();
    std::string error_body;
    const absl::StatusOr<HttpReply> reply =
        client_.Ask(request, [&](const HttpReply& so_far, std::string_view bytes) {
          if (so_far.status != 200) {
            error_body += bytes;
            return absl::OkStatus();
          }
          if (!answer_) answer_.emplace(absl::StartsWith(so_far.content_type, "text/event-stream"));
          ChatAnswer::Piece piece;
          absl::Status status = answer_->Read(bytes, piece);
          Show(piece);
          return status;
        });
    absl::Status status = reply.status();
    if (status.ok() && reply->status != 200) {
      status = absl::UnavailableError(ErrorMessage(reply->status, error_body));
    } else if (status.ok()) {
      if (!answer_) answer_.emplace(/*streamed=*/true);
      ChatAnswer::Piece piece;
      status = answer_->End(piece);
      Show(piece);
    }
    EndAnswer();
    if (status.ok() && answer_->finish_reason() == "length") {
      terminal_.err << "(the answer ends at the limit of tokens)\n";
    }
    return status;
  }

  void Show(const ChatAnswer::Piece& piece) {
    if (!piece.reasoning.empty() && terminal_.out_is_terminal) {
      terminal_.out << kDim << Harmless(piece.reasoning) << kPlain;
      reasoning_ = true;
      line_open_ = true;
    }
    if (!piece.content.empty()) {
      if (std::exchange(reasoning_, false)) terminal_.out << "\n\n";
      terminal_.out << (terminal_.out_is_terminal ? Harmless(piece.content) : piece.content);
      line_open_ = piece.content.back() != '\n';
    }
    terminal_.out.flush();
  }

  void EndAnswer() {
    if (std::exchange(line_open_, false)) terminal_.out << std::endl;
    reasoning_ = false;
  }

  HttpClient client_;
  const std::vector<HttpHeader> headers_;
  ChatConversation conversation_;
  const ChatTerminal& terminal_;
  std::optional<ChatAnswer> answer_;
  bool interrupted_ = false;
  bool reasoning_ = false;  // was shown last
  bool line_open_ = false;
};

absl::StatusOr<std::string> FirstModel(const BaseUrl& url, const std::vector<HttpHeader>& headers) {
  HttpClient client(url, {.silence_max = absl::Seconds(30)});
  ASSIGN_OR_RETURN(const HttpReply reply, client.Ask({.path = "/models", .headers = headers}));
  if (reply.status != 200) return absl::UnavailableError(ErrorMessage(reply.status, reply.body));
  const auto json = nlohmann::json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("data") && json["data"].is_array()) {
    for (const auto& model : json["data"]) {
      if (model.is_object() && model.contains("id") && model["id"].is_string()) {
        return model["id"].get<std::string>();
      }
    }
  }
  return absl::NotFoundError("the server lists no model yet; name one with --model");
}

}  // namespace

absl::Status RunChat(const ChatCommand& command, const ChatTerminal& terminal) {
  ASSIGN_OR_RETURN(BaseUrl url, ParseBaseUrl(command.server.url));
  if (url.path.empty()) url.path = "/v1";
  ASSIGN_OR_RETURN(const std::vector<HttpHeader> headers, AccessHeaders(command.server));
  ChatOptions options = command.chat;
  if (options.model.empty()) {
    ASSIGN_OR_RETURN(options.model, FirstModel(url, headers));
  }
  const bool converses = command.message.empty() && terminal.in_is_terminal;
  if (converses) terminal.err << "model " << options.model << " at " << command.server.url << "\n";
  Chat chat(std::move(url), headers, std::move(options), terminal);
  if (converses) {
    chat.Converse();
    return absl::OkStatus();
  }
  std::string message = command.message;
  if (message.empty()) message.assign(std::istreambuf_iterator<char>(terminal.in), {});
  if (message.empty()) return absl::InvalidArgumentError("there is no message to send");
  return chat.Say(message);
}

}  // namespace spillway
