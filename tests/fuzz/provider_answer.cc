// What a provider streams, or answers in one piece: however a stream is cut the same comes of it,
// what is handed on is JSON on one line, and what was whole becomes one answer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/check.h"
#include "router/providers/answer_assembler.h"
#include "router/providers/answer_reader.h"
#include "router/providers/provider_table.h"

namespace {

using spillway::AnswerChunk;
using spillway::AnswerStream;

constexpr spillway::AnswerLimits kLimits = {
    .event_bytes_max = 2000, .assembled_bytes_max = 4000, .choices_max = 8};

struct Result {
  absl::StatusCode end = absl::StatusCode::kOk;
  std::vector<std::string> chunks;
  int64_t text_bytes = 0;
  bool whole = false;

  friend bool operator==(const Result&, const Result&) = default;
};

Result Read(std::string_view bytes, size_t piece_bytes) {
  AnswerStream stream("mine", kLimits);
  std::vector<AnswerChunk> chunks;
  for (size_t i = 0; i < bytes.size(); i += piece_bytes) {
    const bool ok = stream.Read(bytes.substr(i, piece_bytes), chunks).ok();
    CHECK(ok || !stream.whole());
  }
  Result result{.end = stream.End().code(), .text_bytes = stream.text_bytes()};
  result.whole = stream.whole();
  CHECK(result.whole == (result.end == absl::StatusCode::kOk));
  CHECK((result.end == absl::StatusCode::kUnavailable) == stream.error().has_value());
  if (stream.error()) {
    for (const spillway::ProviderRow& provider : spillway::ProviderTable()) {
      CHECK(!JudgeProviderError(provider.errors, *stream.error()).reason.empty());
    }
  }
  for (AnswerChunk& chunk : chunks) result.chunks.push_back(std::move(chunk.json));
  return result;
}

void CheckAssembly(const std::vector<std::string>& chunks) {
  spillway::AnswerAssembler assembler(kLimits);
  for (const std::string& chunk : chunks) {
    if (!assembler.Add(chunk).ok()) return;
  }
  const std::string answer = assembler.Finish();
  CHECK(nlohmann::json::parse(answer).contains("choices"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result whole = Read(bytes, std::max<size_t>(1, size));
  for (const size_t piece : {1, 3, 16}) CHECK(Read(bytes, piece) == whole);
  for (const std::string& chunk : whole.chunks) {
    CHECK(chunk.find_first_of("\r\n") == std::string::npos);
    CHECK(nlohmann::json::accept(chunk));
  }
  if (whole.whole) CheckAssembly(whole.chunks);
  spillway::ProviderError error;
  const auto answer = ReadWholeAnswer(bytes, "mine", error);
  if (answer.ok()) CHECK(nlohmann::json::accept(answer->json));
  (void)spillway::ReadProviderError(400, bytes);
  return 0;
}
