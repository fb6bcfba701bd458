#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// Cuts a text into the pieces that byte-pair merges never cross.
//
// A family of models is a row of the table in the .cc: regular expressions that are applied one
// after the other, each to the pieces that the one before left. What an expression matches becomes
// a piece, and so does what lies between two matches.
//
// Bytes that are not UTF-8 are pieces of their own: the valid runs between them are cut as if each
// were a text by itself.
//
// Immutable after Create(): any thread may use it at once.
class PreTokenizer {
 public:
  // `name` as GGUF's tokenizer.ggml.pre has it. UNIMPLEMENTED names the unknown one and the known.
  static absl::StatusOr<std::unique_ptr<PreTokenizer>> Create(std::string_view name);
  ~PreTokenizer();

  // Appends the pieces of `text` in order: not empty, together all of it.
  void Split(std::string_view text, std::vector<std::string_view>& pieces) const;

  // A piece that is a token as a whole is taken without merging (Llama 3's `ignore_merges`).
  bool whole_pieces_first() const;

 private:
  class Impl;
  explicit PreTokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
