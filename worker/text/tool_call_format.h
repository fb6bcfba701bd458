#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace spillway {

// How a family of models writes calls of tools.
struct ToolCallFormat {
  enum class Syntax {
    kJson,    // {"name": "f", "arguments": {…}}, or an array of such
    kNamed,   // the name, `name_end`, then the object of arguments
    kPython,  // [f(a=1), g()]
  };
  using Markers = std::array<std::string_view, 2>;

  std::string_view name;  // "hermes", "mistral", …
  Syntax syntax = Syntax::kJson;
  // One of these stands before a call, or a row of calls. One that isn't used is empty.
  Markers opens;
  std::string_view close = {};  // stands behind, if it is not left out
  // Calls may also begin the content without a marker. Only those of known tools are then taken
  // for calls.
  bool bare = false;
  std::string_view separator = {};  // kJson: between calls that are in no array
  // kNamed: around each call of a row, if not empty; and what ends the name.
  std::string_view call_open = {};
  std::string_view call_close = {};
  std::string_view name_end = {};
  std::string_view id_begin = {};  // between the name and name_end may stand an id, behind this
  // A template that has one of these, of a request with tools, is of a model that writes so …
  std::array<std::string_view, 3> evidence = {};
  std::array<std::string_view, 2> counter_evidence = {};  // … but with none of these
};

// How calls may come in a sequence's output.
struct ToolCallStart {
  const ToolCallFormat* format = nullptr;  // null: none is looked for, all is content
  std::vector<std::string> tools;          // the names of the tools that there are
  bool one_call = false;                   // what comes behind the first call is of no interest
};

// The row whose evidence stands in the template; else the generic one, which takes JSON as most
// models write it that know no format of their own.
const ToolCallFormat& FindToolCallFormat(std::string_view template_source);

// All rows, for tests.
std::span<const ToolCallFormat> ToolCallFormats();

}  // namespace spillway
