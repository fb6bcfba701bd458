#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/byte_alphabet.h"
#include "worker/text/split_pattern.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// From tokens' texts, as a vocabulary has them, to text. Immutable: any thread may use it at once.
class TokenDecoder {
 public:
  // INVALID_ARGUMENT, UNIMPLEMENTED: a pattern that can't be used.
  static absl::StatusOr<TokenDecoder> Create(std::vector<DecoderStep> steps);

  // What tokenizers' decode() makes of them.
  std::string Decode(std::vector<std::string> texts) const;

  // What a token adds to a text, as far as that doesn't depend on where it stands: not the first,
  // not the last, and its neighbours are no bytes of its characters.
  std::string BytesOf(std::string_view text) const;

 private:
  // A step, and its pattern if it has one.
  struct Step {
    DecoderStep step;
    std::vector<SplitPattern> pattern;
  };

  explicit TokenDecoder(std::vector<Step> steps) : steps_(std::move(steps)) {}

  void Apply(const Step& step, std::vector<std::string>& texts) const;
  std::string DecodeByteLevel(const std::vector<std::string>& texts) const;

  std::vector<Step> steps_;
  ByteAlphabet alphabet_;
};

}  // namespace spillway
