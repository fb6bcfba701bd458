#include "server/dialects/openai_models.h"

#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "router/service.h"
#include "router/token_account.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/model_capabilities.h"
#include "server/dialects/openai_error.h"

namespace spillway {
namespace {

constexpr size_t kNamesShownMax = 50;  // in a message

struct Entry {
  std::string id;
  std::string json;
};

std::string ModelJson(const ModelInfo& model) {
  std::string out = "{\"id\":";
  AppendJsonString(out, model.name);
  // max_model_len is vLLM's name for it, which benchmarks and agents read.
  absl::StrAppend(&out, ",\"object\":\"model\",\"created\":", absl::ToUnixSeconds(model.created),
                  ",\"owned_by\":\"spillway\",\"max_model_len\":", model.context_tokens_max,
                  ",\"numerics_ids\":[");
  for (const std::string& id : model.numerics_ids) {
    if (out.back() != '[') out += ',';
    AppendJsonString(out, id);
  }
  absl::StrAppend(&out, "],\"capabilities\":", std::string(CapabilitiesJson(model)));
  if (model.embedding_size > 0) {
    absl::StrAppend(&out, ",\"embedding_size\":", model.embedding_size);
  }
  out += '}';
  return out;
}

std::string ModelJson(const std::string& id, const std::string& provider) {
  std::string out = "{\"id\":";
  AppendJsonString(out, id);
  out += ",\"object\":\"model\",\"created\":0,\"owned_by\":";
  AppendJsonString(out, provider);
  return out + "}";
}

// What one request may see: of its service, if it names one, and with its token.
struct Viewer {
  explicit Viewer(const HttpRequest& request)
      : service(request.service), account(request.account) {}
  std::string service;
  std::shared_ptr<TokenAccount> account;  // may be null
};

std::vector<Entry> EntriesOf(const Router& router, ProviderGateway* providers,
                             const Viewer& viewer) {
  std::vector<ModelInfo> models = router.Models();
  std::map<std::string, ProviderModel> elsewhere;
  if (providers != nullptr) {
    std::set<std::string> here;
    for (const ModelInfo& model : models) here.insert(model.name);
    for (ProviderModel& model : providers->models().Known()) {
      if (here.contains(model.id)) continue;
      models.push_back({.name = model.id, .architecture = model.provider});
      elsewhere.emplace(model.id, std::move(model));
    }
  }
  if (viewer.account != nullptr) models = viewer.account->Visible(std::move(models));
  if (!viewer.service.empty()) {
    std::erase_if(models, [&](const ModelInfo& model) {
      return !CheckModelOfService(viewer.service, model.name).ok();
    });
  }
  std::vector<Entry> entries;
  for (const ModelInfo& model : models) {
    const auto listed = elsewhere.find(model.name);
    if (listed != elsewhere.end() && !listed->second.json.empty()) {
      entries.push_back({model.name, listed->second.json});
    } else if (listed != elsewhere.end() || model.context_tokens_max == 0) {
      entries.push_back({model.name, ModelJson(model.name, model.architecture)});
    } else {
      entries.push_back({model.name, ModelJson(model)});
    }
  }
  return entries;
}

// Answers once the providers have said what they have.
class ModelsOperation : public HttpOperation {
 public:
  ModelsOperation(ProviderGateway& providers, std::function<void()> answer, ResponseWriter& writer)
      : writer_(writer), look_(providers.models().Begin([this, answer = std::move(answer)] {
          answered_ = true;
          answer();
        })) {
    if (look_ != nullptr) writer_.WakeAfter(kTick);
  }
  bool waits() const { return look_ != nullptr; }
  void OnWake() override {
    if (answered_) return;
    look_->Tick();
    if (!answered_) writer_.WakeAfter(kTick);
  }

 private:
  static constexpr absl::Duration kTick = absl::Seconds(1);
  ResponseWriter& writer_;
  bool answered_ = false;
  const std::unique_ptr<ProviderModels::Look> look_;
};

std::unique_ptr<HttpOperation> AnswerWhenKnown(ProviderGateway* providers,
                                               const std::function<void()>& answer,
                                               ResponseWriter& writer) {
  if (providers != nullptr) {
    auto operation = std::make_unique<ModelsOperation>(*providers, answer, writer);
    if (operation->waits()) return operation;
  }
  answer();
  return nullptr;
}

void SendNotFound(const std::string& name, const std::vector<Entry>& entries,
                  ResponseWriter& writer) {
  std::string known;
  for (size_t i = 0; i < entries.size() && i < kNamesShownMax; ++i) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", entries[i].id);
  }
  OpenAiError error = InvalidRequest(
      absl::StrCat("model \"", name,
                   "\" not found; this server has: ", known.empty() ? "none yet" : known),
      "model");
  error.status = 404;
  error.code = "model_not_found";
  writer.Send(ErrorResponse(error));
}

}  // namespace

std::unique_ptr<HttpOperation> ListOpenAiModels(const HttpRequest& request, const Router& router,
                                                ProviderGateway* providers,
                                                ResponseWriter& writer) {
  const auto answer = [viewer = Viewer(request), &router, providers, &writer] {
    HttpResponse response;
    response.body = "{\"object\":\"list\",\"data\":[";
    for (const Entry& entry : EntriesOf(router, providers, viewer)) {
      if (response.body.back() != '[') response.body += ',';
      response.body += entry.json;
    }
    response.body += "]}";
    writer.Send(std::move(response));
  };
  return AnswerWhenKnown(providers, answer, writer);
}

std::unique_ptr<HttpOperation> DescribeOpenAiModel(const HttpRequest& request, const Router& router,
                                                   ProviderGateway* providers,
                                                   ResponseWriter& writer) {
  const auto answer = [name = request.path_rest, viewer = Viewer(request), &router, providers,
                       &writer] {
    const std::vector<Entry> entries = EntriesOf(router, providers, viewer);
    for (const Entry& entry : entries) {
      if (entry.id == name) return writer.Send({.body = entry.json});
    }
    SendNotFound(name, entries, writer);
  };
  return AnswerWhenKnown(providers, answer, writer);
}

}  // namespace spillway
