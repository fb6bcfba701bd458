#pragma once

#include <memory>
#include <vector>

#include "worker/text/labeled_text.h"

namespace spillway {

// One change to a text: a step of a normalizer. Bytes that are no UTF-8 pass unchanged. Immutable:
// any thread may use it at once.
class TextChange {
 public:
  virtual ~TextChange() = default;
  virtual LabeledText Apply(const LabeledText& text) const = 0;
};

using TextChanges = std::vector<std::unique_ptr<const TextChange>>;

}  // namespace spillway
