#include "router/providers/answer_reader.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json_slices.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::string_view kDone = "[DONE]";
constexpr std::string_view kStatusComment = "HTTP_STATUS/";
constexpr size_t kShownBytesMax = 200;

absl::Status Broken(std::string_view why) {
  return absl::DataLossError(absl::StrCat("the provider's answer ", std::string(why)));
}

std::string Quoted(std::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool IsNull(const element& value) {
  return value.type() == simdjson::dom::element_type::NULL_VALUE;
}

// The string that `value` is; else empty.
std::string_view TextOf(const element& value) {
  std::string_view text;
  return value.get(text) == simdjson::SUCCESS ? text : "";
}

// Calls `visit` for each member of what is an object; nothing else has any.
template <typename Visit>
void ForEachMember(const element& value, Visit visit) {
  object members;
  if (value.get(members) != simdjson::SUCCESS) return;
  for (const auto [name, member] : members) visit(name, member);
}

template <typename Visit>
void ForEachElement(const element& value, Visit visit) {
  array elements;
  if (value.get(elements) != simdjson::SUCCESS) return;
  for (const element each : elements) visit(each);
}

int64_t CountOf(const element& value) {
  int64_t count = 0;
  return value.get(count) == simdjson::SUCCESS ? std::max<int64_t>(0, count) : 0;
}

AnswerUsage UsageOf(const element& value) {
  AnswerUsage usage;
  ForEachMember(value, [&usage](std::string_view name, const element& member) {
    if (name == "prompt_tokens") usage.prompt_tokens = CountOf(member);
    if (name == "completion_tokens") usage.completion_tokens = CountOf(member);
    ForEachMember(member, [&](std::string_view detail, const element& count) {
      if (name == "prompt_tokens_details" && detail == "cached_tokens") {
        usage.cached_tokens = CountOf(count);
      }
      if (name == "completion_tokens_details" && detail == "reasoning_tokens") {
        usage.reasoning_tokens = CountOf(count);
      }
    });
  });
  return usage;
}

// Bytes of all that a client may be shown of a choice, or of its delta, its message or its calls.
int64_t TextBytesOf(const element& value) {
  int64_t bytes = 0;
  ForEachMember(value, [&bytes](std::string_view name, const element& member) {
    if (name == "content" || name == "reasoning_content" || name == "reasoning" || name == "text" ||
        name == "refusal" || name == "arguments" || name == "name") {
      bytes += static_cast<int64_t>(TextOf(member).size());
    } else if (name == "delta" || name == "function" || name == "function_call") {
      bytes += TextBytesOf(member);
    } else if (name == "tool_calls") {
      ForEachElement(member, [&bytes](const element& call) { bytes += TextBytesOf(call); });
    }
  });
  return bytes;
}

// The members that matter of a chunk or a whole answer. Of several with a name each counts: what
// one reader overlooks another may see.
struct AnswerParts {
  bool has_error = false;
  bool has_choices = false;
  bool has_data = false;  // an array, as embeddings have it
  bool has_code = false;
  bool has_message = false;
  size_t choice_count = 0;
  std::vector<element> choices;
  std::optional<AnswerUsage> usage;
};

AnswerParts PartsOf(const element& root) {
  AnswerParts parts;
  ForEachMember(root, [&parts](std::string_view name, const element& value) {
    if (name == "error") parts.has_error |= !IsNull(value);
    if (name == "choices" && value.is_array()) {
      parts.has_choices = true;
      ForEachElement(value, [&parts](const element& each) { parts.choices.push_back(each); });
    }
    if (name == "data") parts.has_data = value.is_array();
    if (name == "code") parts.has_code |= !IsNull(value);
    if (name == "message") parts.has_message |= value.is_string();
    if (name == "usage" && value.is_object()) parts.usage = UsageOf(value);
  });
  return parts;
}

bool IsError(const AnswerParts& parts) {
  return parts.has_error || (!parts.has_choices && parts.has_code && parts.has_message);
}

struct ChoiceParts {
  int64_t index = -1;
  bool finished = false;
};

ChoiceParts ChoiceOf(const element& choice) {
  ChoiceParts parts;
  ForEachMember(choice, [&parts](std::string_view name, const element& value) {
    if (name == "index" && value.get(parts.index) != simdjson::SUCCESS) parts.index = -1;
    if (name == "finish_reason") parts.finished = !TextOf(value).empty();
  });
  return parts;
}

// `json` with `model_json` for the value of each member "model", on one line.
std::string WithModel(std::string_view json, std::string_view model_json) {
  std::string out;
  out.reserve(json.size() + model_json.size());
  const auto members = JsonSpelledMembers(json);
  size_t copied = 0;
  for (const JsonMember& member : members.value_or(std::vector<JsonMember>())) {
    if (!JsonNameIs(member.name, "model")) continue;
    const size_t begin = static_cast<size_t>(member.value.data() - json.data());
    out += json.substr(copied, begin - copied);
    out += model_json;
    copied = begin + member.value.size();
  }
  out += json.substr(copied);
  // JSON has them between its tokens only.
  std::replace(out.begin(), out.end(), '\n', ' ');
  return out;
}

int StatusIn(std::string_view comment) {
  if (!comment.starts_with(kStatusComment)) return 0;
  comment.remove_prefix(kStatusComment.size());
  int status = 0;
  const auto [end, error] =
      std::from_chars(comment.data(), comment.data() + comment.size(), status);
  return error == std::errc() && status >= 100 && status <= 599 ? status : 0;
}

absl::Status ProviderFailed(const ProviderError& error) {
  return absl::UnavailableError(absl::StrCat("the provider says: ", error.code,
                                             error.code.empty() ? "" : ": ",
                                             error.message.substr(0, kShownBytesMax)));
}

}  // namespace

