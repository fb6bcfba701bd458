#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "absl/status/status.h"
#include "server/cli/chat_conversation.h"
#include "server/cli/server_access.h"

namespace spillway {

struct ChatCommand {
  ServerAccess server;
  ChatOptions chat;     // no model: the first that the server lists
  std::string message;  // empty: what people type, or what `in` has if that is no terminal
};

// Where a chat is held. The references must outlive RunChat().
struct ChatTerminal {
  std::istream& in;
  std::ostream& out;  // answers, and nothing else unless it is a terminal
  std::ostream& err;  // what is said about them
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  // Whether Ctrl-C came since it was asked last.
  std::function<bool()> interrupted = [] { return false; };
};

// Runs `spillway chat`: one message, or a conversation until the end of `in`. Of a conversation
// only what ends it is an error: what an answer lacks is told on `err` and the next message may
// come.
absl::Status RunChat(const ChatCommand& command, const ChatTerminal& terminal);

}  // namespace spillway
