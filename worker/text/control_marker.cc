#include "worker/text/control_marker.h"

namespace spillway {
namespace {

bool IsBetween(std::string_view text, std::string_view begin, std::string_view end) {
  return text.size() > begin.size() + end.size() && text.starts_with(begin) && text.ends_with(end);
}

}  // namespace

bool LooksLikeControl(std::string_view text) {
  return IsBetween(text, "<|", "|>") || IsBetween(text, "<｜", "｜>");
}

}  // namespace spillway
