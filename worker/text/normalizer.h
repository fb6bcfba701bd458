#pragma once

#include <span>

#include "absl/status/statusor.h"
#include "worker/text/labeled_text.h"
#include "worker/text/text_change.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Changes a text as the steps of a tokenizer's file say, one after the other. Bytes that are no
// UTF-8 pass unchanged, and no step acts across them. Immutable: any thread may use it at once.
class Normalizer {
 public:
  // INVALID_ARGUMENT, UNIMPLEMENTED: a pattern or a charsmap that can't be used.
  static absl::StatusOr<Normalizer> Create(std::span<const NormalizerStep> steps);

  // Without steps: it does nothing to any text.
  bool empty() const { return changes_.empty(); }

  LabeledText Normalize(LabeledText text) const;

 private:
  explicit Normalizer(TextChanges changes) : changes_(std::move(changes)) {}

  TextChanges changes_;
};

}  // namespace spillway
