#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace spillway {

// Counters, gauges and histograms for /metrics, in Prometheus' text format.
//
// Names end in their unit (`_seconds`, `_bytes`) and counters in `_total`. Every label value comes
// from a bounded set: never a request id, an address or a model name that a client made up.
using MetricLabels = std::map<std::string, std::string>;

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double amount = 1) = 0;  // Requires amount >= 0.
};
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
  virtual void Add(double amount) = 0;
};
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
  // Many values at once that somebody sorted into the buckets already. `counts`: one for each
  // bound, and one for what is above them all; `sum`: of the values.
  virtual void ObserveCounts(const std::vector<double>& counts, double sum) = 0;
};

// A metric's second name, under which others look for it.
struct MetricAlias {
  std::string name;   // ours
  std::string alias;  // theirs
  std::string help;
  std::map<std::string, std::string> label_names;  // ours to theirs; labels not named are left out
  MetricLabels labels = {};                        // added to each
};

// Owns all metrics of a process. Thread-safe, as are the metrics. What it returns lives as long as
// the registry, or until RemoveGauge(); asking twice for one name and labels gives the same object.
class MetricRegistry {
 public:
  MetricRegistry();
  ~MetricRegistry();

  Counter& GetCounter(std::string_view name, std::string_view help,
                      const MetricLabels& labels = {});
  Gauge& GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram& GetHistogram(std::string_view name, std::string_view help,
                          const std::vector<double>& bucket_bounds,
                          const MetricLabels& labels = {});

  // For gauges whose labels tell of something that changes: a series that nobody writes any more.
  // Requires that nobody holds it.
  void RemoveGauge(std::string_view name, const MetricLabels& labels);

  // Scrape() shows the metric under both names from now on. Labels that are left out must not tell
  // two series apart.
  void AddAlias(MetricAlias alias);

  // Everything in the text exposition format 0.0.4.
  std::string Scrape() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
