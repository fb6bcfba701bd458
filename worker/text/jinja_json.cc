#include "worker/text/jinja_json.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace spillway::jinja {
namespace {

// Builds values from nlohmann's events, without a document in between.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(int depth_max, Heap& heap) : depth_max_(depth_max), heap_(heap) {}

  const Value& result() const { return result_; }
  const std::string& error() const { return error_; }

  bool null() override { return Add(None{}); }
  bool boolean(bool value) override { return Add(Value::Bool(value)); }
  bool number_integer(int64_t value) override { return Add(Value::Int(value)); }
  bool number_unsigned(uint64_t value) override {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Add(std::make_shared<const BigInteger>(BigInteger{std::to_string(value)}));
    }
    return Add(Value::Int(static_cast<int64_t>(value)));
  }
  bool number_float(double value, const std::string& text) override {
    if (text.find_first_not_of("-0123456789") == std::string::npos) {
      return Add(std::make_shared<const BigInteger>(BigInteger{text}));
    }
    return Add(Value::Float(value));
  }
  bool string(std::string& value) override { return Add(heap_.Untrusted(std::move(value))); }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return false; }
  bool start_object(size_t /*size*/) override { return Open(heap_.NewDict()); }
  bool key(std::string& value) override {
    keys_.back() = heap_.Untrusted(std::move(value));
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(size_t /*size*/) override { return Open(heap_.NewList({})); }
  bool end_array() override { return Close(); }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& /*exception*/) override {
    error_ = absl::StrCat("not JSON at byte ", position);
    return false;
  }

 private:
  bool Add(const Value& value) {
    heap_.budget().Charge(1);
    if (heap_.budget().exhausted()) return false;
    if (open_.empty()) {
      result_ = value;
    } else if (Sequence* const list = open_.back().sequence()) {
      list->items.push_back(value);
    } else {
      open_.back().dict()->Set(keys_.back(), value);
    }
    return true;
  }

  bool Open(const Value& container) {
    if (std::ssize(open_) == depth_max_) {
      error_ = absl::StrCat("JSON nested deeper than ", depth_max_);
      return false;
    }
    if (!Add(container)) return false;
    open_.push_back(container);
    keys_.emplace_back();
    return true;
  }

  bool Close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  const int depth_max_;
  Heap& heap_;
  Value result_;
  std::string error_;
  std::vector<Value> open_;  // the containers around what comes next
  std::vector<Value> keys_;  // where in each of them it belongs, if it is a dict
};

}  // namespace

absl::StatusOr<Value> ParseJson(std::string_view json, int depth_max, Heap& heap) {
  Builder builder(depth_max, heap);
  try {
    if (nlohmann::json::sax_parse(json, &builder)) return builder.result();
  } catch (const nlohmann::json::exception& exception) {
    return absl::InvalidArgumentError(exception.what());
  }
  RETURN_IF_ERROR(heap.budget().Check());
  return absl::InvalidArgumentError(builder.error());
}

}  // namespace spillway::jinja
