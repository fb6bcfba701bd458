#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "worker/text/jinja_text.h"

// The values of a template as it is rendered: Python's, as far as templates can tell.

namespace spillway::jinja {

class Budget;
class Dict;
class Interpreter;
class Object;
struct Sequence;

// What a missing name or attribute gives: empty in a condition or as text, an error elsewhere.
// `name` is what was looked up, for the error; it lives as long as the template. Null: a subscript.
struct Undefined {
  const std::string* name = nullptr;
  bool refused = false;  // it is there, but templates may not have it
};
struct None {};

// An immutable string. `budget` counts the bytes while they live; null for those of the template.
struct StringCell {
  StringCell(Text the_text, Budget* the_budget);
  ~StringCell();
  StringCell(const StringCell&) = delete;
  StringCell& operator=(const StringCell&) = delete;

  const Text text;
  Budget* const budget;
};
using String = std::shared_ptr<const StringCell>;

// An integer beyond 64 bits, in decimal. It can be shown and compared for equality, not reckoned
// with.
struct BigInteger {
  std::string digits;
};

// Containers and objects belong to the rendering's Heap: a value refers to them, and like Python's
// they are shared and may contain themselves.
class Value {
 public:
  Value() = default;
  Value(Undefined undefined) : storage_(undefined) {}    // NOLINT(google-explicit-constructor)
  Value(None none) : storage_(none) {}                   // NOLINT(google-explicit-constructor)
  Value(String string) : storage_(std::move(string)) {}  // NOLINT(google-explicit-constructor)
  Value(std::shared_ptr<const BigInteger> integer) : storage_(std::move(integer)) {}  // NOLINT
  Value(Sequence* sequence) : storage_(sequence) {}  // NOLINT(google-explicit-constructor)
  Value(Dict* dict) : storage_(dict) {}              // NOLINT(google-explicit-constructor)
  Value(Object* object) : storage_(object) {}        // NOLINT(google-explicit-constructor)
  static Value Bool(bool value) { return Value(Storage(value)); }
  static Value Int(int64_t value) { return Value(Storage(value)); }
  static Value Float(double value) { return Value(Storage(value)); }

  bool is_undefined() const { return std::holds_alternative<Undefined>(storage_); }
  bool is_none() const { return std::holds_alternative<None>(storage_); }

  // Null when the value is of another kind.
  const Undefined* undefined() const { return std::get_if<Undefined>(&storage_); }
  const bool* boolean() const { return std::get_if<bool>(&storage_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&storage_); }
  const double* floating() const { return std::get_if<double>(&storage_); }
  const std::string* big_integer() const {
    const auto* big = std::get_if<std::shared_ptr<const BigInteger>>(&storage_);
    return big == nullptr ? nullptr : &(*big)->digits;
  }
  const Text* string() const {
    const String* string = std::get_if<String>(&storage_);
    return string == nullptr ? nullptr : &(*string)->text;
  }
  Sequence* sequence() const { return Pointer<Sequence>(); }
  Dict* dict() const { return Pointer<Dict>(); }
  Object* object() const { return Pointer<Object>(); }

  // The number that Python counts with: bools are 0 and 1. Nothing for a big integer.
  std::optional<int64_t> AsInteger() const;
  std::optional<double> AsNumber() const;

  bool IsTrue() const;

  // Python's name of the type.
  std::string TypeName() const;

 private:
  using Storage = std::variant<Undefined, None, bool, int64_t, double, String,
                               std::shared_ptr<const BigInteger>, Sequence*, Dict*, Object*>;
  explicit Value(Storage storage) : storage_(std::move(storage)) {}

  template <typename T>
  T* Pointer() const {
    T* const* pointer = std::get_if<T*>(&storage_);
    return pointer == nullptr ? nullptr : *pointer;
  }

  Storage storage_;
};

// Python's types that are one thing after another differ in few ways.
struct Sequence {
  enum class Flavor {
    kList,
    kTuple,
    kRange,
    kKeys,  // of a dict, as kValues and kItems: have a length, take no subscript
    kValues,
    kItems,
    kGenerator,  // what map, select and the like give: always true, no length, read once
    kGroup,      // of groupby: a tuple with the names grouper and list
  };
  Flavor flavor = Flavor::kList;
  std::vector<Value> items;
  // Of a range.
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;

  bool is_tuple() const { return flavor == Flavor::kTuple || flavor == Flavor::kGroup; }
  bool is_set_like() const { return flavor == Flavor::kKeys || flavor == Flavor::kItems; }
  bool is_view() const { return is_set_like() || flavor == Flavor::kValues; }
  bool has_subscript() const { return !is_view() && flavor != Flavor::kGenerator; }
};

// Whether Python could use it as a key: no list, no dict, nothing that holds one.
bool IsHashable(const Value& value);

// A dict in order of insertion.
class Dict {
 public:
  struct Entry {
    Value key;
    Value value;
  };

  const std::vector<Entry>& entries() const { return entries_; }

  // Null: not there, or a value that is no key.
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;

  // False: not hashable.
  bool Set(const Value& key, Value value);

 private:
  static constexpr size_t kScanMax = 8;  // entries; beyond it there is an index

  std::optional<size_t> IndexOf(const std::string& name) const;

  std::vector<Entry> entries_;
  std::vector<std::string> names_;                      // of the keys, equal exactly when they are
  absl::flat_hash_map<std::string, size_t> positions_;  // by name; empty up to kScanMax entries
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Whatever else a name can stand for: macros, functions, loops, namespaces.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string TypeName() const = 0;
  // str(), where it is not that of a Namespace.
  virtual std::string Repr() const { return "<" + TypeName() + ">"; }
  // Undefined: has no such attribute.
  virtual Value Attribute(Interpreter& interpreter, std::string_view name);
  virtual bool callable() const { return true; }
  virtual absl::StatusOr<Value> Call(Interpreter& interpreter, const Arguments& arguments);
};

}  // namespace spillway::jinja
