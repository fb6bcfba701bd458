#include "tests/support/tiny_model_files.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "common/check.h"
#include "nlohmann/json.hpp"
#include "worker/model/gguf.h"

namespace spillway {

std::string TinyModelsFolder() {
  if (const char* const path = std::getenv("SPILLWAY_TINY_MODELS")) return path;
  return SPILLWAY_SOURCE_DIR "/tests/worker/model/testdata/tiny";
}

std::vector<std::string> TinyModelNames() {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(TinyModelsFolder(), none)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TinyModelFiles::TinyModelFiles(const std::string& name) {
  const std::string folder = TinyModelsFolder() + "/" + name;
  auto file = GgufFile::Open(folder + "/model.gguf");
  CHECK(file.ok());
  auto read = ModelSpecFromGguf(**file);
  CHECK(read.ok());
  spec = *std::move(read);
  tensors = *std::move(file);
  std::ifstream stream(folder + "/expected.json");
  const nlohmann::json json = nlohmann::json::parse(stream);
  json["tokens"].get_to(tokens);
  json["columns"].get_to(columns);
  json["logits"].get_to(logits);
}

}  // namespace spillway
