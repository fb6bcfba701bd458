#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// What one rendering may cost. Going over it is remembered: operations go on with whatever they are
// doing, which is short, and the interpreter stops at its next step.
class Budget {
 public:
  Budget(int64_t steps_max, size_t string_bytes_max)
      : steps_left_(steps_max), string_bytes_max_(string_bytes_max) {}

  // A step is an evaluated node or element, some kilobytes moved or compared, or some characters
  // looked at.
  void Charge(int64_t steps) { steps_left_ -= steps; }
  void ChargeBytes(size_t bytes) { Charge(static_cast<int64_t>(bytes / kStepBytes)); }
  // For looking at each character of a value, if it is a string.
  void ChargeText(const Value& value) {
    if (value.string() != nullptr) {
      Charge(static_cast<int64_t>(value.string()->size() / kStepCharacters));
    }
  }
  void AddLive(size_t bytes) { live_bytes_ += bytes; }
  void RemoveLive(size_t bytes) { live_bytes_ -= bytes; }

  // The longest string.
  size_t string_bytes_max() const { return string_bytes_max_; }

  // Lists, dicts and the like, which live as long as the rendering.
  void AddContainer(size_t bytes) { container_bytes_ += bytes; }

  bool exhausted() const {
    return steps_left_ < 0 || live_bytes_ > kLiveBytesMin + kLiveStrings * string_bytes_max_ ||
           container_bytes_ > kContainerBytesMax;
  }
  // RESOURCE_EXHAUSTED when exhausted.
  absl::Status Check() const;

 private:
  static constexpr size_t kStepBytes = 4096;
  static constexpr size_t kStepCharacters = 64;
  static constexpr size_t kLiveStrings = 4;           // of the longest size, at one time
  static constexpr size_t kLiveBytesMin = 64u << 10;  // and so much for small ones
  static constexpr size_t kContainerBytesMax = 256u << 20;

  int64_t steps_left_;
  const size_t string_bytes_max_;
  size_t live_bytes_ = 0;
  size_t container_bytes_ = 0;
};

// The variables of a block of the template; those of the blocks around it are in `parent`.
struct Scope {
  Scope* parent = nullptr;
  bool captured = false;  // something may look at it later: a macro, or a loop that is called again
  std::vector<std::pair<std::string_view, Value>> variables;  // names live as long as the template

  // Here only; null: not there.
  Value* FindHere(std::string_view name);
  // Here or further out.
  Value* Find(std::string_view name);
  void Set(std::string_view name, Value value);
  // It and all around it are going to be looked at later.
  void Capture();
};

// Owns all containers, objects and scopes of one rendering, and ends with it: values may refer to
// each other in circles. Not thread-safe.
class Heap {
 public:
  explicit Heap(Budget& budget) : budget_(budget) {}

  Budget& budget() { return budget_; }

  Value NewString(Text text);
  Value Untrusted(std::string bytes) { return NewString(Text::Untrusted(std::move(bytes))); }
  Value NewSequence(Sequence::Flavor flavor, std::vector<Value> items);
  Value NewList(std::vector<Value> items) {
    return NewSequence(Sequence::Flavor::kList, std::move(items));
  }
  Dict* NewDict();
  Scope* NewScope(Scope* parent);
  // Takes back a scope that was just used, unless it was captured.
  void Recycle(Scope* scope);
  template <typename T, typename... Parameters>
  T* NewObject(Parameters&&... parameters) {
    budget_.AddContainer(sizeof(T) + kAllocationBytes);
    auto object = std::make_unique<T>(std::forward<Parameters>(parameters)...);
    T* const pointer = object.get();
    objects_.push_back(std::move(object));
    return pointer;
  }

 private:
  static constexpr size_t kAllocationBytes = 32;  // about what an allocation costs beside its size

  Budget& budget_;
  std::vector<Scope*> free_scopes_;
  std::deque<Sequence> sequences_;
  std::deque<Dict> dicts_;
  std::deque<Scope> scopes_;
  std::vector<std::unique_ptr<Object>> objects_;
};

// A scope for as long as a block runs.
class BlockScope {
 public:
  BlockScope(Heap& heap, Scope* parent) : heap_(heap), scope_(heap.NewScope(parent)) {}
  ~BlockScope() { heap_.Recycle(scope_); }
  BlockScope(const BlockScope&) = delete;
  BlockScope& operator=(const BlockScope&) = delete;

  Scope* get() const { return scope_; }
  Scope* operator->() const { return scope_; }

 private:
  Heap& heap_;
  Scope* const scope_;
};

// Builds one string and stops growing at the budget's longest.
class TextBuilder {
 public:
  explicit TextBuilder(Heap& heap) : heap_(heap) {}

  void Append(const Text& text) { Append(text, 0, text.size()); }
  void Append(const Text& text, size_t begin, size_t end) {
    if (Fits(end - begin)) text_.Append(text, begin, end);
  }
  void AppendTrusted(std::string_view bytes) {
    if (Fits(bytes.size())) text_.AppendTrusted(bytes);
  }
  void AppendUntrusted(std::string_view bytes) {
    if (Fits(bytes.size())) text_.AppendUntrusted(bytes);
  }

  void SetMarkup() { text_.set_markup(); }

  const Text& text() const { return text_; }
  // How many bytes more it takes.
  size_t room() const { return heap_.budget().string_bytes_max() - text_.size(); }

  // RESOURCE_EXHAUSTED when something didn't fit.
  absl::Status Check() const;
  absl::StatusOr<Value> Finish();

 private:
  bool Fits(size_t bytes) {
    overflow_ |= bytes > room();
    return !overflow_;
  }

  Heap& heap_;
  Text text_;
  bool overflow_ = false;
};

}  // namespace spillway::jinja
