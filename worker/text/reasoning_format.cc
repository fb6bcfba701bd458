#include "worker/text/reasoning_format.h"

#include <algorithm>

namespace spillway {
namespace {

// From the models' templates. No marker begins another of its kind.
constexpr ReasoningFormat kFormats[] = {
    {.name = "harmony",  // gpt-oss: a message on the channel "analysis", then one on "final"
     .opens = {"<|channel|>analysis<|message|>"},
     .closes = {"<|end|>"},
     .answer_opens = {"<|start|>assistant<|channel|>final<|message|>",
                      "<|channel|>final<|message|>"},
     .evidence = {"<|channel|>analysis<|message|>", "<|channel|>final<|message|>"}},
    {.name = "solar",  // Solar Open
     .opens = {"<|think|>"},
     .closes = {"<|end|>"},
     .answer_opens = {"<|begin|>assistant<|content|>", "<|content|>"},
     .evidence = {"<|begin|>assistant<|think|>", "<|content|>"}},
    {.name = "gemma",  // Gemma 4
     .opens = {"<|channel>thought"},
     .closes = {"<channel|>"},
     .evidence = {"<|channel>thought", "<channel|>"}},
    {.name = "cohere",  // Command R7B, Command A Reasoning
     .opens = {"<|START_THINKING|>"},
     .closes = {"<|END_THINKING|>"},
     .answer_opens = {"<|START_RESPONSE|>", "<|START_TEXT|>"},
     .answer_closes = {"<|END_RESPONSE|>", "<|END_TEXT|>"},
     .evidence = {"<|START_THINKING|>", "<|END_THINKING|>"}},
    {.name = "apertus",
     .opens = {"<|inner_prefix|>"},
     .closes = {"<|inner_suffix|>"},
     .evidence = {"<|inner_prefix|>", "<|inner_suffix|>"}},
    {.name = "apriel",  // the template writes the opening
     .opens = {"Here are my reasoning steps:"},
     .closes = {"[BEGIN FINAL RESPONSE]"},
     .evidence = {"Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"}},
    {.name = "mistral",  // Magistral, Ministral Reasoning
     .opens = {"[THINK]"},
     .closes = {"[/THINK]"},
     .evidence = {"[THINK]", "[/THINK]"}},
    {.name = "seed",  // Seed-OSS
     .opens = {"<seed:think>"},
     .closes = {"</seed:think>"},
     .evidence = {"<seed:think>", "</seed:think>"}},
    {.name = "minimax",  // MiniMax-M3
     .opens = {"<mm:think>"},
     .closes = {"</mm:think>"},
     .evidence = {"<mm:think>", "</mm:think>"}},
    {.name = "kimi",  // Kimi-VL Thinking
     .opens = {"◁think▷"},
     .closes = {"◁/think▷"},
     .evidence = {"◁think▷", "◁/think▷"}},
    {.name = "exaone",  // EXAONE Deep
     .opens = {"<thought>"},
     .closes = {"</thought>"},
     .evidence = {"<thought>", "</thought>"}},
    {.name = "granite",  // Granite 3.3
     .opens = {"<think>"},
     .closes = {"</think>"},
     .answer_opens = {"<response>"},
     .answer_closes = {"</response>"},
     .evidence = {"</think>", "<response></response>"}},
    {.name = "hunyuan",
     .opens = {"<think>"},
     .closes = {"</think>"},
     .answer_opens = {"<answer>"},
     .answer_closes = {"</answer>"},
     .evidence = {"</think>", "<answer>"}},
    // DeepSeek-R1, QwQ, Qwen3, SmolLM3, GLM, Nemotron and most others. Older templates only cut
    // the reasoning out of earlier turns, and so know the closing marker alone.
    {.name = "think", .opens = {"<think>"}, .closes = {"</think>"}, .evidence = {"</think>"}},
};

}  // namespace

const ReasoningFormat* FindReasoningFormat(std::string_view template_source) {
  for (const ReasoningFormat& format : kFormats) {
    const bool fits =
        std::all_of(format.evidence.begin(), format.evidence.end(), [&](std::string_view text) {
          return text.empty() || template_source.find(text) != std::string_view::npos;
        });
    if (fits) return &format;
  }
  return nullptr;
}

std::span<const ReasoningFormat> ReasoningFormats() { return kFormats; }

}  // namespace spillway
