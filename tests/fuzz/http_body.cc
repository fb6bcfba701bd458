// What follows a head that announced chunks. However it is cut, the same body comes of it, within
// the limits.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/check.h"
#include "server/http/body_decoder.h"

namespace {

using spillway::BodyDecoder;

struct Result {
  std::string body;
  bool done = false;
  int status = 0;
  size_t taken = 0;
};

Result Decode(std::string_view bytes, size_t piece, const spillway::HttpLimits& limits) {
  spillway::RequestHead head;
  head.chunked = true;
  BodyDecoder decoder(head, limits);
  Result result;
  while (result.taken < bytes.size() && !decoder.done() && !decoder.refused()) {
    const size_t taken = decoder.Decode(bytes.substr(result.taken, piece), result.body);
    CHECK(taken > 0);
    result.taken += taken;
    CHECK(result.body.size() <= limits.body_bytes_max);
  }
  result.done = decoder.done();
  if (decoder.refused()) result.status = decoder.refusal().status;
  CHECK(result.status == 0 || result.status == 400 || result.status == 413);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  spillway::HttpLimits limits;
  limits.body_bytes_max = 500;
  limits.chunk_line_bytes_max = 60;
  limits.chunk_overhead_bytes_max = 100;
  limits.fields_max = 5;
  const Result whole = Decode(bytes, std::max<size_t>(1, size), limits);
  for (const size_t piece : {1, 2, 5, 17}) {
    const Result cut = Decode(bytes, piece, limits);
    CHECK(cut.done == whole.done && cut.status == whole.status);
    if (whole.status == 0) CHECK(cut.body == whole.body && cut.taken == whole.taken);
  }
  return 0;
}
