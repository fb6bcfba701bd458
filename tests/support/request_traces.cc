#include "tests/support/request_traces.h"

#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <functional>

#include "absl/strings/str_split.h"
#include "common/check.h"

namespace spillway {
namespace {

std::optional<std::string> ReadGz(const std::string& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return std::nullopt;
  std::string text;
  char buffer[1 << 16];
  int size = 0;
  while ((size = gzread(file, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(size));
  }
  CHECK(size == 0);
  gzclose(file);
  return text;
}

// `parse` gives false for lines that are no request.
std::optional<std::vector<TracedRequest>> Read(
    const std::string& path, size_t count,
    const std::function<bool(const std::string&, TracedRequest&)>& parse) {
  const std::optional<std::string> text = ReadGz(path);
  if (!text.has_value()) return std::nullopt;
  std::vector<TracedRequest> requests;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    TracedRequest request;
    if (requests.size() < count && parse(std::string(line), request)) requests.push_back(request);
  }
  CHECK(!requests.empty());
  const absl::Duration first = requests.front().arrival;
  for (TracedRequest& request : requests) request.arrival -= first;
  return requests;
}

}  // namespace

std::optional<std::vector<TracedRequest>> ReadAzureTrace(const std::string& gz_path, size_t count) {
  return Read(gz_path, count, [](const std::string& line, TracedRequest& request) {
    int day = 0, hour = 0, minute = 0;
    double second = 0;
    if (std::sscanf(line.c_str(), "%*d-%*d-%d %d:%d:%lf,%d,%d", &day, &hour, &minute, &second,
                    &request.prompt_tokens, &request.output_tokens) != 6) {
      return false;
    }
    request.arrival = absl::Hours(24 * day + hour) + absl::Minutes(minute) + absl::Seconds(second);
    return request.prompt_tokens > 0 && request.output_tokens > 0;
  });
}

std::optional<std::vector<TracedRequest>> ReadMooncakeTrace(const std::string& gz_path,
                                                            size_t count) {
  return Read(gz_path, count, [](const std::string& line, TracedRequest& request) {
    double ms = 0;
    if (std::sscanf(line.c_str(), R"({"timestamp": %lf, "input_length": %d, "output_length": %d)",
                    &ms, &request.prompt_tokens, &request.output_tokens) != 3) {
      return false;
    }
    request.arrival = absl::Milliseconds(ms);
    const size_t list = line.find('[');
    CHECK(list != std::string::npos);
    const char* at = line.c_str() + list + 1;
    for (char* end = nullptr; *at != ']' && *at != '\0'; at = *end == ',' ? end + 1 : end) {
      request.prefix_ids.push_back(std::strtoull(at, &end, 10));
    }
    return request.prompt_tokens > 0 && request.output_tokens > 0;
  });
}

}  // namespace spillway
