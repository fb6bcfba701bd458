#include "server/dialects/eas_paths.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "router/service.h"
#include "server/dialects/json_escape.h"
#include "server/http/request_head.h"

namespace spillway {
namespace {

// What a path is without the service in it.
constexpr std::string_view kPredict = "/api/predict";
constexpr std::string_view kUpstreams[] = {"/exported/apis/eas.alibaba-inc.k8s.io/v1/upstreams/*",
                                           "/api/v1/servicediscovery/upstreams/*"};
// Of each endpoint that discovery tells; there is never more than one.
constexpr int kWeight = 100;

// Of an error that has an EAS number of its own, that one.
class EasWriter : public ResponseWriter {
 public:
  explicit EasWriter(ResponseWriter& writer) : writer_(writer) {}

  void Send(HttpResponse response) override {
    const int eas = std::exchange(response.eas_status, 0);
    if (eas != 0 && eas != response.status) {
      response.status = eas;
      response.close = true;
    }
    writer_.Send(std::move(response));
  }
  void BeginStream(std::string_view content_type, const std::vector<HttpHeader>& headers) override {
    writer_.BeginStream(content_type, headers);
  }
  void Write(std::string_view events) override { writer_.Write(events); }
  void Flush() override { writer_.Flush(); }
  void EndStream() override { writer_.EndStream(); }
  void AbortStream() override { writer_.AbortStream(); }
  void WakeAfter(absl::Duration delay) override { writer_.WakeAfter(delay); }

 private:
  ResponseWriter& writer_;
};

class EasOperation : public HttpOperation {
 public:
  EasOperation(std::unique_ptr<EasWriter> writer, std::unique_ptr<HttpOperation> operation)
      : writer_(std::move(writer)), operation_(std::move(operation)) {}

  void OnWake() override { operation_->OnWake(); }

 private:
  const std::unique_ptr<EasWriter> writer_;  // which the operation writes to
  const std::unique_ptr<HttpOperation> operation_;
};

// How many replicas serve `service`, and how many of them are ready.
struct ServiceReplicas {
  int64_t all = 0;
  int64_t ready = 0;
};
ServiceReplicas ReplicasOf(const Router& router, std::string_view service) {
  ServiceReplicas found;
  for (const ReplicaStatus& replica : router.Replicas()) {
    if (replica.model.empty() || !CheckModelOfService(service, replica.model).ok()) continue;
    ++found.all;
    if (replica.ready) ++found.ready;
  }
  return found;
}

}  // namespace

EasPaths::EasPaths(const Router& router, RouteTable& routes, ErrorFormat format_error)
    : router_(router), routes_(routes), format_error_(std::move(format_error)) {
  routes.Add(
      {"GET", kPredict, TokenRule::kAlways, [this](HttpRequest& request, ResponseWriter& writer) {
         writer.Send(Readiness(request.service));
         return nullptr;
       }});
  routes.Add(
      {"POST", kPredict, TokenRule::kAlways, [this](HttpRequest& request, ResponseWriter& writer) {
         writer.Send(format_error_(
             404, "unknown_url",
             absl::StrCat("the path of an API must follow the service: ", std::string(kPredict),
                          "/", request.service, "/v1/chat/completions")));
         return nullptr;
       }});
  for (const std::string_view path : kUpstreams) {
    routes.Add(
        {"GET", path, TokenRule::kNever, [this](HttpRequest& request, ResponseWriter& writer) {
           writer.Send(Discovery(request));
           return nullptr;
         }});
  }
}

std::optional<HttpResponse> EasPaths::Admit(HttpRequest& request) {
  const std::string_view path = request.path;
  if (path.starts_with(kPredict) && path.size() > kPredict.size() + 1 &&
      path[kPredict.size()] == '/') {
    const std::string_view named = path.substr(kPredict.size() + 1);
    const size_t slash = std::min(named.find('/'), named.size());
    std::string rest(named.substr(slash));
    request.service = PercentDecode(named.substr(0, slash));
    request.path_of_service = request.path;
    request.path = rest.size() > 1 ? std::move(rest) : std::string(kPredict);
  }
  return routes_.Admit(request);
}

std::unique_ptr<HttpOperation> EasPaths::Handle(HttpRequest& request, ResponseWriter& writer) {
  if (request.service.empty()) return routes_.Handle(request, writer);
  auto eas_writer = std::make_unique<EasWriter>(writer);
  std::unique_ptr<HttpOperation> operation = routes_.Handle(request, *eas_writer);
  if (operation == nullptr) return nullptr;
  return std::make_unique<EasOperation>(std::move(eas_writer), std::move(operation));
}

HttpResponse EasPaths::Readiness(const std::string& service) const {
  if (service.empty()) return UnknownService(service);
  const ServiceReplicas replicas = ReplicasOf(router_, service);
  if (replicas.all == 0) return UnknownService(service);
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  if (replicas.ready == 0) {
    response.status = 503;
    response.body = "no healthy upstream";
  } else {
    response.body = absl::StrCat(replicas.ready, " of ", replicas.all, " replicas are ready\n");
  }
  return response;
}

HttpResponse EasPaths::Discovery(const HttpRequest& request) const {
  const std::string& service = request.path_rest;
  const ServiceReplicas replicas = ReplicasOf(router_, service);
  if (replicas.all == 0) return UnknownService(service);
  std::string name;
  AppendJsonString(name, service);
  HttpResponse response;
  response.body = absl::StrCat("{\"correlative\":[", name, "],\"endpoints\":{\"items\":[");
  const size_t colon = request.local_address.rfind(':');
  if (replicas.ready > 0 && colon != std::string::npos) {
    std::string_view host = std::string_view(request.local_address).substr(0, colon);
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    std::string ip;
    AppendJsonString(ip, host);
    absl::StrAppend(&response.body, "{\"app\":", name, ",\"ip\":", ip,
                    ",\"port\":", request.local_address.substr(colon + 1), ",\"weight\":", kWeight,
                    "}");
  }
  response.body += "]}}";
  return response;
}

HttpResponse EasPaths::UnknownService(const std::string& service) const {
  return format_error_(404, "service_not_found",
                       absl::StrCat("there is no service \"", service.substr(0, 100), "\" here"));
}

}  // namespace spillway
