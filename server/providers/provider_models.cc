#include "server/providers/provider_models.h"

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace spillway {

std::vector<ProviderModel> ReadModelList(std::string_view body, const std::string& provider) {
  const nlohmann::json list = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  std::vector<ProviderModel> models;
  if (!list.is_object() || !list.contains("data") || !list["data"].is_array()) return models;
  for (const nlohmann::json& entry : list["data"]) {
    if (models.size() == ProviderModels::kModelsMax) break;
    if (!entry.is_object() || !entry.contains("id") || !entry["id"].is_string()) continue;
    models.push_back(
        {.id = entry["id"].get<std::string>(),
         .provider = provider,
         .json = entry.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)});
  }
  return models;
}

std::vector<ProviderModel> ProviderModels::Known() const {
  std::vector<ProviderModel> known;
  std::set<std::string> names;
  for (size_t i = 0; i < providers_.size(); ++i) {
    const ProviderConfig& config = providers_.config(i);
    for (const auto& [name, theirs] : config.models) {
      if (names.insert(name).second) known.push_back({.id = name, .provider = config.name});
    }
    for (const ProviderModel& model : lists_[i].models) {
      if (names.insert(model.id).second) known.push_back(model);
    }
  }
  return known;
}

class ProviderModels::LookImpl : public Look {
 public:
  LookImpl(ProviderModels& owner, std::vector<size_t> providers, std::function<void()> done)
      : owner_(owner),
        done_(std::move(done)),
        left_(providers.size()),
        until_(owner.clock_.Now() + kAnswerMax) {
    for (const size_t provider : providers) {
      Question& question = questions_.emplace_back(*this, provider);
      question.exchange = owner_.pools_[provider]->Begin("/models", "", question);
    }
  }

  void Tick() override {
    if (left_ == 0 || owner_.clock_.Now() < until_) return;
    left_ = 0;
    for (Question& question : questions_) question.exchange.reset();
    done_();
  }

 private:
  struct Question : public ExchangeSink {
    Question(LookImpl& look_in, size_t provider_in) : look(look_in), provider(provider_in) {}
    void OnHead(const ResponseReader& head) override { status = head.status(); }
    void OnBody(std::string_view bytes) override {
      body += bytes.substr(0, kListBytesMax - body.size());
    }
    void OnEnd() override { look.OnListed(*this); }
    void OnBroken(const absl::Status&) override { look.OnListed(*this); }

    LookImpl& look;
    const size_t provider;
    int status = 0;
    std::string body;
    std::unique_ptr<HttpExchange> exchange;
  };

  void OnListed(const Question& question) {
    List& list = owner_.lists_[question.provider];
    list.read_at = owner_.clock_.Now();
    if (question.status == 200) {
      list.models = ReadModelList(question.body, owner_.providers_.config(question.provider).name);
    }
    if (left_ > 0 && --left_ == 0) done_();
  }

  ProviderModels& owner_;
  const std::function<void()> done_;
  std::deque<Question> questions_;
  size_t left_;
  const absl::Time until_;
};

std::unique_ptr<ProviderModels::Look> ProviderModels::Begin(std::function<void()> done) {
  std::vector<size_t> stale;
  for (size_t i = 0; i < providers_.size(); ++i) {
    if (providers_.config(i).any_model && clock_.Now() - lists_[i].read_at >= kFreshFor) {
      stale.push_back(i);
    }
  }
  if (stale.empty()) return nullptr;
  return std::make_unique<LookImpl>(*this, std::move(stale), std::move(done));
}

}  // namespace spillway
