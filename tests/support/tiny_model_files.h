#pragma once

#include <memory>
#include <string>
#include <vector>

#include "scheduler/types.h"
#include "worker/model/model_spec.h"
#include "worker/model/model_tensor.h"

namespace spillway {

// The tiny models of tests/worker/model/testdata/tiny, each an architecture, with the logits that
// transformers has for them (tools/make_tiny_models.py). SPILLWAY_TINY_MODELS names another folder:
// `make_tiny_models.py --random` makes some, a bundle carries them.
std::string TinyModelsFolder();
std::vector<std::string> TinyModelNames();

// Of GGUF file `name`; the process ends where it can't be read.
struct TinyModelFiles {
  explicit TinyModelFiles(const std::string& name);

  ModelSpec spec;
  std::unique_ptr<const TensorSource> tensors;
  std::vector<TokenId> tokens;
  std::vector<size_t> columns;
  std::vector<std::vector<double>> logits;  // [tokens, columns]
};

}  // namespace spillway
