#include "worker/grammar/token_grammar.h"

#include <dlpack/dlpack.h>
#include <xgrammar/compiler.h>
#include <xgrammar/matcher.h>
#include <xgrammar/tokenizer_info.h>

#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

constexpr char kAnyObject[] = R"({"type":"object","additionalProperties":true})";

// Its errors begin with a time and a place in its source.
std::string Message(const std::exception& error) {
  std::string text = error.what();
  const size_t place = text.find(".cc:");
  if (place == std::string::npos) return text;
  const size_t begin = text.find(": ", place);
  return begin == std::string::npos ? text : text.substr(begin + 2);
}

// One of the texts, as EBNF.
std::string ChoiceGrammar(const std::vector<std::string>& choices) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string grammar = "root ::= ";
  for (size_t i = 0; i < choices.size(); ++i) {
    grammar += i == 0 ? "\"" : " | \"";
    for (const char byte : choices[i]) {
      const auto code = static_cast<unsigned char>(byte);
      if (byte == '"' || byte == '\\') {
        grammar += '\\';
        grammar += byte;
      } else if (code < 0x20 || code == 0x7f) {
        grammar += "\\u00";
        grammar += kHex[code / 16];
        grammar += kHex[code % 16];
      } else {
        grammar += byte;
      }
    }
    grammar += '"';
  }
  return grammar;
}

absl::Status TooLong(size_t bytes, size_t bytes_max) {
  return absl::InvalidArgumentError(absl::StrCat("has ", bytes, " bytes, at most ", bytes_max));
}

}  // namespace

class TokenGrammar::Impl {
 public:
  explicit Impl(xgrammar::CompiledGrammar compiled) : grammar(std::move(compiled)) {}
  const xgrammar::CompiledGrammar grammar;
};

