#include "worker/model/printable_name.h"

#include "absl/strings/escaping.h"

namespace spillway {

std::string PrintableName(std::string_view text) {
  constexpr size_t kShownBytes = 80;
  std::string shown = absl::CHexEscape(std::string(text.substr(0, kShownBytes)));
  if (text.size() > kShownBytes) shown += "...";
  return shown;
}

}  // namespace spillway
