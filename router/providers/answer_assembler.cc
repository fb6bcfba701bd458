#include "router/providers/answer_assembler.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/check.h"

namespace spillway {
namespace {

using Json = nlohmann::ordered_json;

// Each piece of a call says these anew, or not at all.
bool IsSaidOnce(std::string_view name) {
  return name == "role" || name == "id" || name == "type" || name == "name" || name == "index";
}

void MergeObject(Json& whole, const Json& piece);

// Of tool_calls: pieces of one call have the same index.
void MergeCalls(Json& whole, const Json& pieces) {
  for (const Json& piece : pieces) {
    if (!piece.is_object()) continue;
    Json* call = nullptr;
    for (Json& known : whole) {
      if (known.value("index", Json()) == piece.value("index", Json())) call = &known;
    }
    if (call == nullptr) {
      whole.push_back(Json::object());
      call = &whole.back();
    }
    MergeObject(*call, piece);
  }
}

void MergeMember(Json& whole, const std::string& name, const Json& piece) {
  Json& member = whole[name];
  if (piece.is_null()) return;
  if (member.is_null()) {
    member = piece.is_array() && name == "tool_calls" ? Json::array() : Json(piece);
    if (name == "tool_calls" && piece.is_array()) MergeCalls(member, piece);
    return;
  }
  if (member.is_string() && piece.is_string()) {
    if (!IsSaidOnce(name)) {
      member.get_ref<std::string&>() += piece.get_ref<const std::string&>();
    } else if (member.get_ref<std::string&>().empty()) {
      member = piece;
    }
  } else if (member.is_array() && piece.is_array()) {
    if (name == "tool_calls") {
      MergeCalls(member, piece);
    } else {
      member.insert(member.end(), piece.begin(), piece.end());
    }
  } else if (member.is_object() && piece.is_object()) {
    MergeObject(member, piece);
  } else {
    member = piece;
  }
}

void MergeObject(Json& whole, const Json& piece) {
  for (const auto& [name, value] : piece.items()) MergeMember(whole, name, value);
}

}  // namespace

class AnswerAssembler::Parts {
 public:
  Json head;  // all but the choices, as the first chunk orders it
  std::map<int64_t, Json> choices;

  void TakeHead(const Json& chunk) {
    for (const auto& [name, value] : chunk.items()) {
      if (name == "choices") {
        head.emplace(name, nullptr);  // its place
      } else if (!value.is_null() || !head.contains(name)) {
        if (name == "id" && head.contains(name) && !head[name].is_null()) continue;
        head[name] = value;
      }
    }
  }

  bool TakeChoice(const Json& piece) {
    if (!piece.is_object() || !piece.contains("index") || !piece["index"].is_number_integer()) {
      return false;
    }
    Json& choice = choices[piece["index"].get<int64_t>()];
    if (choice.is_null()) choice = Json::object();
    for (const auto& [name, value] : piece.items()) {
      if (name == "index" || name == "finish_reason") {
        if (!value.is_null() || !choice.contains(name)) choice[name] = value;
      } else {
        MergeMember(choice, name == "delta" ? "message" : name, value);
      }
    }
    return true;
  }
};

AnswerAssembler::AnswerAssembler(const AnswerLimits& limits)
    : limits_(limits), parts_(std::make_unique<Parts>()) {}
AnswerAssembler::~AnswerAssembler() = default;

absl::Status AnswerAssembler::Add(std::string_view chunk_json) {
  bytes_ += chunk_json.size();
  if (bytes_ > limits_.assembled_bytes_max) {
    return absl::DataLossError("the provider's answer is too large");
  }
  const Json chunk = Json::parse(chunk_json, nullptr, /*allow_exceptions=*/false);
  if (!chunk.is_object() || !chunk.contains("choices") || !chunk["choices"].is_array()) {
    return absl::DataLossError("the provider's answer holds what is no chunk");
  }
  for (const Json& choice : chunk["choices"]) {
    if (!parts_->TakeChoice(choice)) {
      return absl::DataLossError("the provider's answer has a choice without an index");
    }
  }
  parts_->TakeHead(chunk);
  return absl::OkStatus();
}

std::string AnswerAssembler::Finish() {
  CHECK(parts_->head.is_object());
  Json& answer = parts_->head;
  if (answer.value("object", Json()) == "chat.completion.chunk")
    answer["object"] = "chat.completion";
  answer["choices"] = Json::array();
  for (auto& [index, choice] : parts_->choices) {
    if (choice.contains("message") && choice["message"].is_object()) {
      Json& message = choice["message"];
      const bool calls = message.contains("tool_calls") && !message["tool_calls"].is_null();
      // Where it was null beside the thinking, and nothing came.
      if (!calls && (!message.contains("content") || message["content"].is_null())) {
        message["content"] = "";
      }
    }
    answer["choices"].push_back(std::move(choice));
  }
  return answer.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace spillway
