#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace spillway {

// What is done about an error that a provider answered with.
enum class ProviderAction : uint8_t {
  kPassOn,         // the caller's fault, and would be so everywhere: told to the caller
  kContentFilter,  // its filter refused prompt or answer: told as that, never sent again
  kBackOff,        // we are too quick for it, or it is busy: elsewhere, here only later
  kTryAgain,       // it failed: once more, here or elsewhere
  kGiveUp,         // it took too long, and may have been paid for: not sent again
  kBlockModel,     // this model is not to be had with this key
  kBlockKey,       // no model is, until somebody pays or mends the key
};

// An error as a provider's reply tells it, in whatever shape. Nothing of it is trusted: texts are
// cut to kProviderTextBytesMax.
struct ProviderError {
  int http_status = 0;  // 0: none was told, as in a frame of a stream
  std::string code;     // as it stands there; empty: none
  std::string type;
  std::string message;
  std::string request_id;  // the provider's own, for its support
};
constexpr size_t kProviderTextBytesMax = 2000;

// Reads the body of an error's reply. It knows OpenAI's shape ({"error": {…}}, {"error": "…"}),
// DashScope's ({"code", "message", "request_id"}), vLLM's ({"object": "error", …, "code": 404}),
// and each of them in the data of a server-sent event. Of anything else, such as a proxy's page,
// nothing but the status is believed.
ProviderError ReadProviderError(int http_status, std::string_view body);

// One row of a provider's table of errors.
struct ProviderErrorRow {
  std::string_view code;  // compared without case; "Throttling.*" is each that begins so
  int http_status;        // 0: with any
  ProviderAction action;
  std::string_view reason;  // a fixed word, also a metric label
  bool alert;               // somebody has to do something about it
};

struct ErrorVerdict {
  ProviderAction action = ProviderAction::kTryAgain;
  std::string_view reason;  // lives for ever
  bool alert = false;
};

// The verdict of the first row of `table` that fits; where none does, of the status alone.
//
// A code decides, never the status that came with it: Bailian says 429 of an unpaid bill and 400 of
// overdue payment. Its messages may begin with a code that says more than the one beside them
// ("<400> InternalError.Algo.DataInspectionFailed: …" under "invalid_parameter_error"); of those
// only InternalError.Algo.… is believed, since a message may quote what a stranger wrote.
ErrorVerdict JudgeProviderError(std::span<const ProviderErrorRow> table,
                                const ProviderError& error);

}  // namespace spillway
