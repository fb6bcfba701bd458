#include "server/dialects/request_origin.h"

#include <utility>

#include "router/service.h"
#include "router/token_account.h"

namespace spillway {

std::vector<ModelInfo> ModelsFor(const HttpRequest& http, const Router& router) {
  std::vector<ModelInfo> models = router.Models();
  if (!http.service.empty()) {
    std::erase_if(models, [&](const ModelInfo& model) {
      return !CheckModelOfService(http.service, model.name).ok();
    });
  }
  return http.account == nullptr ? models : http.account->Visible(std::move(models));
}

std::string DefaultModelName(const HttpRequest& http, const Router& router) {
  for (const ModelInfo& model : ModelsFor(http, router)) {
    if (model.embedding_size == 0) return model.name;
  }
  return "";
}

void ReportRefusal(const HttpRequest& http, int http_status, RequestObserver* observer) {
  if (observer == nullptr) return;
  observer->OnRequestEnd({.request_id = http.request_id,
                          .token_id = TokenIdOf(http.account),
                          .token = http.token_name,
                          .service = "none",
                          .outcome = "invalid_request",
                          .http_status = http_status,
                          .traceparent = http.traceparent});
}

}  // namespace spillway
