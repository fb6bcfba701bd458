#include "common/model_name.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace spillway {
namespace {

char Lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsDigit);
}

// "q4_1", "q4_k_m", "iq2_xxs", "tq1_0", "q8_0", "f16", "bf16", "f32", "mxfp4", in lower case.
bool IsQuantisation(std::string_view word) {
  constexpr std::array<std::string_view, 6> kPlain = {"f16",  "f32",   "bf16",
                                                      "fp16", "mxfp4", "nvfp4"};
  if (std::find(kPlain.begin(), kPlain.end(), word) != kPlain.end()) return true;
  if (word.starts_with("iq") || word.starts_with("tq")) word.remove_prefix(1);
  // q, digits, and further words of letters and digits after underscores.
  if (word.size() < 4 || word[0] != 'q' || !IsDigit(word[1])) return false;
  const size_t underscore = word.find('_');
  return underscore != std::string_view::npos && AllDigits(word.substr(1, underscore - 1));
}

// The last part of a path, "c" of "a/b/c" and of "a/b/c/"; what is before it goes to `rest`.
std::string_view LastPart(std::string_view path, std::string_view& rest) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.find_last_of('/');
  rest = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// The part of a path that names the model.
std::string_view NamingPart(std::string_view path) {
  std::string_view above;
  const std::string_view part = LastPart(path, above);
  std::string_view repository = part;
  if (std::string_view below; LastPart(above, below) == "snapshots") {
    repository = LastPart(below, above);
  }
  constexpr std::string_view kRepository = "models--";  // then owner, "--", name
  if (!repository.starts_with(kRepository)) return part;
  repository.remove_prefix(kRepository.size());
  const size_t owner_end = repository.find("--");
  return owner_end == std::string_view::npos ? repository : repository.substr(owner_end + 2);
}

}  // namespace

std::string ModelNameFromPath(std::string_view path) {
  std::string file(NamingPart(path));
  std::transform(file.begin(), file.end(), file.begin(), Lower);
  std::string_view rest = file;
  if (rest.ends_with(".gguf")) rest.remove_suffix(5);
  rest.remove_suffix(PartNumberOf(rest).size());
  const size_t last_word = rest.find_last_of(".-");
  if (last_word != std::string_view::npos && IsQuantisation(rest.substr(last_word + 1))) {
    rest = rest.substr(0, last_word);
  }

  std::string name;
  for (const char c : rest) {
    const bool keep = (c >= 'a' && c <= 'z') || IsDigit(c) || c == '.' || c == '_';
    if (keep) {
      name += c;
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (!name.empty() && (name.back() == '-' || name.back() == '.')) name.pop_back();
  return name.empty() ? "model" : name;
}

std::string_view PartNumberOf(std::string_view name) {
  constexpr size_t kNumberBytes = 15;
  if (name.size() < kNumberBytes) return {};
  const std::string_view number = name.substr(name.size() - kNumberBytes);
  const bool is_part = number[0] == '-' && AllDigits(number.substr(1, 5)) &&
                       number.substr(6, 4) == "-of-" && AllDigits(number.substr(10));
  return is_part ? number : std::string_view();
}

}  // namespace spillway
