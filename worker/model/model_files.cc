#include "worker/model/model_files.h"

#include <sys/stat.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/model/gguf.h"
#include "worker/model/gguf_encoder.h"
#include "worker/model/gguf_parts.h"
#include "worker/model/gguf_tokenizer.h"
#include "worker/model/hf_config.h"
#include "worker/model/hf_decoder_tensors.h"
#include "worker/model/hf_encoder_tensors.h"
#include "worker/model/hf_text_files.h"
#include "worker/model/json_object.h"
#include "worker/model/model_folder.h"
#include "worker/model/safetensors_set.h"

namespace spillway {
namespace {

constexpr const char* kConfig = "config.json";

class GgufDecoder final : public DecoderFiles {
 public:
  GgufDecoder(std::unique_ptr<GgufFile> file, ModelSpec spec)
      : file_(std::move(file)), spec_(std::move(spec)) {}

  const ModelSpec& spec() const override { return spec_; }
  const TensorSource& tensors() const override { return *file_; }
  absl::StatusOr<TokenizerSpec> ReadTokenizer() const override {
    return TokenizerSpecFromGguf(*file_);
  }
  absl::StatusOr<ChatTemplateFiles> ReadChatTemplates(
      const TokenizerSpec& tokenizer) const override {
    ChatTemplateFiles files;
    ASSIGN_OR_RETURN(files.templates, ChatTemplatesFromGguf(*file_));
    for (const auto& [variable, id] :
         {std::pair("bos_token", tokenizer.bos), {"eos_token", tokenizer.eos}}) {
      if (id < 0) continue;
      files.tokens.push_back({.variable = variable, .text = tokenizer.tokens.at(id)});
    }
    return files;
  }
  absl::StatusOr<SamplingParams> ReadSamplingDefaults() const override { return SamplingParams(); }

 private:
  const std::unique_ptr<GgufFile> file_;
  const ModelSpec spec_;
};

class GgufEncoder final : public EncoderFiles {
 public:
  GgufEncoder(std::unique_ptr<GgufFile> file, EncoderSpec spec)
      : file_(std::move(file)), spec_(std::move(spec)) {}

  const EncoderSpec& spec() const override { return spec_; }
  const TensorSource& tensors() const override { return *file_; }
  absl::StatusOr<TokenizerSpec> ReadTokenizer() const override {
    return TokenizerSpecFromGguf(*file_);
  }

 private:
  const std::unique_ptr<GgufFile> file_;
  const EncoderSpec spec_;
};

class FolderDecoder final : public DecoderFiles {
 public:
  FolderDecoder(ModelFolder folder, ModelSpec spec, std::unique_ptr<TensorSource> tensors)
      : folder_(std::move(folder)), spec_(std::move(spec)), tensors_(std::move(tensors)) {}

  const ModelSpec& spec() const override { return spec_; }
  const TensorSource& tensors() const override { return *tensors_; }
  absl::StatusOr<TokenizerSpec> ReadTokenizer() const override {
    return ReadHfTokenizer(folder_, spec_.vocabulary_size);
  }
  absl::StatusOr<ChatTemplateFiles> ReadChatTemplates(
      const TokenizerSpec& /*tokenizer*/) const override {
    return ReadHfChatTemplates(folder_);
  }
  absl::StatusOr<SamplingParams> ReadSamplingDefaults() const override {
    return ReadHfSamplingDefaults(folder_);
  }

 private:
  const ModelFolder folder_;
  const ModelSpec spec_;
  const std::unique_ptr<TensorSource> tensors_;
};

class FolderEncoder final : public EncoderFiles {
 public:
  FolderEncoder(ModelFolder folder, EncoderSpec spec, std::unique_ptr<TensorSource> tensors)
      : folder_(std::move(folder)), spec_(std::move(spec)), tensors_(std::move(tensors)) {}

  const EncoderSpec& spec() const override { return spec_; }
  const TensorSource& tensors() const override { return *tensors_; }
  absl::StatusOr<TokenizerSpec> ReadTokenizer() const override {
    return ReadHfTokenizer(folder_, spec_.vocabulary_size);
  }

