#include "tests/support/byte_vocabulary.h"

namespace spillway {
namespace {

void AppendUtf8(int code_point, std::string& out) {
  if (code_point < 0x80) {
    out.push_back(static_cast<char>(code_point));
  } else {
    out.push_back(static_cast<char>(0xC0 | (code_point >> 6)));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  }
}

// GPT-2's mapping of bytes to printable characters, as byte-level vocabularies are written in.
std::string PrintableOf(int byte) {
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  int code_point = byte;
  if (!printable(byte)) {
    code_point = 256;
    for (int b = 0; b < byte; ++b) code_point += printable(b) ? 0 : 1;
  }
  std::string text;
  AppendUtf8(code_point, text);
  return text;
}

}  // namespace

TokenizerSpec ByteVocabulary() {
  TokenizerSpec spec;
  spec.pre_tokenizer = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) spec.tokens.push_back(PrintableOf(byte));
  spec.types.assign(256, TokenizerSpec::TokenType::kNormal);
  for (const char* control : {"<|end|>", "<|start|>"}) {
    spec.tokens.push_back(control);
    spec.types.push_back(TokenizerSpec::TokenType::kControl);
  }
  spec.eos = kByteVocabularyEnd;
  spec.end_of_text = {kByteVocabularyEnd};
  return spec;
}

}  // namespace spillway
