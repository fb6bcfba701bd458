#include "server/http/request_reader.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {
namespace {

constexpr char kTlsHandshake = 0x16;  // the first byte of a TLS connection

}  // namespace

size_t RequestReader::Read(std::string_view bytes) {
  size_t taken = 0;
  if (state_ == State::kEmpty || state_ == State::kHead) return ReadHead(bytes);
  if (state_ == State::kBody) {
    taken = decoder_->Decode(bytes, body_);
    OnBodyDecoded();
  }
  return taken;
}

void RequestReader::DiscardBody() {
  CHECK(state_ == State::kBody);
  ReleaseMemory(body_);
  decoder_->Discard();
  OnBodyDecoded();
}

// Line by line. Empty lines in front of a request are passed over: RFC 9112 section 2.2.
size_t RequestReader::ReadHead(std::string_view bytes) {
  size_t taken = 0;
  while (taken < bytes.size() && !head_ && state_ != State::kRefused) {
    const size_t end = bytes.find('\n', taken);
    const size_t count = (end == std::string_view::npos ? bytes.size() : end + 1) - taken;
    if (state_ == State::kEmpty && bytes[taken] == kTlsHandshake) {
      Refuse({400, "this is TLS, and this port speaks plain HTTP: use http://"});
      break;
    }
    state_ = State::kHead;
    if (head_text_.size() + count > limits_.head_bytes_max) {
      Refuse({431, absl::StrCat("the request line and headers are over ", limits_.head_bytes_max,
                                " bytes")});
      break;
    }
    head_text_.append(bytes.substr(taken, count));
    taken += count;
    if (end == std::string_view::npos) break;
    const std::string_view line =
        std::string_view(head_text_).substr(std::exchange(line_begin_, head_text_.size()));
    if (line.size() < 2 || line[line.size() - 2] != '\r') {
      Refuse({400, "a line of the request's head ends in LF alone instead of CR LF"});
    } else if (line.size() > 2) {
      continue;
    } else if (head_text_.size() == line.size()) {
      head_text_.clear();
      line_begin_ = 0;
      state_ = State::kEmpty;
    } else {
      OnHead();
    }
  }
  return taken;
}

void RequestReader::OnHead() {
  auto parsed = ParseRequestHead(head_text_, limits_);
  if (auto* refusal = std::get_if<RequestRefusal>(&parsed)) return Refuse(std::move(*refusal));
  head_ = std::move(std::get<RequestHead>(parsed));
  decoder_.emplace(*head_, limits_);
  state_ = State::kBody;
  OnBodyDecoded();
}

void RequestReader::OnBodyDecoded() {
  if (decoder_->refused()) Refuse(decoder_->refusal());
  if (decoder_->done()) state_ = State::kComplete;
}

void RequestReader::Refuse(RequestRefusal refusal) {
  state_ = State::kRefused;
  refusal_ = std::move(refusal);
}

}  // namespace spillway
