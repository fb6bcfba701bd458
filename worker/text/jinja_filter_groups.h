#pragma once

#include <span>

#include "worker/text/jinja_filters.h"

// The built-in filters by what they work on; each group is a table in a file of its own.

namespace spillway::jinja {

std::span<const FilterEntry> TextFilters();
std::span<const FilterEntry> NumberFilters();
std::span<const FilterEntry> LayoutFilters();  // truncate, wordwrap, and others for people to read
std::span<const FilterEntry> SequenceFilters();
std::span<const FilterEntry>
SelectionFilters();  // map, select, and others that call filters, tests

}  // namespace spillway::jinja
