#pragma once

#include <string>
#include <vector>

namespace spillway {

// What an output must be, as the request spells it.
struct GrammarSource {
  enum class Kind {
    kJsonSchema,     // `text`: a JSON text that the schema, itself JSON text, accepts
    kJsonObject,     // any JSON object
    kRegex,          // `text`: matched as a whole
    kChoice,         // one of `choices`
    kGrammar,        // `text`: EBNF as GBNF has it, with the rule `root`
    kStructuralTag,  // `text`: XGrammar's, JSON text
  };
  Kind kind = Kind::kJsonObject;
  std::string text = {};
  std::vector<std::string> choices = {};

  friend bool operator==(const GrammarSource&, const GrammarSource&) = default;
};

}  // namespace spillway
