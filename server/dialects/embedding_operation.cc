#include "server/dialects/embedding_operation.h"

#include <charconv>
#include <cmath>
#include <utility>

namespace spillway {

EmbeddingOperation::EmbeddingOperation(EmbeddingRequest request, Format format, RouterShard& shard,
                                       ResponseWriter& writer)
    : format_(std::move(format)),
      shard_(shard),
      writer_(writer),
      request_(shard_.Embed(std::move(request), *this)) {}

EmbeddingOperation::~EmbeddingOperation() {
  if (request_) shard_.Cancel(*request_);
}

void EmbeddingOperation::OnEmbedded(const EmbeddingAnswer& answer) {
  request_.reset();
  writer_.Send(format_.answer(answer));
}

void EmbeddingOperation::OnEmbeddingFailed(const GenerateError& error) {
  request_.reset();
  writer_.Send(format_.error(error));
}

void AppendNumbers(const std::vector<float>& numbers, std::string& out) {
  out += '[';
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0) out += ',';
    // JSON has no word for what isn't a number.
    char digits[32];
    const float number = std::isfinite(numbers[i]) ? numbers[i] : 0.0f;
    out.append(digits, std::to_chars(digits, digits + sizeof(digits), number).ptr);
  }
  out += ']';
}

}  // namespace spillway
