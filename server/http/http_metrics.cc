#include "server/http/http_metrics.h"

#include <string>
#include <vector>

namespace spillway {
namespace {

const std::vector<double>& SecondsBounds() {
  static const std::vector<double> bounds = {.001, .005, .02, .1, .5, 1, 2, 5, 10, 30, 60, 300};
  return bounds;
}

}  // namespace

HttpMetrics::HttpMetrics(MetricRegistry& registry)
    : registry_(registry),
      connections_(registry.GetGauge("spillway_http_connections", "Open client connections.")),
      accept_failures_(registry.GetCounter(
          "spillway_http_accept_failures_total",
          "Connections that couldn't be taken yet because the process is out of descriptors.")),
      handshake_failures_(registry.GetCounter("spillway_http_tls_handshake_failures_total",
                                              "Connections that never got to speak TLS.")),
      evicted_(registry.GetCounter(
          "spillway_http_connections_evicted_total",
          "Connections closed while they waited for a request, to make room for new ones.")),
      refused_(registry.GetCounter("spillway_http_connections_refused_total",
                                   "Connections over the limit, answered 503 and closed.")),
      gone_(registry.GetCounter("spillway_http_clients_gone_total",
                                "Clients that hung up before their answer was complete.")) {}

void HttpMetrics::ClientCut(std::string_view reason) {
  registry_
      .GetCounter("spillway_http_clients_cut_total",
                  "Clients cut off because they didn't read their answer.",
                  {{"reason", std::string(reason)}})
      .Add(1);
}

void HttpMetrics::RequestEnded(std::string_view route, int status, absl::Duration took) {
  Counter*& counter = requests_[{route, status}];
  if (counter == nullptr) {
    counter =
        &registry_.GetCounter("spillway_http_requests_total", "Answered requests.",
                              {{"route", std::string(route)}, {"status", std::to_string(status)}});
  }
  counter->Add(1);
  Histogram*& histogram = seconds_[route];
  if (histogram == nullptr) {
    histogram = &registry_.GetHistogram("spillway_http_request_seconds",
                                        "From the end of the request to the end of the answer.",
                                        SecondsBounds(), {{"route", std::string(route)}});
  }
  histogram->Observe(absl::ToDoubleSeconds(took));
}

}  // namespace spillway
