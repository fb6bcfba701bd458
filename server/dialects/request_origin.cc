#include "server/dialects/request_origin.h"

namespace spillway {

std::string DefaultModelName(const Router& router) {
  for (const ModelInfo& model : router.Models()) {
    if (model.embedding_size == 0) return model.name;
  }
  return "";
}

void ReportRefusal(const HttpRequest& http, int http_status, RequestObserver* observer) {
  if (observer == nullptr) return;
  observer->OnRequestEnd({.request_id = http.request_id,
                          .token = http.token_name,
                          .service = "none",
                          .outcome = "invalid_request",
                          .http_status = http_status,
                          .traceparent = http.traceparent});
}

}  // namespace spillway
