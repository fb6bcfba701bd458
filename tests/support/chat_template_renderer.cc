// Renders chat templates for tests in other languages, which hold them against jinja2.
//
// usage: chat_template_renderer < CASES
//
// A case is a line of JSON: {"template", "messages", "tools", "kwargs", "add_generation_prompt",
// "bos", "eos", "openai"}, of which messages, tools and kwargs are JSON texts within; "openai" says
// that they are as OpenAI's clients send them. Answers each with a line {"text"} or {"error"}. The
// templates' clock stands at 2026-11-21 09:05:03.

#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "worker/text/chat_rendering.h"
#include "worker/text/chat_template.h"

namespace spillway {
namespace {

using Json = nlohmann::json;

class Renderer {
 public:
  absl::StatusOr<RenderedPrompt> Render(const Json& request) {
    const auto& parsed =
        Parsed(request["template"], request.value("bos", ""), request.value("eos", ""));
    if (!parsed.ok()) return parsed.status();
    ChatInput input;
    input.messages_json = request["messages"];
    input.tools_json = request.value("tools", "");
    input.template_kwargs_json = request.value("kwargs", "");
    input.add_generation_prompt = request.value("add_generation_prompt", true);
    input.template_time =
        absl::FromCivil(absl::CivilSecond(2026, 11, 21, 9, 5, 3), absl::UTCTimeZone());
    return request.value("openai", false) ? RenderChat(**parsed, input) : (*parsed)->Render(input);
  }

 private:
  using Template = absl::StatusOr<std::unique_ptr<ChatTemplate>>;

  // Many cases are of one template, one after the other.
  const Template& Parsed(const std::string& source, const std::string& bos,
                         const std::string& eos) {
    if (source != source_ || bos != bos_ || eos != eos_ || !template_.ok()) {
      template_ = ChatTemplate::Parse(source, bos, eos);
      source_ = source;
      bos_ = bos;
      eos_ = eos;
    }
    return template_;
  }

  std::string source_;
  std::string bos_;
  std::string eos_;
  Template template_ = absl::UnknownError("nothing parsed yet");
};

int Main() {
  Renderer renderer;
  for (std::string line; std::getline(std::cin, line);) {
    Json reply;
    try {
      const auto prompt = renderer.Render(Json::parse(line));
      if (prompt.ok()) {
        reply["text"] = prompt->text;
      } else {
        reply["error"] = std::string(prompt.status().ToString());
      }
      line = reply.dump();
    } catch (const std::exception& exception) {
      std::cerr << "chat_template_renderer: " << exception.what() << "\n";
      return 2;
    }
    std::cout << line << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace spillway

int main() { return spillway::Main(); }
