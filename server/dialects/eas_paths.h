#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "router/router.h"
#include "server/http/http_types.h"
#include "server/http/route_table.h"

namespace spillway {

// PAI-EAS's paths in front of all others:
//
//   /api/predict/SERVICE/ANY/PATH   /ANY/PATH, as SERVICE answers it: it is what a request without
//   a
//                                   model means, and has no other models
//   GET /api/predict/SERVICE        whether it is ready: 200, or 503 "no healthy upstream"
//   GET /exported/apis/eas.alibaba-inc.k8s.io/v1/upstreams/SERVICE
//   GET /api/v1/servicediscovery/upstreams/SERVICE
//                                   where it is: this server, by the address that it was asked at,
//                                   or an empty list; asked without a token, as EAS's SDKs do
//
// A service is what serves a model, by its name or by another spelling of it (router/service.h).
// Errors that EAS has numbers of its own for have them here: 450 and 408, which also end the
// connection. Source: PAI-EAS's documentation and its SDKs.
//
// One per server thread, on whose thread all is called. Not thread-safe.
class EasPaths : public HttpHandler {
 public:
  // Adds routes to `routes`; both must outlive it. `format_error` is for what concerns a service as
  // a whole: the shape of the API that most of its clients speak.
  EasPaths(const Router& router, RouteTable& routes, ErrorFormat format_error);

  // HttpHandler
  std::optional<HttpResponse> Admit(HttpRequest& request) override;
  std::unique_ptr<HttpOperation> Handle(HttpRequest& request, ResponseWriter& writer) override;
  HttpResponse ConnectionError(int status, std::string_view message) const override {
    return routes_.ConnectionError(status, message);
  }

 private:
  HttpResponse Readiness(const std::string& service) const;
  HttpResponse Discovery(const HttpRequest& request) const;
  HttpResponse UnknownService(const std::string& service) const;

  const Router& router_;
  RouteTable& routes_;
  const ErrorFormat format_error_;
};

}  // namespace spillway
