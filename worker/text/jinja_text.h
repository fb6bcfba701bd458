#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "worker/text/tokenizer.h"

namespace spillway::jinja {

// A string that knows which of its bytes were written by the template's author and which came in
// with the request. Everything that templates do to strings is made of these operations, so the
// knowledge survives concatenation, slicing, replacement and the rest. What is unsure is untrusted.
class Text {
 public:
  static Text Trusted(std::string bytes);
  static Text Untrusted(std::string bytes);

  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  // Sorted, disjoint, none empty, none touching the next.
  const std::vector<TextRange>& trusted() const { return trusted_; }

  // Escaped for HTML already, as the filters safe and escape leave it: what it is joined with by an
  // operator or a method of its own is escaped too. Parts of it and its methods' results are
  // markup; what several texts are put together in isn't.
  bool is_markup() const { return is_markup_; }
  void set_markup(bool is = true) { is_markup_ = is; }

  void AppendTrusted(std::string_view bytes);
  void AppendUntrusted(std::string_view bytes) { bytes_ += bytes; }
  // The bytes [begin, end) of `other`, which may not be *this.
  void Append(const Text& other, size_t begin, size_t end);
  void Append(const Text& other) { Append(other, 0, other.size()); }

  Text Substring(size_t begin, size_t end) const;

 private:
  void AddRange(TextRange range);

  std::string bytes_;
  std::vector<TextRange> trusted_;
  bool is_markup_ = false;
};

}  // namespace spillway::jinja
