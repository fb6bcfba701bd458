#include "worker/text/jinja_filters.h"

#include "worker/text/jinja_filter_groups.h"

namespace spillway::jinja {

const FilterEntry* FindFilter(std::string_view name) {
  for (const auto group :
       {TextFilters(), NumberFilters(), LayoutFilters(), SequenceFilters(), SelectionFilters()}) {
    for (const FilterEntry& entry : group) {
      if (entry.name == name) return &entry;
    }
  }
  return nullptr;
}

}  // namespace spillway::jinja