class AnswerStream::Parser {
 public:
  simdjson::dom::parser parser;
};

AnswerStream::AnswerStream(std::string_view model, const AnswerLimits& limits)
    : model_json_(Quoted(model)),
      limits_(limits),
      events_(limits.event_bytes_max),
      parser_(std::make_unique<Parser>()) {}
AnswerStream::~AnswerStream() = default;

absl::Status AnswerStream::Read(std::string_view bytes, std::vector<AnswerChunk>& chunks) {
  if (!status_.ok() || whole_) return status_;
  std::vector<ServerSentEvent> events;
  const absl::Status reading = events_.Read(bytes, events);
  for (const ServerSentEvent& event : events) {
    status_ = Take(event, chunks);
    if (!status_.ok() || whole_) return status_;
  }
  if (!reading.ok()) status_ = Broken(absl::StrCat("is too large: ", reading.message()));
  return status_;
}

absl::Status AnswerStream::End() const {
  if (!status_.ok() || whole_) return status_;
  return Broken("broke off");
}

absl::Status AnswerStream::Take(const ServerSentEvent& event, std::vector<AnswerChunk>& chunks) {
  begun_ = true;
  if (event.event == "error") return TakeError(event);
  if (event.data == kDone) return TakeEnd();
  element root;
  if (event.data.empty() ||
      parser_->parser.parse(event.data.data(), event.data.size()).get(root) != simdjson::SUCCESS) {
    return Broken("holds what is no JSON");
  }
  const AnswerParts parts = PartsOf(root);
  if (IsError(parts)) return TakeError(event);
  if (!parts.has_choices) return Broken("holds what is no chunk of an answer");
  for (const element& choice : parts.choices) {
    const ChoiceParts told = ChoiceOf(choice);
    if (told.index < 0 || told.index >= limits_.choices_max) {
      return Broken("has a choice without an index, or with one beyond the limit");
    }
    const auto index = static_cast<size_t>(told.index);
    if (choices_.size() <= index) choices_.resize(index + 1);
    choices_[index] = std::max<uint8_t>(choices_[index], told.finished ? 2 : 1);
    text_bytes_ += TextBytesOf(choice);
  }
  if (parts.usage) usage_ = parts.usage;
  chunks.push_back({.json = WithModel(event.data, model_json_),
                    .usage_only = parts.choices.empty() && parts.usage.has_value()});
  return absl::OkStatus();
}

absl::Status AnswerStream::TakeEnd() {
  const bool begun = std::find(choices_.begin(), choices_.end(), 1) != choices_.end();
  const bool finished = std::find(choices_.begin(), choices_.end(), 2) != choices_.end();
  if (begun || !finished) return Broken("says that it is done before all of it is finished");
  whole_ = true;
  return absl::OkStatus();
}

absl::Status AnswerStream::TakeError(const ServerSentEvent& event) {
  error_ = ReadProviderError(StatusIn(event.comment), event.data);
  return ProviderFailed(*error_);
}

absl::StatusOr<WholeAnswer> ReadWholeAnswer(std::string_view body, std::string_view model,
                                            ProviderError& error) {
  simdjson::dom::parser parser;
  element root;
  if (body.empty() || parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS) {
    return Broken("is no JSON");
  }
  const AnswerParts parts = PartsOf(root);
  if (IsError(parts)) {
    error = ReadProviderError(/*http_status=*/0, body);
    return ProviderFailed(error);
  }
  const bool finished =
      parts.has_choices && !parts.choices.empty() &&
      std::all_of(parts.choices.begin(), parts.choices.end(),
                  [](const element& choice) { return ChoiceOf(choice).finished; });
  if (!finished && !parts.has_data) return Broken("has no choices, or one that isn't finished");
  return WholeAnswer{.json = WithModel(body, Quoted(model)), .usage = parts.usage};
}

}  // namespace spillway