 private:
  const ModelFolder folder_;
  const EncoderSpec spec_;
  const std::unique_ptr<TensorSource> tensors_;
};

absl::StatusOr<ModelFiles> OpenHfFolder(ModelFolder folder) {
  ASSIGN_OR_RETURN(const std::string text, folder.ReadText(kConfig, JsonLimits::kBytesMax));
  ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Parse(text, kConfig));
  ModelFiles files;
  if (IsEncoder(config)) {
    ASSIGN_OR_RETURN(EncoderSpec spec, EncoderSpecFromFolder(folder, config));
    ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsSet> set, SafetensorsSet::Open(folder));
    ASSIGN_OR_RETURN(std::unique_ptr<TensorSource> tensors,
                     MakeHfEncoderTensors(std::move(set), text, spec));
    files.encoder =
        std::make_unique<FolderEncoder>(std::move(folder), std::move(spec), std::move(tensors));
    return files;
  }
  ASSIGN_OR_RETURN(ModelSpec spec, ModelSpecFromHfConfig(config));
  ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsSet> set, SafetensorsSet::Open(folder));
  ASSIGN_OR_RETURN(std::unique_ptr<TensorSource> tensors,
                   MakeHfDecoderTensors(std::move(set), text, spec));
  files.decoder =
      std::make_unique<FolderDecoder>(std::move(folder), std::move(spec), std::move(tensors));
  return files;
}

absl::StatusOr<ModelFiles> OpenGguf(const std::string& path) {
  ModelFiles files;
  ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  if (IsEncoder(*file)) {
    ASSIGN_OR_RETURN(EncoderSpec spec, EncoderSpecFromGguf(*file));
    files.encoder = std::make_unique<GgufEncoder>(std::move(file), std::move(spec));
    return files;
  }
  ASSIGN_OR_RETURN(ModelSpec spec, ModelSpecFromGguf(*file));
  files.decoder = std::make_unique<GgufDecoder>(std::move(file), std::move(spec));
  return files;
}

// Whether sorted names are all parts of one model: "NAME-00001-of-00003.gguf" and so on.
bool ArePartsOfOne(const std::vector<std::string>& names) {
  const auto count = static_cast<int64_t>(names.size());
  const std::string first = GgufPartSuffix(0, count);
  if (!names.front().ends_with(first)) return false;
  const std::string name = names.front().substr(0, names.front().size() - first.size());
  for (int64_t i = 0; i < count; ++i) {
    if (names[static_cast<size_t>(i)] != name + GgufPartSuffix(i, count)) return false;
  }
  return true;
}

absl::StatusOr<ModelFiles> OpenFolder(const std::string& path) {
  ASSIGN_OR_RETURN(ModelFolder folder, ModelFolder::Open(path));
  if (folder.Has(kConfig)) return OpenHfFolder(std::move(folder));
  const std::vector<std::string> files = folder.FilesEndingIn(".gguf");
  if (files.empty()) {
    return absl::NotFoundError(
        absl::StrCat("the folder has neither ", kConfig, " nor a .gguf file"));
  }
  if (files.size() > 1 && !ArePartsOfOne(files)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the folder has several .gguf files: ", absl::StrJoin(files, ", "), "; name one of them"));
  }
  RETURN_IF_ERROR(folder.PathOf(files.front()).status());
  return OpenGguf(absl::StrCat(path, path.ends_with('/') ? "" : "/", files.front()));
}

}  // namespace

absl::StatusOr<ModelFiles> OpenModelFiles(const std::string& path) {
  struct stat status = {};
  const bool is_folder = ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  absl::StatusOr<ModelFiles> files = is_folder ? OpenFolder(path) : OpenGguf(path);
  if (files.ok()) return files;
  return NamingModel(files.status(), path);
}

absl::Status NamingModel(const absl::Status& status, const std::string& path) {
  if (status.ok() || absl::StartsWith(status.message(), path)) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace spillway
