// Runs a fuzz target without libFuzzer: every file of a corpus as it is, cut short, and changed in
// ways that only a seed decides. Finds what a fuzzer found before, and the shallow rest, in
// seconds.
//
// usage: fuzz_NAME CORPUS_FOLDER

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr int kCutsPerFile = 64;
constexpr int kMutationsPerFile = 256;
constexpr int kChangesMax = 4;                 // in one mutation
constexpr size_t kMutatedBytesMax = 64 << 10;  // larger files run as they are

Bytes ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

void Run(const Bytes& bytes) {
  // A copy of the exact size, so that the address sanitizer sees one byte too far.
  const Bytes exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

// One byte or bit, or a run of bytes, changed, taken out or doubled.
void Change(Bytes& bytes, std::mt19937_64& random) {
  if (bytes.empty()) return;
  const auto at = static_cast<std::ptrdiff_t>(random() % bytes.size());
  const auto rest = static_cast<std::ptrdiff_t>(bytes.size()) - at;
  const auto length = 1 + static_cast<std::ptrdiff_t>(random() % 8) % rest;
  switch (random() % 4) {
    case 0:
      bytes[static_cast<size_t>(at)] = static_cast<uint8_t>(random());
      break;
    case 1:
      bytes[static_cast<size_t>(at)] ^= static_cast<uint8_t>(1u << random() % 8);
      break;
    case 2:
      bytes.erase(bytes.begin() + at, bytes.begin() + at + length);
      break;
    default: {
      const Bytes run(bytes.begin() + at, bytes.begin() + at + length);
      bytes.insert(bytes.begin() + at, run.begin(), run.end());
    }
  }
}

void RunVariants(const Bytes& bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < kCutsPerFile && !bytes.empty(); ++i) {
    Run(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(random() % bytes.size())));
  }
  for (int i = 0; i < kMutationsPerFile; ++i) {
    Bytes changed = bytes;
    for (uint64_t left = 1 + random() % kChangesMax; left > 0; --left) Change(changed, random);
    Run(changed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  Run({});
  for (size_t i = 0; i < paths.size(); ++i) {
    const Bytes bytes = ReadFile(paths[i]);
    std::printf("%s, %zu bytes, seed %zu\n", paths[i].c_str(), bytes.size(), i);
    std::fflush(stdout);
    Run(bytes);
    if (bytes.size() <= kMutatedBytesMax) RunVariants(bytes, i);
  }
  if (paths.empty()) std::fprintf(stderr, "%s holds no files\n", argv[1]);
  return paths.empty() ? 1 : 0;
}
