#include "worker/text/jinja_heap.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway::jinja {

absl::Status Budget::Check() const {
  if (steps_left_ < 0) {
    return absl::ResourceExhaustedError("the chat template takes more steps than the limit");
  }
  if (exhausted()) {
    return absl::ResourceExhaustedError("the chat template holds more text or data than the limit");
  }
  return absl::OkStatus();
}

namespace {

// What a string holds on to: its text, what is trusted of it, itself.
size_t LiveBytes(const Text& text) {
  return text.size() + text.trusted().size() * sizeof(TextRange) + sizeof(StringCell);
}

}  // namespace

StringCell::StringCell(Text the_text, Budget* the_budget)
    : text(std::move(the_text)), budget(the_budget) {
  if (budget == nullptr) return;
  constexpr size_t kStepRanges = 16;
  budget->ChargeBytes(text.size());
  budget->Charge(static_cast<int64_t>(text.trusted().size() / kStepRanges));
  budget->AddLive(LiveBytes(text));
}

StringCell::~StringCell() {
  if (budget != nullptr) budget->RemoveLive(LiveBytes(text));
}

Value* Scope::FindHere(std::string_view name) {
  for (auto& [key, value] : variables) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value* Scope::Find(std::string_view name) {
  for (Scope* scope = this; scope != nullptr; scope = scope->parent) {
    if (Value* const value = scope->FindHere(name); value != nullptr) return value;
  }
  return nullptr;
}

void Scope::Set(std::string_view name, Value value) {
  if (Value* const found = FindHere(name); found != nullptr) {
    *found = std::move(value);
  } else {
    variables.emplace_back(name, std::move(value));
  }
}

Value Heap::NewString(Text text) {
  return Value(std::make_shared<const StringCell>(std::move(text), &budget_));
}

Value Heap::NewSequence(Sequence::Flavor flavor, std::vector<Value> items) {
  budget_.Charge(static_cast<int64_t>(items.size()) + 1);
  budget_.AddContainer(sizeof(Sequence) + kAllocationBytes + items.size() * sizeof(Value));
  return Value(&sequences_.emplace_back(Sequence{flavor, std::move(items)}));
}

Dict* Heap::NewDict() {
  budget_.Charge(1);
  budget_.AddContainer(sizeof(Dict) + kAllocationBytes);
  return &dicts_.emplace_back();
}

Scope* Heap::NewScope(Scope* parent) {
  Scope* scope = nullptr;
  if (free_scopes_.empty()) {
    budget_.AddContainer(sizeof(Scope) + 2 * kAllocationBytes);
    scope = &scopes_.emplace_back();
  } else {
    scope = free_scopes_.back();
    free_scopes_.pop_back();
  }
  scope->parent = parent;
  return scope;
}

void Heap::Recycle(Scope* scope) {
  if (scope->captured) return;
  scope->variables.clear();
  free_scopes_.push_back(scope);
}

void Scope::Capture() {
  for (Scope* scope = this; scope != nullptr && !scope->captured; scope = scope->parent) {
    scope->captured = true;
  }
}

absl::Status TextBuilder::Check() const {
  if (!overflow_) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the chat template makes a text of more than ",
                                                   heap_.budget().string_bytes_max(), " bytes"));
}

absl::StatusOr<Value> TextBuilder::Finish() {
  RETURN_IF_ERROR(Check());
  return heap_.NewString(std::move(text_));
}

}  // namespace spillway::jinja