TokenGrammar::TokenGrammar(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
TokenGrammar::~TokenGrammar() = default;

size_t TokenGrammar::bytes() const { return impl_->grammar.MemorySizeBytes(); }

class GrammarCompiler::Impl {
 public:
  Impl(const Tokenizer& tokenizer, const TokenGrammarLimits& limits)
      : tokenizer_(tokenizer), limits_(limits) {}

  absl::Status Check(const GrammarSource& source) const {
    switch (source.kind) {
      case GrammarSource::Kind::kJsonSchema:
        return PrepareJsonSchema(source.text, limits_.schema).status();
      case GrammarSource::Kind::kJsonObject:
        return absl::OkStatus();
      case GrammarSource::Kind::kChoice: {
        size_t bytes = 0;
        for (const std::string& choice : source.choices) bytes += choice.size();
        if (source.choices.empty() || source.choices.size() > limits_.choices_max) {
          return absl::InvalidArgumentError(absl::StrCat("must be 1 to ", limits_.choices_max,
                                                         " texts, not ", source.choices.size()));
        }
        return bytes > limits_.text_bytes_max ? TooLong(bytes, limits_.text_bytes_max)
                                              : absl::OkStatus();
      }
      case GrammarSource::Kind::kRegex:
      case GrammarSource::Kind::kGrammar:
        return source.text.size() > limits_.text_bytes_max
                   ? TooLong(source.text.size(), limits_.text_bytes_max)
                   : absl::OkStatus();
      case GrammarSource::Kind::kStructuralTag:
        return source.text.size() > limits_.tag_bytes_max
                   ? TooLong(source.text.size(), limits_.tag_bytes_max)
                   : absl::OkStatus();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<const TokenGrammar>> Compile(const GrammarSource& source) {
    RETURN_IF_ERROR(Check(source));
    try {
      xgrammar::CompiledGrammar compiled = CompileChecked(source);
      return std::make_shared<const TokenGrammar>(
          std::make_unique<const TokenGrammar::Impl>(std::move(compiled)));
    } catch (const std::exception& error) {
      return absl::InvalidArgumentError(Message(error));
    }
  }

 private:
  xgrammar::CompiledGrammar CompileChecked(const GrammarSource& source) {
    xgrammar::GrammarCompiler& compiler = Compiler();
    const auto compile_schema = [&compiler](const std::string& schema) {
      return compiler.CompileJSONSchema(schema, /*any_whitespace=*/true, std::nullopt, std::nullopt,
                                        /*strict_mode=*/false);
    };
    switch (source.kind) {
      case GrammarSource::Kind::kJsonSchema:
        return compile_schema(PrepareJsonSchema(source.text, limits_.schema).value());
      case GrammarSource::Kind::kJsonObject:
        return compile_schema(kAnyObject);
      case GrammarSource::Kind::kRegex:
        return compiler.CompileRegex(source.text);
      case GrammarSource::Kind::kChoice:
        return compiler.CompileGrammar(ChoiceGrammar(source.choices), "root");
      case GrammarSource::Kind::kGrammar:
        return compiler.CompileGrammar(source.text, "root");
      case GrammarSource::Kind::kStructuralTag:
        return compiler.CompileStructuralTag(source.text);
    }
    CHECK(false);
  }

  xgrammar::GrammarCompiler& Compiler() {
    if (!compiler_.has_value()) {
      // Control tokens are no text: what has none is never allowed.
      std::vector<std::string> vocabulary(static_cast<size_t>(tokenizer_.vocabulary_size()));
      for (TokenId token = 0; token < tokenizer_.vocabulary_size(); ++token) {
        if (!tokenizer_.IsControl(token)) {
          vocabulary[static_cast<size_t>(token)] = tokenizer_.TokenBytes(token);
        }
      }
      const std::vector<int32_t> ends(tokenizer_.end_of_text().begin(),
                                      tokenizer_.end_of_text().end());
      const xgrammar::TokenizerInfo info(vocabulary, xgrammar::VocabType::RAW,
                                         tokenizer_.vocabulary_size(), ends);
      // One thread: the others compute steps.
      compiler_.emplace(info, /*max_threads=*/1, /*cache_enabled=*/false);
    }
    return *compiler_;
  }

  const Tokenizer& tokenizer_;
  const TokenGrammarLimits limits_;
  std::optional<xgrammar::GrammarCompiler> compiler_;
};

GrammarCompiler::GrammarCompiler(const Tokenizer& tokenizer, const TokenGrammarLimits& limits)
    : impl_(std::make_unique<Impl>(tokenizer, limits)) {}
GrammarCompiler::~GrammarCompiler() = default;

absl::Status GrammarCompiler::Check(const GrammarSource& source) const {
  return impl_->Check(source);
}

absl::StatusOr<std::shared_ptr<const TokenGrammar>> GrammarCompiler::Compile(
    const GrammarSource& source) {
  return impl_->Compile(source);
}

class TokenMatcher::Impl {
 public:
  Impl(std::shared_ptr<const TokenGrammar> grammar, std::span<const TokenId> ends)
      : grammar_(std::move(grammar)),
        matcher_(grammar_->impl().grammar, std::vector<int>(ends.begin(), ends.end())) {}

  const std::shared_ptr<const TokenGrammar> grammar_;
  xgrammar::GrammarMatcher matcher_;
};

TokenMatcher::TokenMatcher(std::shared_ptr<const TokenGrammar> grammar,
                           std::span<const TokenId> ends)
    : impl_(std::make_unique<Impl>(std::move(grammar), ends)) {}
TokenMatcher::~TokenMatcher() = default;

bool TokenMatcher::Accept(TokenId token) { return impl_->matcher_.AcceptToken(token); }

bool TokenMatcher::AcceptText(std::string_view text) {
  return text.empty() || impl_->matcher_.AcceptString(std::string(text));
}

void TokenMatcher::FillMask(std::span<int32_t> mask) {
  int64_t shape[] = {1, static_cast<int64_t>(mask.size())};
  DLTensor tensor = {};
  tensor.data = mask.data();
  tensor.device = {kDLCPU, 0};
  tensor.ndim = 2;
  tensor.dtype = xgrammar::GetBitmaskDLType();
  tensor.shape = shape;
  // False: all are allowed, and the mask is as it was.
  if (!impl_->matcher_.FillNextTokenBitmask(&tensor)) {
    for (int32_t& word : mask) word = -1;
  }
}

bool TokenMatcher::ended() const { return impl_->matcher_.IsTerminated(); }

}  // namespace spillway
