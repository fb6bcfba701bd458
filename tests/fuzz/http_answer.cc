// What a server answers to `spillway chat`: HTTP, then server-sent events or one JSON object.
// However it is cut, the same text comes of it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/check.h"
#include "server/cli/chat_answer.h"
#include "server/cli/status_command.h"
#include "server/http/response_reader.h"

namespace {

using spillway::ChatAnswer;

struct Result {
  absl::StatusCode reading = absl::StatusCode::kOk;
  absl::StatusCode end = absl::StatusCode::kOk;
  std::string body;
  std::string reasoning;
  std::string content;
  std::string finish_reason;
};

Result Read(std::string_view bytes, size_t piece_bytes) {
  static const spillway::HttpLimits limits = {.head_bytes_max = 1000, .body_bytes_max = 5000};
  spillway::ResponseReader reader(limits);
  std::optional<ChatAnswer> answer;
  ChatAnswer::Piece piece;
  Result result;
  absl::Status status;
  for (size_t i = 0; i < bytes.size() && status.ok() && !reader.done(); i += piece_bytes) {
    std::string body;
    status = reader.Read(bytes.substr(i, piece_bytes), body);
    if (!status.ok() || !reader.head_done()) continue;
    if (!answer) answer.emplace(reader.Header("Content-Type") == "text/event-stream");
    result.body += body;
    status = answer->Read(body, piece);
  }
  result.reading = status.code();
  if (status.ok()) status = reader.End();
  if (status.ok() && answer) status = answer->End(piece);
  result.end = status.code();
  result.reasoning = piece.reasoning;
  result.content = piece.content;
  if (answer) {
    CHECK(answer->content() == piece.content);
    result.finish_reason = answer->finish_reason();
  }
  CHECK(result.body.size() <= limits.body_bytes_max);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result whole = Read(bytes, std::max<size_t>(1, size));
  spillway::ErrorMessage(500, whole.body);
  (void)spillway::FormatStatus(whole.body);
  for (const size_t piece : {1, 2, 5, 17}) {
    const Result cut = Read(bytes, piece);
    CHECK((cut.reading == absl::StatusCode::kOk) == (whole.reading == absl::StatusCode::kOk));
    // Of two things that are wrong either may be seen first, and what is before them be read or
    // not.
    if (whole.reading != absl::StatusCode::kOk) continue;
    CHECK(cut.end == whole.end);
    CHECK(cut.body == whole.body && cut.content == whole.content);
    CHECK(cut.reasoning == whole.reasoning && cut.finish_reason == whole.finish_reason);
  }
  return 0;
}
