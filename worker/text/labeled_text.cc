#include "worker/text/labeled_text.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace spillway {

void LabeledTextWriter::CopyTo(size_t end) {
  CHECK(at_ <= end && end <= from_.text.size());
  to_.text.append(from_.text, at_, end - at_);
  if (!from_.labels.empty()) {
    to_.labels.insert(to_.labels.end(), from_.labels.begin() + static_cast<ptrdiff_t>(at_),
                      from_.labels.begin() + static_cast<ptrdiff_t>(end));
  }
  at_ = end;
}

void LabeledTextWriter::ReplaceTo(size_t end, std::string_view with) {
  CHECK(at_ <= end && end <= from_.text.size());
  if (from_.labels.empty()) {
    to_.text += with;
    at_ = end;
    return;
  }
  while (at_ < end && !with.empty() && from_.text[at_] == with[0]) {
    CopyTo(at_ + 1);
    with.remove_prefix(1);
  }
  if (at_ == end) {
    Insert(with);
    return;
  }
  uint32_t label = from_.labels[at_];
  for (size_t i = at_; i < end; ++i) {
    if (from_.labels[i] != label) label = 0;
  }
  to_.text += with;
  to_.labels.resize(to_.text.size(), label);
  at_ = end;
}

void LabeledTextWriter::Insert(std::string_view text) {
  to_.text += text;
  if (from_.labels.empty()) return;
  to_.labels.resize(to_.text.size(), from_.labels[std::min(at_, from_.labels.size() - 1)]);
}

LabeledText LabeledTextWriter::Finish() {
  CopyTo(from_.text.size());
  return std::move(to_);
}

}  // namespace spillway
